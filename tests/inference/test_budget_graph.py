"""Budgets of nodes: masks, bounds and proofs on graphs and grids with diagonals, by enumeration."""

from __future__ import annotations

import itertools

import pytest
import torch
from graph_models import balanced, graphs, random_graph
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import enumerate_image
from strategies import grids, random_grid

import mrfmask as mm
from mrfmask.inference import budgeted_graph
from mrfmask.inference.budget import Limit, count_limits, penalised
from mrfmask.inference.budgeted_graph import reach_limit
from mrfmask.inference.lagrange_graph import (
    advantage_in_limit,
    by_elimination,
    by_roof,
    dual_on_graph,
)


def all_masks(model):
    """Every mask, and its energy in every model."""
    masks = torch.tensor([*itertools.product([False, True], repeat=model.shape[1])])
    return masks, model.energy(masks.expand(len(model), -1, -1))


def least_energies(model, cost=None):
    """The lowest energy of the masks that come to 0, 1, ... in each model, +inf for none."""
    masks, energies = all_masks(model)
    cost = torch.ones(model.shape, dtype=torch.int64) if cost is None else cost
    spent = (masks * cost[:, None]).sum(dim=2)
    amounts = int(cost.sum(dim=1).max()) + 1
    lowest = torch.full((len(model), amounts), torch.inf, dtype=torch.float64)
    return lowest.scatter_reduce(1, spent, energies, "amin")


def check_bounds(model, result, lowest, scale=1e-9):
    """A mask of the model and a bound on either side of the optimum, and the result's proof."""
    assert (result.lower_bound <= lowest + scale).all()
    assert (lowest - scale <= result.energy).all()
    assert result.energy.isfinite().all()
    assert result.verify(model)
    for status, energy, best in zip(result.status, result.energy, lowest, strict=True):
        if status is mm.Status.OPTIMAL:
            assert energy.item() == pytest.approx(best.item(), abs=1e-6)


@pytest.fixture(params=["as it is", "by roof duality"])
def any_solver(request, monkeypatch):
    """Once with elimination where that is quick, as in all small models, and once without."""
    if request.param == "by roof duality":
        monkeypatch.setattr(
            budgeted_graph, "quick_graphs", lambda m: torch.zeros(len(m), dtype=torch.bool)
        )
        monkeypatch.setattr(budgeted_graph, "Annealing", lambda: mm.Annealing(sweeps=2))


@settings(max_examples=40)
@given(graphs(batch=2, most_nodes=9), st.data())
def test_find_map_of_a_graph_bounds_the_best_mask_of_a_count(model, data):
    lowest = least_energies(model)
    least, most = count_limits(model)
    counts = [
        data.draw(st.integers(a, b)) for a, b in zip(least.tolist(), most.tolist(), strict=True)
    ]
    result = mm.find_map(model, budget=counts)
    assert result.mask.sum(dim=1).tolist() == counts
    check_bounds(model, result, lowest[[0, 1], counts])
    new = [k - a for k, a in zip(counts, least.tolist(), strict=True)]
    assert torch.equal(mm.find_map(model, budget_new=new).mask, result.mask)
    at_most = mm.find_map(model, budget=counts, at_most=True)
    assert (at_most.mask.sum(dim=1) <= torch.tensor(counts)).all()
    check_bounds(model, at_most, lowest.cummin(dim=1).values[[0, 1], counts])


@pytest.mark.parametrize("signs", ["associative", "repulsive", "any"])
@pytest.mark.parametrize("seed", range(2))
def test_find_map_of_a_graph_bounds_every_budget(any_solver, signs, seed):
    model = random_graph(2, 9, 16, coupling=(0.5, 1.5)[seed], signs=signs, seed=seed, clamped=0.1)
    cost = torch.randint(1, 5, model.shape, generator=torch.Generator().manual_seed(seed))
    lowest, least_cost = least_energies(model), least_energies(model, cost).cummin(dim=1).values
    least, most = int(count_limits(model)[0].max()), int(count_limits(model)[1].min())
    for count in range(least, most + 1):
        result = mm.find_map(model, budget=count)
        assert (result.mask.sum(dim=1) == count).all()
        check_bounds(model, result, lowest[:, count])
    on = int((cost * (model.unary == torch.inf)).sum(dim=1).max())
    for budget in range(on, least_cost.shape[1], 3):
        result = mm.find_map(model, budget=budget, cost=cost)
        assert ((result.mask * cost).sum(dim=1) <= budget).all()
        check_bounds(model, result, least_cost[:, budget])


def envelope(lowest, amount):
    """The lower convex envelope of the energies of all amounts, at one of them."""
    finite = lowest.isfinite().nonzero().flatten().tolist()
    best = torch.inf
    for a, b in itertools.product(finite, finite):
        if a <= amount <= b:
            share = 0.0 if a == b else (amount - a) / (b - a)
            best = min(best, float((1 - share) * lowest[a] + share * lowest[b]))
    return best


@settings(max_examples=40)
@given(balanced())
def test_cuts_find_the_envelope_and_its_vertices_have_no_gap(model):
    lowest = least_energies(model)
    least, most = count_limits(model)
    for count in range(int(least.max()), int(most.min()) + 1):
        result = mm.find_map(model, budget=count)
        for b in range(len(model)):
            line = envelope(lowest[b], count)
            rest = lowest[b].clone()
            rest[count] = torch.inf
            size = 1e-9 * (1 + lowest[b][lowest[b].isfinite()].abs().max().item())
            assert result.lower_bound[b].item() == pytest.approx(line, abs=size)
            if lowest[b, count] < envelope(rest, count) - size:  # a vertex
                assert result.gap[b].item() <= size
                assert result.status[b] is mm.Status.OPTIMAL


@settings(max_examples=30)
@given(graphs(most_nodes=8, dtype=torch.float64), st.data())
def test_the_bound_is_the_best_of_all_penalties(model, data):
    lowest = least_energies(model)[0]
    least, most = (int(limit) for limit in count_limits(model))
    count = data.draw(st.integers(least, most))
    limit = Limit(amount=torch.tensor([count]))
    line = envelope(lowest, count)
    size = 1e-9 * (1 + lowest[lowest.isfinite()].abs().max().item())
    assert dual_on_graph(model, limit, by_elimination).lower_bound.item() == pytest.approx(
        line, abs=size
    )
    best = dual_on_graph(model, limit, by_roof).lower_bound.item()
    assert best <= line + size
    for penalty in torch.linspace(-9, 9, 13, dtype=torch.float64):
        other = mm.Qpbo().find_map(penalised(model, penalty[None], limit))
        assert other.lower_bound.item() <= best + size
    for solve in (by_elimination, by_roof):
        fewer = dual_on_graph(model, Limit(amount=limit.amount, at_most=True), solve)
        assert fewer.penalty.item() >= 0
        assert fewer.lower_bound.item() <= lowest[: count + 1].min() + size


@pytest.mark.parametrize("signs", ["associative", "repulsive", "any"])
def test_ilp_finds_the_best_mask_of_a_graph_in_every_limit(signs):
    model = random_graph(2, 9, 18, coupling=1.5, signs=signs, seed=5, clamped=0.1)
    cost = torch.randint(1, 5, model.shape, generator=torch.Generator().manual_seed(1))
    lowest, by_cost = least_energies(model), least_energies(model, cost)
    least, most = int(count_limits(model)[0].max()), int(count_limits(model)[1].min())
    on = int((cost * (model.unary == torch.inf)).sum(dim=1).max())
    asked = [({"budget": k}, lowest[:, k]) for k in range(least, most + 1)]
    asked += [({"budget": 4, "at_most": True}, lowest.cummin(dim=1).values[:, 4])]
    asked += [
        ({"budget": k, "cost": cost}, by_cost.cummin(dim=1).values[:, k])
        for k in range(on, by_cost.shape[1], 5)
    ]
    for options, best in asked:
        result = mm.find_map(model, method="ilp", **options)
        torch.testing.assert_close(result.energy, best, atol=1e-4, rtol=0)
        assert (result.lower_bound <= best + 1e-9).all()
        assert (result.gap <= 1e-4).all()
        assert result.status == (mm.Status.OPTIMAL,) * 2
        limited = mm.find_map(model, time_limit_s=60, **options)
        torch.testing.assert_close(limited.energy, best, atol=1e-4, rtol=0)


@settings(max_examples=30)
@given(balanced(), st.data())
def test_min_marginals_tell_what_other_masks_of_the_count_cost(model, data):
    least, most = int(count_limits(model)[0].max()), int(count_limits(model)[1].min())
    if least > most:
        return
    count = data.draw(st.integers(least, most))
    limit = Limit(amount=torch.full((len(model),), count))
    bound, advantage = advantage_in_limit(model, limit)
    masks, energies = all_masks(model)
    for b in range(len(model)):
        for i in range(model.shape[1]):
            worse = masks[:, i] == bool(advantage[b, i] < 0)
            of_count = worse & (masks.sum(dim=1) == count)
            other = energies[b, of_count].min() if of_count.any() else torch.inf
            assert other >= bound[b] + advantage[b, i].abs() - 1e-8


@settings(max_examples=30)
@given(graphs(most_nodes=9), st.data())
def test_no_exchange_of_two_nodes_betters_a_repaired_mask(model, data):
    least, most = (int(limit) for limit in count_limits(model))
    count = data.draw(st.integers(least, most))
    start = torch.rand(model.shape, generator=torch.Generator().manual_seed(count)) < 0.5
    mask = reach_limit(model, Limit(amount=torch.tensor([count])), start)
    assert int(mask.sum()) == count
    masks, energies = all_masks(model)
    energy = model.energy(mask).item()
    assert energy < torch.inf
    near = (masks.sum(dim=1) == count) & ((masks ^ mask).sum(dim=1) <= 2)
    assert (energies[0, near] >= energy - 1e-6).all()


@settings(max_examples=30)
@given(graphs(most_nodes=9), st.data())
def test_no_node_and_no_neighbours_better_a_mask_repaired_for_costs(model, data):
    cost = torch.tensor([data.draw(st.lists(st.integers(1, 9), min_size=9, max_size=9))])
    cost = cost[:, : model.shape[1]]
    amount = data.draw(st.integers(int(cost[model.unary == torch.inf].sum()), int(cost.sum())))
    start = torch.full(model.shape, data.draw(st.booleans()))
    limit = Limit(amount=torch.tensor([amount]), cost=cost, at_most=True)
    mask = reach_limit(model, limit, start)
    assert limit.allows(mask).all()
    energy = model.energy(mask).item()
    assert energy < torch.inf
    for nodes in [[i] for i in range(model.shape[1])] + model.edges.tolist():
        other = mask.clone()
        other[0, nodes] = ~other[0, nodes]
        exchange = len(nodes) == 1 or mask[0, nodes[0]] != mask[0, nodes[1]]
        if exchange and limit.allows(other).all():
            assert model.energy(other).item() >= energy - 1e-6


def test_frustrated_graphs_of_no_small_tables_keep_their_budgets():
    model = random_graph(2, 300, 2400, coupling=0.2, seed=1)
    result = mm.find_map(model, budget=[30, 0.5])
    assert result.mask.sum(dim=1).tolist() == [30, 150]
    assert result.verify(model)
    assert (result.lower_bound >= mm.Qpbo().find_map(model).lower_bound - 1e-6).all()
    assert result.lower_bound[0] > mm.Qpbo().find_map(model[0]).lower_bound + 10
    wrong = mm.find_map(model, budget=[31, 150])
    assert not result.certificate.proves(model, wrong.mask, result.lower_bound)


def test_a_batch_of_graphs_has_every_model_as_if_alone():
    kinds = [random_graph(1, 12, 30, signs=signs, seed=2) for signs in ("associative", "any")]
    unary, pairwise = (torch.cat([getattr(m, n) for m in kinds]) for n in ("unary", "pairwise"))
    model = mm.IsingGraph(unary, kinds[0].edges, pairwise)
    together = mm.find_map(model, budget=[3, 8])
    assert together.verify(model)
    for b, budget in ((0, 3), (1, 8)):
        alone = mm.find_map(model[b], budget=budget)
        assert torch.equal(alone.mask[0], together.mask[b])
        assert alone.lower_bound[0] == together.lower_bound[b]


@pytest.mark.parametrize("signs", ["associative", "repulsive", "any"])
def test_a_grid_as_a_graph_has_the_same_optimum(signs):
    grid = random_grid(1, 5, 6, coupling=1.0, signs=signs, seed=3)
    for budget in (3, 11, 0.5):
        on_grid, on_graph = (
            mm.find_map(m, method="ilp", budget=budget) for m in (grid, grid.as_graph())
        )
        assert on_graph.energy.item() == pytest.approx(on_grid.energy.item(), abs=1e-4)
        assert on_graph.status == on_grid.status == (mm.Status.OPTIMAL,)


@settings(max_examples=25)
@given(grids(diagonals=True, most_pixels=10), st.data())
def test_find_map_with_diagonals_bounds_the_best_mask_in_a_limit(model, data):
    table = enumerate_image(model)
    masks, energies = torch.from_numpy(table.masks), torch.from_numpy(table.energies)
    least, most = (int(limit) for limit in count_limits(model))
    count = data.draw(st.integers(least, most))
    result = mm.find_map(model, budget=count)
    assert int(result.mask.sum()) == count
    check_bounds(model, result, energies[masks.flatten(1).sum(dim=1) == count].amin()[None])
    cost = torch.randint(1, 9, model.shape, generator=torch.Generator().manual_seed(count))
    spent = (masks * cost).flatten(1).sum(dim=1)
    on = int(cost[model.unary == torch.inf].sum())
    budget = data.draw(st.integers(on, int(cost.sum())))
    result = mm.find_map(model, budget=budget, cost=cost)
    assert int((result.mask * cost).sum()) <= budget
    check_bounds(model, result, energies[spent <= budget].amin()[None])


def test_ilp_with_diagonals_finds_the_best_mask_of_a_count():
    model = random_grid(1, 4, 3, coupling=1.0, signs="any", diagonals=True, seed=4)
    table = enumerate_image(model)
    masks, energies = torch.from_numpy(table.masks), torch.from_numpy(table.energies)
    for count in (2, 5, 9):
        result = mm.find_map(model, method="ilp", budget=count)
        best = energies[masks.flatten(1).sum(dim=1) == count].min().item()
        assert result.mask.shape == model.shape
        assert result.energy.item() == pytest.approx(best, abs=1e-4)


def test_a_batch_of_no_graphs_has_no_masks():
    model = random_graph(1, 6, 5)[:0]
    for options in ({"budget": 3}, {"budget": 0.1, "at_most": True}, {"budget_new": []}):
        for method in ("auto", "ilp"):
            assert mm.find_map(model, method=method, **options).mask.shape == (0, 6)


ONES = torch.ones(1, 6, dtype=torch.int64)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"budget": 5},
            ValueError,
            "budget must leave a mask between the 1 nodes clamped on and the 4 not clamped off; "
            "got 5 nodes for model 0 of 6 nodes with 1 clamped on and 2 off",
        ),
        ({"budget_new": 4}, ValueError, "budget_new must leave a mask .* got 5 nodes"),
        ({"budget": [1, 2]}, ValueError, "budget must be one number or one an image; got 2 for 1"),
        ({"budget": 1.5}, ValueError, r"budget must lie in \[0, 1\] as a fraction of all; got 1.5"),
        ({"budget": 1, "method": "gibbs"}, ValueError, "method must be 'auto' or 'ilp' with a"),
        (
            {"budget": 1, "cost": ONES[:, :5]},
            ValueError,
            r"cost must have shape \(1, 6\) on cpu; got \(1, 5\) on cpu. It has one value a node",
        ),
        ({"budget": 1, "cost": 0 * ONES}, ValueError, "cost must be at least 1; .* give nodes"),
        (
            {"budget": 0, "cost": ONES},
            ValueError,
            "budget must be at least 1 for model 0, what its nodes clamped on cost; got 0",
        ),
    ],
)
def test_budget_messages_speak_of_nodes(options, error, message):
    unary = torch.tensor([[torch.inf, -torch.inf, -torch.inf, 0.5, 0.1, 0.2]])
    model = mm.IsingGraph(unary, torch.tensor([[0, 3], [3, 4]]), torch.ones(1, 2))
    with pytest.raises(error, match=message):
        mm.find_map(model, **options)


@pytest.mark.parametrize(
    "ask",
    [
        mm.budget_path,
        lambda m: mm.sample(m, budget=2),
        lambda m: mm.marginals(m, method="kawasaki", budget=2),
    ],
)
def test_paths_and_samples_of_a_budget_are_for_grids_alone(ask):
    with pytest.raises(TypeError, match=r"model must be an IsingGrid( for kawasaki)?; got"):
        ask(random_graph(1, 5, 6))
    diagonals = random_grid(1, 3, 3, diagonals=True)
    with pytest.raises(ValueError, match=r"model must have no diagonals for (kawasaki|budget_p)"):
        ask(diagonals)

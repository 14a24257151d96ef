"""Elimination on graphs: enumeration, other exact methods, samples, limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from graph_models import graphs, random_graph
from hypothesis import given
from hypothesis import strategies as st
from oracles import enumerate_image
from strategies import random_grid

import mrfmask as mm
from mrfmask import Exact, IsingGraph, IsingGrid, Status
from mrfmask.inference import elimination_memory, eliminations, graph_elimination
from mrfmask.inference.exact import solvable_images

BETAS = st.sampled_from([0.3, 1.0, 2.5])


def check_marginals(model, beta, tolerance=1e-10):
    result = Exact(beta=beta).marginals(model)
    assert result.kind == "exact"
    assert result.status == (Status.EXACT,) * len(model)
    for b in range(len(model)):
        table = enumerate_image(model, b)
        weights, log_partition = table.probabilities(beta)
        x = np.where(table.masks, 1.0, -1.0)
        assert result.log_partition[b].item() == pytest.approx(log_partition, rel=1e-12, abs=1e-10)
        np.testing.assert_allclose(
            result.probability[b].numpy(), weights @ table.masks, atol=tolerance
        )
        pairs = [(weights * x[:, i] * x[:, j]).sum() for i, j in model.edges.tolist()]
        np.testing.assert_allclose(result.pairwise[b].numpy(), pairs, atol=tolerance)


@given(graphs(batch=2))
def test_exact_map_of_graphs_has_the_lowest_energy(model):
    result = Exact().find_map(model)
    assert result.status == (Status.OPTIMAL,) * 2
    assert result.verify(model)
    for b in range(2):
        minimum = enumerate_image(model, b).minimum()
        assert result.energy[b].item() == pytest.approx(minimum, abs=1e-9)
        assert result.lower_bound[b].item() == pytest.approx(minimum, abs=1e-9)


@given(graphs(batch=2, dtype=torch.float64), BETAS)
def test_exact_marginals_of_graphs_equal_enumeration(model, beta):
    check_marginals(model, beta)


@pytest.mark.parametrize("coupling", [1e-3, 1.0, 40.0, 3e4])
def test_exact_marginals_equal_enumeration_at_every_strength(coupling):
    """Up to where probabilities span e^-600, sums of exponentials; beyond, of logarithms."""
    check_marginals(random_graph(3, 13, 40, coupling, clamped=0.1, seed=1), 1.0)


def test_exact_marginals_equal_enumeration_when_made_in_parts(monkeypatch):
    model = random_graph(2, 14, 30, seed=2, clamped=0.1)
    whole = Exact(chains=50).sample(model).masks
    monkeypatch.setattr(elimination_memory, "MOST_KEPT", 1)
    monkeypatch.setattr(graph_elimination, "_PIECE", 8)
    for image in range(2):
        ready = eliminations.Eliminations(model).prepare(image, "marginals")
        assert len(elimination_memory.parts(ready.plan)) > 1
    check_marginals(model, 1.0)
    assert torch.equal(Exact(chains=50).sample(model).masks, whole)


@pytest.mark.parametrize("periodic", [False, True])
def test_exact_of_a_grid_as_graph_equals_that_of_the_grid(periodic):
    height = 7 if periodic else 8
    model = random_grid(2, height, 12, signs="any", periodic=periodic, dtype=torch.float64)
    graph = model.as_graph()
    torch.testing.assert_close(
        Exact().find_map(graph).energy, Exact().find_map(model).energy, rtol=1e-13, atol=0
    )
    of_grid, of_graph = Exact().marginals(model), Exact().marginals(graph)
    pairs = torch.cat([of_grid.right.flatten(1), of_grid.down.flatten(1)], dim=1)
    for got, expected in (
        (of_graph.log_partition, of_grid.log_partition),
        (of_graph.probability, of_grid.probability.flatten(1)),
        (of_graph.pairwise, pairs),
    ):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_exact_takes_wide_grids_one_by_one():
    """Those with 20 free pixels keep their list of states, whatever else is in the batch."""
    model = random_grid(3, 15, 15, signs="any", dtype=torch.float64)
    unary = model.unary.clone()
    unary[1].view(-1)[20:] = torch.inf
    model = IsingGrid(unary, model.right, model.down)
    seeds = (3, 4, 5)
    method = Exact(chains=5, seed=seeds)
    best, found, drawn = method.find_map(model), method.marginals(model), method.sample(model)
    cut = mm.Ilp().find_map(model[0])
    assert best.energy[0].item() == pytest.approx(cut.energy.item(), abs=1e-9)
    for b in range(3):
        alone = Exact(chains=5, seed=seeds[b : b + 1])
        assert torch.equal(alone.find_map(model[b]).mask, best.mask[b : b + 1])
        assert torch.equal(alone.sample(model[b]).masks, drawn.masks[b : b + 1])
        one = alone.marginals(model[b])
        for name in ("probability", "right", "down", "log_partition"):
            assert torch.equal(getattr(one, name), getattr(found, name)[b : b + 1])
    assert found.log_partition[1].item() == pytest.approx(
        Exact().marginals(model[1:2].as_graph()).log_partition.item(), abs=1e-9
    )


def test_exact_samples_of_graphs_pass_a_chi_square_test():
    model = random_graph(1, 7, 12, coupling=0.7, seed=3)
    model = model.clamp(on=torch.arange(7)[None] == 2)
    table = enumerate_image(model)
    weights, _ = table.probabilities(0.8)
    draws = 20_000
    samples = Exact(beta=0.8, chains=draws, seed=11).sample(model)
    powers = 2 ** np.arange(7)
    counts = np.bincount((samples.masks[0].numpy() * powers).sum(axis=1), minlength=128)
    numbers = (table.masks * powers).sum(axis=1)
    assert counts.sum() == counts[numbers].sum()
    chi_square = ((counts[numbers] - weights * draws) ** 2 / (weights * draws)).sum()
    # 63 degrees of freedom: beyond 150 once in 10^8.
    assert chi_square < 150


def test_exact_of_graphs_does_not_depend_on_the_batch_or_on_threads():
    model = random_graph(6, 30, 50, seed=4, clamped=0.1)
    method = Exact(chains=3, seed=range(6))
    whole = method.find_map(model), method.marginals(model), method.sample(model)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        again = method.find_map(model), method.marginals(model), method.sample(model)
    finally:
        torch.set_num_threads(threads)
    parts = [Exact(chains=3, seed=(b,)) for b in range(6)]
    alone = (
        [part.find_map(model[b]) for b, part in enumerate(parts)],
        [part.marginals(model[b]) for b, part in enumerate(parts)],
        [part.sample(model[b]) for b, part in enumerate(parts)],
    )
    names = ("mask", "lower_bound"), ("probability", "pairwise", "log_partition"), ("masks",)
    for results, one, each in zip(whole, again, alone, strict=True):
        for name in names[whole.index(results)]:
            value = getattr(results, name)
            assert torch.equal(value, getattr(one, name))
            assert torch.equal(value, torch.cat([getattr(part, name) for part in each]))


def test_exact_gives_correlations_of_edges_without_coupling():
    edges = torch.tensor([[0, 1], [1, 2], [0, 3], [0, 3]])
    pairwise = torch.tensor([[0.7, -0.4, 0.0, 0.0], [0.7, -0.4, 0.5, -0.5]]).double()
    model = IsingGraph(torch.tensor([[0.3, 0.1, -0.2, 0.5]] * 2).double(), edges, pairwise)
    check_marginals(model, 1.0)


def test_exact_goes_through_long_chains_and_stars_in_little_memory():
    nodes = 5000
    chain = torch.stack([torch.arange(nodes - 1), torch.arange(1, nodes)], dim=1)
    star = torch.stack([torch.zeros(nodes - 1, dtype=torch.int64), torch.arange(1, nodes)], dim=1)
    for edges in (chain, star):
        model = IsingGraph(torch.zeros(1, nodes), edges, torch.full((1, nodes - 1), 0.5))
        runs = eliminations.Eliminations(model)
        assert runs.prepare(0, "map").plan.width == 1
        found = Exact().marginals(model)
        expected = nodes * np.log(2) + (nodes - 1) * np.log(np.cosh(0.5))
        assert found.log_partition.item() == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(found.pairwise.numpy(), np.tanh(0.5), rtol=1e-6)
        assert Exact().find_map(model).energy.item() == pytest.approx(-0.5 * (nodes - 1))


def test_exact_refuses_graphs_whose_tables_are_too_large():
    model = random_graph(1, 40, 780)
    assert not Exact.accepts(model)
    with pytest.raises(ValueError, match=r"got 40 free nodes with tables of 2\^39 entries or more"):
        Exact().find_map(model)
    clamped = model.clamp(on=torch.arange(40)[None] >= 20)
    assert Exact.accepts(clamped)
    both = IsingGraph(
        torch.cat([clamped.unary, model.unary]), model.edges, model.pairwise.repeat(2, 1)
    )
    assert solvable_images(both).tolist() == [True, False]
    with pytest.raises(ValueError, match=r"for sample of model 1\. Choose"):
        Exact().sample(both)


def test_exact_refuses_what_needs_too_much_memory(monkeypatch):
    model = random_graph(1, 30, 60)
    monkeypatch.setattr(eliminations, "MOST_BYTES", 1000)
    assert not Exact.accepts(model)
    with pytest.raises(ValueError, match=r"GiB in all for marginals of model 0"):
        Exact().marginals(model)


def test_solvable_images_are_those_that_are_quick():
    wide = random_grid(1, 17, 17, signs="any")
    wider = random_grid(1, 22, 22, signs="any")
    assert solvable_images(wide).all()
    assert not solvable_images(wider).any()
    assert Exact.accepts(wider)
    assert not solvable_images(random_grid(1, 300, 300)).any()
    few = random_grid(1, 300, 300)
    few = few.clamp(on=torch.rand(few.shape, generator=torch.Generator().manual_seed(0)) < 0.9)
    assert solvable_images(few).all()


@pytest.mark.parametrize("periodic", [False, True])
def test_exact_of_grids_with_diagonals_equals_enumeration(periodic):
    grid = random_grid(1, 3, 4, signs="any", periodic=periodic, dtype=torch.float64)
    generator = torch.Generator().manual_seed(5)
    shape = grid.down.shape[1], grid.right.shape[2]
    diagonals = torch.randn(2, 1, *shape, generator=generator, dtype=torch.float64)
    grid = IsingGrid(
        grid.unary,
        grid.right,
        grid.down,
        periodic=periodic,
        down_right=diagonals[0],
        down_left=diagonals[1],
    )
    assert solvable_images(grid).all()
    graph = grid.as_graph()
    check_marginals(graph, 1.0)
    found, expected = Exact().marginals(grid), Exact().marginals(graph)
    assert torch.equal(found.probability.flatten(1), expected.probability)
    assert torch.equal(found.down_left.flatten(1), expected.pairwise[:, -shape[0] * shape[1] :])
    best = Exact().find_map(grid)
    assert best.energy.item() == pytest.approx(enumerate_image(graph).minimum(), abs=1e-9)
    drawn = Exact(chains=4, seed=1).sample(grid).masks
    assert torch.equal(drawn.flatten(2), Exact(chains=4, seed=1).sample(graph).masks)

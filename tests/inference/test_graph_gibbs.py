"""Gibbs sampling and annealing on graphs: the grids' own bits, enumeration, and no dependence."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from graph_models import graphs, random_graph
from hypothesis import given
from hypothesis import strategies as st
from oracles import energy_of, enumerate_image
from strategies import random_grid

import mrfmask as mm
from mrfmask import Annealing, Gibbs, IsingGraph, IsingGrid, Status
from mrfmask.graphs.layout import layout

# Seven standard errors: once in 4 * 10^11 for one comparison.
SIGMAS = 7.0


def chain_grid(width, seed, size=1.0, clamps=True):
    grid = random_grid(2, 1, width, coupling=1.5, signs="any", seed=seed)
    unary = size * grid.unary
    if clamps and width > 2:
        unary[0, 0, 0], unary[1, 0, width // 2] = torch.inf, -torch.inf
    return IsingGrid(unary, size * grid.right, grid.down, torch.tensor([0.0, 3.0]).double())


def as_chain(grid):
    """Nodes in a row, the coupling to the right summed before that to the left, as on grids."""
    pairwise = grid.right.flatten(1).flip(1)
    return IsingGraph(grid.unary.flatten(1), grid.edges.flip(0), pairwise, grid.constant)


@pytest.mark.parametrize(
    ("width", "chains", "beta", "seed", "size"),
    [
        (1, 1, 1.0, 0, 1.0),
        (3, 5, 0.3, 2**63 - 1, 1.0),
        (37, 1, 2.5, 7, 1.0),
        (600, 3, 0.7, 8, 1e25),
        (17, 16, 1.0, 3, 1e-30),
        (600, 33, 1.0, 4, 1.0),
        (2000, 50, 0.6, 2**40, 1.0),
    ],
)
def test_chain_of_nodes_has_the_bits_of_a_grid_of_one_row(width, chains, beta, seed, size):
    grid = chain_grid(width, seed % 100, size)
    options = {"beta": beta / size, "chains": chains, "seed": seed, "sweeps": 9, "burn_in": 2}
    expected = Gibbs(**options, sweep_offset=5).sample(grid)
    got = Gibbs(**options, sweep_offset=5).sample(as_chain(grid))
    assert torch.equal(got.masks, expected.masks.flatten(2))
    assert torch.equal(got.counts, expected.counts.flatten(2))
    assert torch.equal(got.mean, expected.mean.flatten(1))
    assert torch.allclose(got.energies, expected.energies, rtol=1e-12, atol=1e-12 * size)
    pairs = Gibbs(**options).marginals(as_chain(grid)).pairwise
    assert torch.equal(pairs.flip(1), Gibbs(**options).marginals(grid).right.flatten(1))


@given(graphs(most_nodes=9), st.sampled_from([0.3, 1.0]), st.integers(0, 2**63 - 1))
def test_gibbs_marginals_on_graphs_equal_enumeration(model, beta, seed):
    # The strongest pull of the strategy must be small enough to mix in 40 sweeps.
    pull = torch.zeros(model.shape, dtype=torch.float64)
    for side in range(2):
        pull.index_add_(1, model.edges[:, side], model.pairwise.abs().double())
    scale = max(1.0, float(pull.max()) / 2)
    model = IsingGraph(
        torch.where(model.clamped, model.unary, model.unary / scale),
        model.edges,
        model.pairwise / scale,
    )
    chains = 1000
    table = enumerate_image(model)
    weights, _ = table.probabilities(beta)
    p = (weights[:, None] * table.masks).sum(axis=0).clip(0, 1)
    masks = Gibbs(beta=beta, sweeps=1, burn_in=40, chains=chains, seed=seed).sample(model).masks
    got = masks[0].double().mean(dim=0).numpy()
    assert (np.abs(got - p) <= SIGMAS * np.sqrt(p * (1 - p) / chains) + 4 / chains).all()


@pytest.mark.parametrize("chains", [2, 40])
@pytest.mark.parametrize("signs", ["any", "associative", "repulsive"])
def test_gibbs_pairs_on_graphs_equal_enumeration(chains, signs):
    model = random_graph(1, 9, 16, coupling=0.3, signs=signs, seed=8, clamped=0.1)
    table = enumerate_image(model)
    weights, _ = table.probabilities(1.0)
    x = np.where(table.masks, 1.0, -1.0)
    result = Gibbs(sweeps=40_000 // chains, burn_in=50, chains=chains, seed=2).marginals(model)
    ends = model.edges.numpy()
    expected = weights @ (x[:, ends[:, 0]] * x[:, ends[:, 1]])
    # Autocorrelation of weak couplings: at most four sweeps to an independent state.
    assert (np.abs(result.pairwise[0].numpy() - expected) <= SIGMAS * math.sqrt(4 / 40_000)).all()
    assert result.kind == "estimate"


@given(graphs(batch=2))
def test_gibbs_energies_on_graphs_are_those_of_the_model(model):
    samples = Gibbs(sweeps=3, burn_in=0, chains=2, seed=1).sample(model)
    finite = torch.where(model.clamped, 0.0, model.unary)
    size = float(finite.abs().double().sum() + model.pairwise.abs().double().sum())
    expected = energy_of(model, 1, samples.masks[1, 1].numpy())
    assert samples.energies[1, 1, -1].item() == pytest.approx(expected, abs=2e-6 * size + 1e-12)


def same(one, other):
    return all(
        torch.equal(getattr(one, name), getattr(other, name))
        for name in ("masks", "counts", "energies")
    )


def test_gibbs_on_graphs_does_not_depend_on_threads_batch_or_groups_of_chains():
    model = random_graph(3, 300, 900, seed=3, clamped=0.1, dtype=torch.float32)
    options = {"sweeps": 5, "burn_in": 3}
    before = torch.get_num_threads()
    whole = Gibbs(chains=70, seed=(4, 5, 6), **options).sample(model)
    pairs = Gibbs(chains=70, seed=(4, 5, 6), **options).marginals(model).pairwise
    try:
        torch.set_num_threads(3)
        assert same(Gibbs(chains=70, seed=(4, 5, 6), **options).sample(model), whole)
        again = Gibbs(chains=70, seed=(4, 5, 6), **options).marginals(model).pairwise
        assert torch.equal(again, pairs)
    finally:
        torch.set_num_threads(before)
    for b, chains in ((0, 1), (1, 20), (2, 35)):
        alone = Gibbs(chains=chains, seed=(4 + b,), **options).sample(model[b])
        for name in ("masks", "counts", "energies"):
            assert torch.equal(getattr(alone, name)[0], getattr(whole, name)[b, :chains]), name


@pytest.mark.parametrize("chains", [2, 40])
def test_gibbs_on_graphs_goes_on_exactly_from_where_it_stopped(chains):
    model = random_graph(2, 120, 300, coupling=0.6)
    options = {"burn_in": 0, "chains": chains, "seed": 4}
    whole = mm.sample(model, sweeps=30, **options)
    first = mm.sample(model, sweeps=12, **options)
    rest = mm.sample(model, sweeps=18, start=first.masks, sweep_offset=first.next_sweep, **options)
    assert torch.equal(rest.masks, whole.masks)
    assert torch.equal(first.counts + rest.counts, whole.counts)
    assert torch.equal(torch.cat([first.energies, rest.energies], dim=2), whole.energies)


@pytest.mark.parametrize("chains", [3, 40])
def test_gibbs_on_graphs_honours_clamps_whatever_the_start(chains):
    model = random_graph(2, 50, 100, coupling=30.0)
    on = torch.zeros(2, 50, dtype=torch.bool)
    on[:, ::5] = True
    model = model.clamp(on=on, off=on.roll(1, 1))
    start = torch.zeros(2, chains, 50, dtype=torch.bool)
    for begin in (None, start, ~start):
        samples = Gibbs(sweeps=11, burn_in=0, chains=chains, start=begin).sample(model)
        assert (samples.mean[on] == 1).all()
        assert (samples.mean[on.roll(1, 1)] == 0).all()
        assert (samples.counts.transpose(0, 1)[:, on] == 11).all()


def test_coupling_listed_twice_counts_as_its_sum():
    model = random_graph(1, 6, 9, dtype=torch.float32, seed=2)
    twice = IsingGraph(
        model.unary,
        torch.cat([model.edges, model.edges.flip(1)]),
        torch.cat([model.pairwise, model.pairwise], dim=1) / 2,
    )
    weights, _ = enumerate_image(model).probabilities(1.0)
    assert np.allclose(weights, enumerate_image(twice).probabilities(1.0)[0])
    one, other = (
        Gibbs(chains=4000, sweeps=1, seed=s).sample(m) for s, m in ((1, model), (2, twice))
    )
    assert (one.mean - other.mean).abs().max() <= SIGMAS * math.sqrt(2 / 4 / 4000)


def test_edges_that_numpy_edits_count_as_edited():
    ends = np.array([[0, 1], [1, 2]])
    model = IsingGraph(torch.zeros(1, 3), torch.from_numpy(ends), torch.full((1, 2), 50.0))
    Gibbs(sweeps=1)(model)
    ends[:] = 0, 2
    masks = Gibbs(chains=64, seed=1)(model).masks[0]
    assert torch.equal(masks[:, 0], masks[:, 2])
    assert not torch.equal(masks[:, 0], masks[:, 1])


@pytest.mark.parametrize("method", [mm.Gibbs(), mm.MeanField(), mm.Annealing(sweeps=5)])
def test_sweeps_take_graphs_of_inference_mode(method):
    with torch.inference_mode():
        model = IsingGraph(torch.ones(1, 2), torch.tensor([[0, 1]]), torch.full((1, 1), 20.0))
        inside = method(model)
    outside = method(model)
    for name in ("masks", "mask", "probability"):
        if hasattr(inside, name):
            assert torch.equal(getattr(inside, name), getattr(outside, name))


@pytest.mark.parametrize("name", ["gibbs", "annealing", "mean_field", "cftp"])
def test_sweeps_take_graphs_on_the_cpu_only(monkeypatch, name):
    model = random_graph(1, 4, 3)
    monkeypatch.setattr(IsingGraph, "device", torch.device("cuda"))
    wanted = rf"must be on cpu for {name} on a graph; got cuda\. Call model\.to\('cpu'\)"
    with pytest.raises(RuntimeError, match=wanted):
        mm.METHODS[name]().check_model(model)


@pytest.mark.parametrize(("nodes", "edges"), [(1, 0), (9, 12), (60, 200), (40, 780)])
def test_layout_puts_every_coupling_at_both_ends_and_earlier_colours_first(nodes, edges):
    model = random_graph(1, nodes, edges, seed=nodes)
    plan = layout(model.edges, nodes)
    place = plan.place[:nodes].astype(int)
    assert (plan.node[place] == np.arange(nodes)).all()
    assert sorted(plan.place.tolist()) == list(range(len(plan.place)))
    seen = []
    for first, count, entry, entries in plan.segments.tolist():
        assert (np.diff(plan.earlier[first : first + count]) >= 0).all()
        for k in range(entries):
            for i in range(count):
                other = int(plan.neighbour[entry + k * count + i])
                # Earlier ones are updated before the whole segment, later ones after it.
                early = k < plan.earlier[first + i]
                assert other < first if early else other >= first + count
                seen.append((first + i, other, int(plan.edge[entry + k * count + i])))
    ends = place[model.edges.numpy()].reshape(-1, 2)
    wanted = [(*pair, n) for n, (i, j) in enumerate(ends.tolist()) for pair in ((i, j), (j, i))]
    assert sorted(seen) == sorted(wanted)
    assert (plan.edge[plan.twin] == plan.edge).all()
    assert (plan.twin != np.arange(len(plan.edge))).all()


def test_layout_is_made_anew_when_edges_change():
    edges = torch.tensor([[0, 1], [1, 2]])
    first = layout(edges, 4)
    assert layout(edges, 4) is first
    assert len(layout(edges, 5).node) == 5
    edges[1, 1] = 3
    assert 3 in layout(edges, 4).node[layout(edges, 4).ends[1]]


@given(graphs(), st.integers(0, 100))
def test_annealing_on_graphs_brackets_the_minimum(model, seed):
    result = Annealing(sweeps=40, chains=3, seed=seed).find_map(model)
    minimum = enumerate_image(model).minimum()
    assert result.lower_bound.item() <= minimum + 1e-9
    assert minimum <= result.energy.item() + 1e-9
    assert result.verify(model)
    assert result.status == (Status.HEURISTIC,)


def test_annealing_finds_the_minimum_of_small_frustrated_graphs():
    model = random_graph(6, 12, 40, seed=5)
    result = Annealing(sweeps=200, chains=20, seed=1).find_map(model)
    minima = [enumerate_image(model, b).minimum() for b in range(6)]
    assert result.energy.tolist() == pytest.approx(minima)
    few = Annealing(sweeps=200, chains=2, seed=1).find_map(model)
    assert (result.energy <= few.energy + 1e-12).all()


def test_annealing_of_a_chain_of_nodes_is_that_of_a_grid_of_one_row():
    grid = chain_grid(60, 4)
    for chains in (1, 18):
        method = Annealing(sweeps=50, chains=chains, seed=3)
        expected = method.find_map(grid)
        assert torch.equal(method.find_map(as_chain(grid)).mask, expected.mask[:, 0])

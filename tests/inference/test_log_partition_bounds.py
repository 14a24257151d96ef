"""The bracket of log Z: it holds always, is exact on trees, and as tight as its parts should be."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest
import torch
from factor_graphs import read_factor_graph
from graph_models import graphs, random_graph
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import enumerate_image
from strategies import grids, random_grid

import mrfmask as mm
from mrfmask import BeliefPropagation, IsingGraph, Status

UAI = [f"Grids_{n}" for n in (11, 12, 13, 14)] + [f"Segmentation_{n}" for n in (11, 12, 13)]


def brackets(bounds, log_partition):
    """Whether every value lies within; the oracle's own last digits allowed for."""
    exact = torch.as_tensor(log_partition, dtype=torch.float64)
    slack = 1e-14 * (1 + exact.abs())
    return bool(((bounds.lower <= exact + slack) & (bounds.upper >= exact - slack)).all())


def enumerated(model, beta):
    return [enumerate_image(model, b).probabilities(beta)[1] for b in range(len(model))]


@given(
    graphs(batch=2, most_nodes=9),
    st.sampled_from([0.3, 1.0, 4.0]),
    st.sampled_from([1, 200]),
    st.sampled_from([1, 2, None]),
)
@settings(max_examples=50)
def test_bounds_bracket_log_partition_of_graphs(model, beta, max_sweeps, width):
    bounds = mm.log_partition_bounds(model, beta, max_sweeps=max_sweeps, width=width)
    exact = enumerated(model, beta)
    assert brackets(bounds, exact)
    assert (bounds.gap > 0).all()
    for trace, upper, log_partition in zip(
        bounds.stats["trace"], bounds.upper.tolist(), exact, strict=True
    ):
        values = [value for _, value in trace]
        assert {(type(sweeps), type(value)) for sweeps, value in trace} == {(int, float)}
        assert all(a >= b for a, b in itertools.pairwise(values))
        assert values[-1] == pytest.approx(upper, rel=1e-14)
        assert values[-1] >= log_partition - 1e-14 * (1 + abs(log_partition))


@given(grids(diagonals=True), st.sampled_from([1, 2, None]))
@settings(max_examples=30)
def test_bounds_bracket_log_partition_of_grids(model, width):
    bounds = mm.log_partition_bounds(model, max_sweeps=100, width=width)
    assert brackets(bounds, enumerated(model, 1.0))


@pytest.mark.parametrize("signs", ["any", "associative", "repulsive"])
def test_bounds_bracket_exact_log_partition(signs):
    model = random_grid(2, 8, 14, signs=signs, coupling=0.7)
    bounds = mm.log_partition_bounds(model, width=1)
    exact = mm.Exact().marginals(model).log_partition
    assert brackets(bounds, exact)
    assert (bounds.gap < 0.1 * exact).all()
    # The checkerboard flip makes repulsive couplings associative.
    assert bounds.stats["lower_by"] == ["tree blocks" if signs == "any" else "Bethe"] * 2


def test_strips_tighten_the_upper_bound_of_frustrated_grids():
    model = random_grid(2, 7, 9, signs="any", coupling=4.0, periodic=True)
    grid, graph = (mm.log_partition_bounds(m, width=1) for m in (model, model.as_graph()))
    exact = mm.Exact().marginals(model).log_partition
    assert brackets(grid, exact)
    assert brackets(graph, exact)
    assert (grid.upper - exact < 0.5 * (graph.upper - exact)).all()


def test_bounds_bracket_at_low_temperature():
    model = random_grid(2, 3, 4, signs="any", coupling=2.0, dtype=torch.float64)
    for beta in (10.0, 1000.0):
        bounds, exact = mm.log_partition_bounds(model, beta), enumerated(model, beta)
        assert brackets(bounds, exact)
        # At worst all 12 pixels are free at the lowest energy, which strips find to 1e-9.
        lowest = torch.tensor([enumerate_image(model, b).minimum() for b in range(2)])
        assert (bounds.upper <= 12 * np.log(2) - beta * lowest + 1e-4).all()


def test_bounds_meet_on_trees():
    generator = torch.Generator().manual_seed(1)
    parents = [int(torch.randint(v, (1,), generator=generator)) for v in range(1, 16)]
    edges = torch.tensor([*enumerate(parents, start=1)])
    unary, pairwise = (3 * torch.randn(2, n, generator=generator) for n in (16, 15))
    model = IsingGraph(unary, edges, pairwise).clamp(on=torch.eye(16)[[3, 7]].bool())
    bounds = mm.log_partition_bounds(model)
    assert brackets(bounds, enumerated(model, 1.0))
    assert torch.allclose(bounds.gap, bounds.stats["rounding"].sum(dim=1), rtol=0.1, atol=1e-13)
    assert (bounds.gap < 1e-10).all()


@pytest.mark.parametrize("name", UAI)
def test_bounds_bracket_published_log_partition(shared_data, name):
    folder = shared_data / "instances/uai"
    answers = json.loads((folder / "certified.json").read_text())
    published = next(a["lnZ"] for a in answers if a["file"].endswith(f"/{name}.uai"))
    bounds = mm.log_partition_bounds(mm.load_model(folder / f"PR/{name}.uai"))
    assert bounds.lower.item() < published + 1e-6
    assert bounds.upper.item() > published - 1e-6
    # What they are worth: masks of lowest energy alone would be 0.4 to 5 nats below.
    assert bounds.lower.item() > published - 1.2
    assert bounds.upper.item() < published + 1


def test_lower_bound_is_above_published_mean_field(shared_data):
    model = read_factor_graph(shared_data / "instances/peers/libdai/testfast.fg")
    lines = (shared_data / "instances/peers/libdai/testfast.out").read_text().splitlines()
    error = next(line.split("\t")[5] for line in lines if line.startswith("MF "))
    assert 14.328233281 > mm.log_partition_bounds(model).lower.item() > 14.328233281 + float(error)


@pytest.mark.parametrize("coupling", [0.3, 1.0])
def test_lower_bound_is_above_mean_field(coupling):
    model = random_grid(3, 7, 9, coupling=coupling, signs="any", dtype=torch.float64)
    below = mm.MeanField().marginals(model).log_partition
    assert (mm.log_partition_bounds(model).lower >= below - 1e-3).all()


def test_upper_bound_is_the_tree_reweighted_optimum():
    # All pairs alike: the best forests have every edge of four nodes equally often.
    pairs = torch.combinations(torch.arange(4))
    model = IsingGraph(torch.full((1, 4), 0.3), pairs, torch.full((1, 6), -0.6)).to(torch.float64)
    half = torch.full((6,), 0.5)
    found = BeliefPropagation(edge_appearance=half, damping=0.5).marginals(model)
    bounds = mm.log_partition_bounds(model, tolerance=1e-6, max_sweeps=100_000, width=1)
    assert found.status == bounds.status == (Status.CONVERGED,)
    assert bounds.upper.item() == pytest.approx(found.log_partition.item(), abs=1e-4)
    assert bounds.upper.item() >= found.log_partition.item() - 1e-9


def test_messages_minimise_the_bound_of_their_forests():
    from mrfmask.graphs.forests import covering_forests
    from mrfmask.graphs.pairs import pairs_of
    from mrfmask.inference.conditioned import condition
    from mrfmask.inference.forest_bound import Split
    from mrfmask.inference.message_passing import pass_messages
    from mrfmask.inference.pseudo_marginals import pseudo_marginals

    model = random_graph(1, 10, 24, coupling=0.8)
    pairs = pairs_of(model.edges, 10)
    given_ = condition(model, pairs, 1.0)
    forests = covering_forests(pairs, 5)
    split = Split(pairs, forests, np.full(len(forests), 1 / len(forests)))
    potentials = (given_.field, given_.coupling)
    incoming, _, change = pass_messages(pairs, split.rho, *potentials, False, damping=0.5)
    assert change[0] <= 1e-9
    best, rounding = split.upper(*(p[0] for p in potentials), incoming[0])
    beliefs = pseudo_marginals(pairs, *potentials, split.rho, incoming)
    assert best == pytest.approx(beliefs.log_partition[0], abs=1e-8)
    chance = np.random.default_rng(0)
    for size in (1e-3, 0.1, 3.0):
        moved = incoming[0] + size * chance.standard_normal(incoming.shape[1])
        assert split.upper(*(p[0] for p in potentials), moved)[0] > best - rounding


def test_bounds_of_a_batch_are_those_of_its_models():
    model = random_graph(3, 12, 24, clamped=0.2)
    options = {"max_sweeps": 300, "width": 2}
    whole = mm.log_partition_bounds(model, **options)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        threaded = mm.log_partition_bounds(model, **options)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(whole.lower, threaded.lower)
    assert torch.equal(whole.upper, threaded.upper)
    for b in range(3):
        alone = mm.log_partition_bounds(model[b], **options)
        assert torch.equal(
            torch.cat([alone.lower, alone.upper]), torch.stack([whole.lower[b], whole.upper[b]])
        )


def test_bounds_of_huge_potentials_are_finite():
    pairs = torch.combinations(torch.arange(4))
    model = IsingGraph(torch.ones(1, 4), pairs, torch.full((1, 6), -1e25)).to(torch.float64)
    for width in (1, 2, 3):
        bounds = mm.log_partition_bounds(model, width=width)
        assert bounds.gap.isfinite().all()
        assert brackets(bounds, enumerated(model, 1.0))


def test_large_models_keep_to_forests_unless_a_width_is_given(monkeypatch):
    from mrfmask.inference import wide_bound

    generator = torch.Generator().manual_seed(0)
    pairs = torch.combinations(torch.arange(13))
    model = IsingGraph(torch.zeros(1, 13), pairs, torch.randn(1, 78, generator=generator))
    plain, forests, wide = (mm.log_partition_bounds(model, width=w) for w in (None, 1, 2))
    monkeypatch.setattr(wide_bound, "MOST_PAIRS", 40)
    large = mm.log_partition_bounds(model, width=None)
    assert plain.stats["lower_by"] != ["elimination"]  # whose tables would have width 12
    assert torch.equal(large.upper, forests.upper)
    assert torch.equal(large.lower, forests.lower)
    assert plain.upper < large.upper
    assert torch.equal(mm.log_partition_bounds(model, width=2).upper, wide.upper)


def test_max_sweeps_counts_the_sweeps_of_every_lower_bound(monkeypatch):
    from mrfmask.inference import lower_bound

    counts = []
    ascend, pass_messages = lower_bound.ascend, lower_bound.pass_messages

    def counted_ascend(*args):
        counts.append(args[-1])
        return ascend(*args)

    def counted_messages(*args, **options):
        counts.append(options["max_sweeps"])
        return pass_messages(*args, **options)

    monkeypatch.setattr(lower_bound, "ascend", counted_ascend)
    monkeypatch.setattr(lower_bound, "pass_messages", counted_messages)
    model = random_grid(1, 3, 4, signs="associative")
    bounds = mm.log_partition_bounds(model, max_sweeps=3, width=1)
    assert brackets(bounds, enumerated(model, 1.0))
    assert set(counts) == {3}


def test_many_nodes_have_bounds_as_near_as_few(monkeypatch):
    from mrfmask.inference import lower_bound

    model = random_graph(1, 14, 30, coupling=0.3)
    few = mm.log_partition_bounds(model, width=1)
    monkeypatch.setattr(lower_bound, "MANY_NODES", 13)
    many = mm.log_partition_bounds(model, width=1)
    assert brackets(many, enumerated(model, 1.0))
    assert (few.lower - many.lower).abs() < 0.1 * few.gap


def test_forests_stop_where_memory_does(monkeypatch):
    from mrfmask.inference import upper_bound

    model = random_graph(1, 14, 40, coupling=0.8)
    monkeypatch.setattr(upper_bound, "MOST_FOREST_NODES", 14)
    bounds = mm.log_partition_bounds(model, width=1)
    assert brackets(bounds, enumerated(model, 1.0))
    assert bounds.status == (Status.SWEEP_LIMIT,)


def test_an_empty_batch_has_no_bounds():
    bounds = mm.log_partition_bounds(random_grid(0, 3, 4))
    assert bounds.lower.shape == bounds.upper.shape == bounds.gap.shape == (0,)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"beta": -1.0}, ValueError, "beta must be positive and finite; got -1.0"),
        ({"max_sweeps": 0}, ValueError, "max_sweeps must lie in 1..2147483647; got 0"),
        ({"width": 0}, ValueError, "width must lie in 1..20; got 0"),
        ({"width": 2.0}, TypeError, "width must be an int; got float"),
        ({"tolerance": "1"}, TypeError, "tolerance must be a number; got str"),
    ],
)
def test_message_names_the_argument_the_rule_and_the_value(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        mm.log_partition_bounds(random_grid(1, 2, 2), **options)

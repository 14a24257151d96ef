"""Bounds on log Z by subgraphs of bounded width: covers, splits, and what width buys."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from graph_models import graphs, random_graph
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import enumerate_image
from strategies import random_grid

import mrfmask as mm
from mrfmask.graphs.bounded_width import bounded_width
from mrfmask.graphs.elimination_plan import plan_elimination
from mrfmask.graphs.pairs import pairs_of
from mrfmask.graphs.wide_blocks import _touching, wide_blocks
from mrfmask.graphs.wide_cover import wide_cover
from mrfmask.inference.conditioned import condition
from mrfmask.inference.wide_bound import WideSplit
from mrfmask.inference.wide_evidence import wide_evidence
from mrfmask.inference.wide_part import WidePart


def planned(pairs, part, width):
    """The plan of a subgraph; an error if its order has wider tables."""
    ends = np.stack([pairs.first, pairs.second], axis=1).astype(np.int64)[part.stays]
    return plan_elimination(ends, np.ones(pairs.nodes, dtype=bool), width, part.rank)


@given(graphs(most_nodes=12), st.integers(1, 4), st.integers(1, 3))
def test_cover_has_every_pair_within_the_width(model, width, parts):
    pairs = pairs_of(model.edges, model.shape[1])
    weight = np.abs(condition(model, pairs, 1.0).coupling[0])
    cover = wide_cover(pairs, weight, width, parts)
    assert (np.any([part.stays for part in cover], axis=0) == (weight > 0)).all()
    for part in cover:
        assert planned(pairs, part, width).width <= width
        assert sorted(part.rank.tolist()) == list(range(pairs.nodes))


def test_nothing_is_cut_where_the_width_does():
    for model, width in ((random_grid(1, 4, 9), 4), (random_grid(1, 3, 8, periodic=True), 8)):
        graph = model.as_graph()
        pairs = pairs_of(graph.edges, graph.shape[1])
        stays, _ = bounded_width(pairs, np.ones(len(pairs.first)), width)
        assert stays.all()


@pytest.mark.parametrize(("side", "periodic", "most"), [(16, False, 16), (10, True, 10)])
def test_grids_are_cut_in_bands(side, periodic, most):
    graph = random_grid(1, side, side, periodic=periodic).as_graph()
    pairs = pairs_of(graph.edges, side * side)
    first = wide_cover(pairs, np.ones(len(pairs.first)), 10, 2)[0]
    assert (~first.stays).sum() == most


@pytest.mark.parametrize("coupling", [1.0, 60.0])
def test_every_split_is_above_log_partition_and_has_the_slope_it_says(coupling):
    model = random_graph(1, 10, 26, coupling=coupling, clamped=0.1)
    pairs = pairs_of(model.edges, 10)
    given_ = condition(model, pairs, 1.0)
    field, weights = given_.field[0], given_.coupling[0]
    cover = wide_cover(pairs, np.abs(weights), 2, 3)
    split = WideSplit(pairs, [WidePart(pairs, part, 2) for part in cover], field, weights)
    exact = enumerate_image(model, 0).probabilities(1.0)[1] - given_.constant[0]
    chance = np.random.default_rng(0)
    for size in (0.0, 0.1, 5.0):
        z = size * chance.standard_normal(split.has.shape)
        value, rounding, slope, _ = split.upper(z)
        assert value + rounding >= exact
        assert 0 < rounding < 1e-10 * (1 + coupling)
        way = chance.standard_normal(z.shape)
        there, back = (split.upper(z + s * 1e-5 * way)[0] for s in (1, -1))
        assert (there - back) / 2e-5 == pytest.approx((slope * way).sum(), abs=1e-4)


def test_full_width_gives_log_partition():
    some = torch.arange(54).reshape(2, 3, 9) % 5 == 0
    for model in (
        random_grid(2, 8, 14, signs="any", coupling=0.7),
        random_grid(2, 8, 9, signs="any", coupling=40.0),
        random_grid(2, 3, 9, signs="any", periodic=True).clamp(on=some),
    ):
        bounds = mm.log_partition_bounds(model)
        exact = mm.Exact().marginals(model).log_partition
        assert bounds.stats["lower_by"] == ["elimination"] * 2
        for bound in (bounds.lower, bounds.upper):
            assert torch.allclose(bound, exact, rtol=1e-9, atol=0)
        assert (bounds.lower < bounds.upper).all()


def test_width_tightens_the_bound_and_is_never_worse_than_forests():
    model = random_grid(2, 7, 8, signs="any", coupling=3.0, periodic=True).as_graph()
    exact = mm.Exact().marginals(model).log_partition
    gaps = [mm.log_partition_bounds(model, width=w).upper - exact for w in (1, 3, 6)]
    assert (gaps[1] < 0.5 * gaps[0]).all()
    assert (gaps[2] < gaps[1]).all()
    assert (gaps[2] > 0).all()
    few = [mm.log_partition_bounds(model, max_sweeps=1, width=w).upper for w in (1, 2)]
    assert (few[1] <= few[0]).all()


@pytest.mark.parametrize("width", [1, 2, 3])
def test_blocks_have_all_pairs_inside_of_them(width):
    model = random_graph(1, 12, 30)
    pairs = pairs_of(model.edges, model.shape[1])
    weight = np.abs(condition(model, pairs, 1.0).coupling[0])
    part, block = wide_blocks(pairs, weight, width, wide_cover(pairs, weight, width, 1)[0])
    inside = block[pairs.first] == block[pairs.second]
    assert (part.stays == (inside & (weight > 0)))[weight > 0].all()
    assert planned(pairs, part, width).width <= width


@pytest.mark.parametrize("coupling", [0.3, 1.0, 60.0])
def test_evidence_of_blocks_is_below_log_partition(coupling):
    model = random_graph(1, 12, 30, coupling=coupling, clamped=0.1)
    pairs = pairs_of(model.edges, 12)
    given_ = condition(model, pairs, 1.0)
    field, weights = given_.field[0], given_.coupling[0]
    exact = enumerate_image(model, 0).probabilities(1.0)[1] - given_.constant[0]
    for width in (1, 2, 4):
        cover = wide_cover(pairs, np.abs(weights), width, 2)
        value, rounding = wide_evidence(cover, width, pairs, field, weights, [0 * field], 1e-9)
        assert value - rounding <= exact
        assert 0 < rounding < 1e-6 * (1 + coupling)


def test_blocks_tighten_the_lower_bound_of_grids():
    model = random_grid(2, 10, 12, signs="any")
    exact = mm.Exact().marginals(model).log_partition
    trees, wide = (mm.log_partition_bounds(model, width=w) for w in (1, 7))
    assert wide.stats["lower_by"] == ["wide blocks"] * 2
    assert (exact - wide.lower < 0.5 * (exact - trees.lower)).all()
    assert (wide.lower < exact).all()


@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(1, 30))
@settings(max_examples=20)
def test_the_node_that_touches_most_is_chosen_first_and_again(seed, nodes, count):
    chance = np.random.default_rng(seed)
    edges = [chance.choice(nodes, 2, replace=False) for _ in range(count)]
    pairs = pairs_of(torch.tensor(np.array(edges)), nodes)
    lost = np.flatnonzero(chance.random(len(pairs.first)) < 0.7)
    left = {(int(pairs.first[p]), int(pairs.second[p])) for p in lost}
    expected = []
    while left:
        expected.append(max(range(nodes), key=lambda v: (sum(v in ends for ends in left), -v)))
        left = {ends for ends in left if expected[-1] not in ends}
    assert _touching(pairs, lost) == expected

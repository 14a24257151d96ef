"""What method="auto" does with graphs."""

from __future__ import annotations

import pytest
import torch
from graph_models import graphs, random_graph
from hypothesis import given, settings
from oracles import enumerate_image
from strategies import random_grid

import mrfmask as mm
from mrfmask.inference.auto_graph import find_map_frustrated


@given(graphs(batch=2))
@settings(max_examples=30)
def test_auto_finds_the_minimum_of_small_graphs(model):
    result = mm.find_map(model)
    for b in range(2):
        assert result.energy[b].item() == pytest.approx(enumerate_image(model, b).minimum())
    assert result.status == (mm.Status.OPTIMAL,) * 2
    assert (result.gap <= 1e-5).all()
    assert result.verify(model)


@given(graphs(batch=2))
@settings(max_examples=30)
def test_frustrated_models_are_solved_where_what_is_left_is_small(model):
    result = find_map_frustrated(model, None)
    for b in range(2):
        least = enumerate_image(model, b).minimum()
        assert result.energy[b].item() == pytest.approx(least, abs=1e-9)
        assert result.lower_bound[b].item() == pytest.approx(least, abs=1e-9)
    assert result.status == (mm.Status.OPTIMAL,) * 2
    assert result.verify(model)


def test_auto_takes_each_model_by_itself():
    edges = random_graph(1, 150, 450, seed=0).edges
    generator = torch.Generator().manual_seed(0)
    pairwise = torch.randn(3, len(edges), generator=generator, dtype=torch.float64)
    pairwise[1] = pairwise[1].abs()
    unary = torch.randn(3, 150, generator=generator, dtype=torch.float64)
    unary[2] *= 20
    model = mm.IsingGraph(unary, edges, pairwise)
    result = mm.find_map(model)
    assert result.stats["methods"] == ("ilp", "graph_cut", "ilp")
    assert result.stats["ilp"]["rest"] == ("ilp", "")
    heuristic, optimal = mm.Status.HEURISTIC, mm.Status.OPTIMAL
    assert result.status == (heuristic, optimal, optimal)
    assert result.verify(model)
    for b in range(3):
        alone = mm.find_map(model[b])
        assert torch.equal(alone.mask[0], result.mask[b])
        assert alone.lower_bound.item() == result.lower_bound[b].item()
    plain = mm.Qpbo().find_map(model)
    assert (result.energy <= plain.energy + 1e-5).all()  # the cut is one of 32 bits
    assert result.lower_bound[0] > plain.lower_bound[0] + 1
    assert result.lower_bound[2] == plain.lower_bound[2]


def test_auto_takes_exact_for_what_roof_duality_leaves():
    grid = random_grid(1, 60, 60, signs="any", coupling=0.6, seed=2, dtype=torch.float64)
    model = grid.as_graph()
    result = mm.find_map(model)
    assert result.method == "qpbo"
    assert result.stats["rest"] == ("exact",)
    assert result.status == (mm.Status.OPTIMAL,)
    strips = mm.find_map(grid)
    assert result.energy.item() <= strips.energy.item() + 1e-9
    assert result.lower_bound.item() >= strips.lower_bound.item() - 1e-9


def test_auto_goes_on_with_ilp_within_a_time_limit():
    model = random_graph(1, 60, 300, 0.6, seed=3)
    assert mm.find_map(model).status == (mm.Status.HEURISTIC,)
    result = mm.find_map(model, time_limit_s=60)
    assert result.method == "ilp"
    assert result.status == (mm.Status.OPTIMAL,)
    assert result.gap.item() <= 1e-4
    assert result.verify(model)


def test_auto_closes_gaps_of_small_sparse_graphs_without_a_time_limit():
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        right, down = (
            torch.randint(2, (1, 20, 20), generator=generator) * 2.0 - 1 for _ in range(2)
        )
        model = mm.IsingGrid(torch.zeros(1, 20, 20), right, down, periodic=True).as_graph()
        result = mm.find_map(model)
        assert result.method == "ilp"
        assert result.status == (mm.Status.OPTIMAL,)
        assert result.energy == mm.Ilp().find_map(model).energy
        assert result.gap.item() <= 1e-4
        assert result.verify(model)

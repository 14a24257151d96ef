"""Proven minima of graphs and of frustrated grids too large to enumerate."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from graph_models import graphs, random_graph
from hypothesis import given
from oracles import energy_of, enumerate_image

from mrfmask.graph import IsingGraph
from mrfmask.inference.exact import Exact
from mrfmask.inference.ilp import FACTS, Ilp
from mrfmask.inference.qpbo import Qpbo
from mrfmask.model import IsingGrid
from mrfmask.result import Status


def gaussian_grid(height, width, field, seed):
    """Couplings and fields from normal distributions."""
    generator = torch.Generator().manual_seed(seed)
    shapes = (height, width), (height, width - 1), (height - 1, width)
    unary, right, down = (
        torch.randn(1, *s, generator=generator, dtype=torch.float64) for s in shapes
    )
    return IsingGrid(field * unary, right, down)


def complete_graph(nodes, field, seed):
    """Couplings between all nodes, near -1: odd cycles leave a gap."""
    generator = torch.Generator().manual_seed(seed)
    edges = torch.combinations(torch.arange(nodes))
    pairwise = -1 - 0.3 * torch.rand(1, len(edges), generator=generator, dtype=torch.float64)
    unary = field * torch.randn(1, nodes, generator=generator, dtype=torch.float64)
    return IsingGraph(unary, edges, pairwise)


@pytest.mark.parametrize("solver", ["HiGHS", "CBC"])
@given(model=graphs(batch=2))
def test_ilp_finds_the_minimum_of_graphs_and_bounds_it(solver, model):
    result = Ilp(solver=solver).find_map(model)
    assert result.mask.shape == model.shape
    assert set(result.stats) == {"solver", *FACTS}
    for b in range(2):
        minimum = enumerate_image(model, b).minimum()
        assert result.status[b] is Status.OPTIMAL
        assert result.energy[b].item() == pytest.approx(minimum, rel=1e-12, abs=1e-9)
        assert result.energy[b].item() == pytest.approx(energy_of(model, b, result.mask[b].numpy()))
        assert result.lower_bound[b].item() <= minimum
        assert result.gap[b].item() <= 2 * result.stats["rounding"][b]
        assert result.stats["rounding"][b] <= 1e-4
    assert result.verify(model)


@pytest.mark.parametrize("solver", ["HiGHS", "CBC"])
@given(model=graphs())
def test_ilp_bound_holds_for_graphs_when_time_is_up(solver, model):
    minimum = enumerate_image(model).minimum()
    for start in (None, model.unary > 0):
        result = Ilp(solver=solver, time_limit_s=1e-3, start=start).find_map(model)
        assert result.lower_bound.item() <= minimum + 1e-9 <= result.energy.item() + 2e-9
        assert torch.isfinite(result.lower_bound).all()
        assert result.energy.item() <= model.energy(model.unary > 0).item() + 1e-9


@given(model=graphs())
def test_ilp_bound_holds_for_graphs_after_few_rounds(model):
    minimum = enumerate_image(model).minimum()
    result = Ilp(rounds=2).find_map(model)
    assert result.lower_bound.item() <= minimum + 1e-9 <= result.energy.item() + 2e-9
    assert result.stats["rounds"][0] <= 2
    if result.status == (Status.OPTIMAL,):
        assert result.energy.item() == pytest.approx(minimum, rel=1e-12, abs=1e-9)


def test_ilp_goes_on_until_its_rounds_are_over():
    model = complete_graph(11, 0.5, 0)
    short, enough = (Ilp(rounds=r).find_map(model) for r in (3, 6))
    assert (short.stats["rounds"], enough.stats["rounds"]) == ((3,), (6,))
    assert short.status == enough.status == (Status.HEURISTIC,)
    assert short.lower_bound < enough.lower_bound <= enumerate_image(model).minimum()


def test_ilp_finds_the_minimum_where_energies_are_far_apart():
    # Edges that cost more than the next possible energy are fixed.
    contracted = 0
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        edges = torch.combinations(torch.arange(13))
        pairwise = torch.randint(2, (1, len(edges)), generator=generator) * 2.0 - 1
        unary = torch.randint(-1, 2, (1, 13), generator=generator).float() * (seed % 2)
        model = IsingGraph(unary, edges, pairwise)
        result, minimum = Ilp().find_map(model), enumerate_image(model).minimum()
        assert result.status == (Status.OPTIMAL,)
        assert result.energy.item() == minimum
        assert minimum - 1e-4 <= result.lower_bound.item() <= minimum
        contracted += result.stats["rounds"][0] > 0
    assert contracted


def test_ilp_gives_each_of_a_batch_what_it_gives_it_alone():
    model = random_graph(3, 30, 60, seed=1, clamped=0.1)
    together = Ilp().find_map(model)
    for b in range(3):
        alone = Ilp().find_map(model[b])
        assert torch.equal(alone.mask[0], together.mask[b])
        assert alone.lower_bound.item() == together.lower_bound[b].item()


@pytest.mark.parametrize("field", [1.0, 0.3, 0.0])
def test_ilp_agrees_with_elimination_on_frustrated_strips(field):
    for seed in range(2):
        model = gaussian_grid(8, 40, field, seed)
        result = Ilp().find_map(model)
        exact = Exact().find_map(model)
        assert result.status == (Status.OPTIMAL,)
        assert result.energy.item() == pytest.approx(exact.energy.item(), abs=1e-8)
        assert exact.energy.item() - 1e-6 <= result.lower_bound.item() <= exact.energy.item()
        assert result.stats["cuts"][0] > 50
        assert result.stats["rounds"][0] > 1
        assert field < 1 or result.stats["settled"][0] > 50


@pytest.mark.parametrize("field", [0.5, 0.0])
def test_ilp_proves_what_odd_cycles_leave_open(field, monkeypatch):
    from mrfmask.inference import ilp

    original, asked = ilp.run_highs, []

    def counted(*arguments, **options):
        asked.append(arguments)
        return original(*arguments, **options)

    monkeypatch.setattr(ilp, "run_highs", counted)
    for seed in range(3):
        model = complete_graph(11, field, seed)
        result = Ilp().find_map(model)
        minimum = enumerate_image(model).minimum()
        assert result.status == (Status.OPTIMAL,)
        assert result.energy.item() == pytest.approx(minimum, abs=1e-9)
        assert minimum - 1e-4 <= result.lower_bound.item() <= minimum
    assert asked


def test_ilp_closes_gaps_that_no_energy_lies_in():
    # Of the triangles of a complete graph of five, one in two has to displease a coupling more than
    # fractions would: their bound is 10/3, the minimum 2 times (4 couplings left - 6 cut).
    edges = torch.tensor([*itertools.combinations(range(5), 2)])
    model = IsingGraph(torch.zeros(1, 5), edges, -torch.ones(1, 10))
    result = Ilp().find_map(model)
    assert result.energy.item() == -2
    assert result.status == (Status.OPTIMAL,)
    assert result.lower_bound.item() == pytest.approx(-2, abs=1e-5)


def test_ilp_solves_parts_apart():
    blocks = [random_graph(1, 9, 20, seed=s, coupling=2.0) for s in range(4)]
    whole = IsingGraph(
        torch.cat([m.unary for m in blocks], dim=1),
        torch.cat([m.edges + 9 * k for k, m in enumerate(blocks)]),
        torch.cat([m.pairwise for m in blocks], dim=1),
    )
    result = Ilp().find_map(whole)
    minima = [enumerate_image(m).minimum() for m in blocks]
    assert result.energy.item() == pytest.approx(sum(minima), abs=1e-9)
    assert result.lower_bound.item() <= math.fsum(minima)
    # The largest of the programs, not all of them at once.
    assert result.stats["variables"][0] <= 9 + 20


def test_ilp_takes_a_model_without_couplings():
    model = IsingGraph(
        torch.tensor([[1.0, -2.0, 0.0]]), torch.zeros(0, 2).long(), torch.zeros(1, 0)
    )
    result = Ilp().find_map(model)
    assert result.mask.tolist() == [[True, False, False]]
    assert (result.energy.item(), result.status) == (-3.0, (Status.OPTIMAL,))
    assert result.stats["variables"] == (2,)


def test_ilp_of_a_graph_is_that_of_the_grid():
    grid = gaussian_grid(6, 7, 0.5, 3)
    graph = IsingGraph(grid.unary.flatten(1), grid.edges, grid.pairwise, grid.constant)
    first, second = Ilp().find_map(grid), Ilp().find_map(graph)
    assert torch.equal(first.mask.flatten(1), second.mask)
    assert np.isclose(first.lower_bound.item(), second.lower_bound.item(), rtol=1e-12)


def test_ilp_is_no_worse_than_roof_duality_when_there_is_no_time():
    model = random_graph(2, 400, 1200)
    dual = Qpbo().find_map(model)
    result = Ilp(time_limit_s=1e-4).find_map(model)
    assert result.status == (Status.TIME_LIMIT,) * 2
    assert (result.lower_bound >= dual.lower_bound).all()
    assert (result.energy <= dual.energy).all()
    assert result.stats["bound"] == ("terms",) * 2

"""Models on graphs: energies, checks and conversions between grids and graphs."""

from __future__ import annotations

import pytest
import torch
from graph_models import graphs, random_graph
from hypothesis import given
from oracles import energy_of
from strategies import grids

import mrfmask as mm


@given(graphs(batch=2))
def test_energy_is_the_sum_of_its_terms(model):
    mask = torch.rand(2, 3, model.shape[1]) < 0.5
    energies = model.energy(mask)
    for b in range(2):
        for c in range(3):
            assert float(energies[b, c]) == pytest.approx(energy_of(model, b, mask[b, c].numpy()))
    assert torch.equal(model.energy(mask[:, 0]), energies[:, 0])


@given(grids())
def test_grid_and_its_graph_have_the_same_energy(grid):
    graph = grid.as_graph()
    mask = torch.rand(grid.shape) < 0.5
    assert torch.allclose(graph.energy(mask.flatten(1)), grid.energy(mask))
    assert graph.is_associative == grid.is_associative
    assert graph.is_repulsive == grid.is_repulsive


def test_energy_is_differentiable():
    model = random_graph(2, 5, 7, clamped=0.3)
    mask = torch.rand(2, 5) < 0.5

    def energy(unary, pairwise):
        return mm.IsingGraph(unary, model.edges, pairwise).energy(mask).clamp(max=1e9)

    unary = torch.where(model.clamped, 0.5, model.unary).requires_grad_()
    assert torch.autograd.gradcheck(energy, (unary, model.pairwise.requires_grad_()))


def test_parts_of_a_batch_share_the_graph():
    model = random_graph(4, 6, 9)
    for part in (model[1], model[-3], model[:2], model[torch.tensor([3, 0])]):
        assert part.edges is model.edges
    assert torch.equal(model[torch.tensor([3, 0])].pairwise, model.pairwise[[3, 0]])
    with pytest.raises(IndexError, match="images must lie in a batch of 4; got 4"):
        model[4]
    assert model.to(torch.float32).edges.dtype == torch.int64
    assert model.to(torch.float32).constant.dtype == torch.float64


def test_clamp_fixes_nodes():
    model = random_graph(1, 4, 3)
    on = torch.tensor([[True, False, False, False]])
    clamped = model.clamp(on=on, off=on.roll(1, 1))
    assert clamped.energy(torch.zeros(1, 4, dtype=torch.bool)).isinf().all()
    assert clamped.energy(on).isfinite().all()
    with pytest.raises(ValueError, match="off must not contradict another clamp; got node 0"):
        clamped.clamp(off=on)


UNARY, EDGES = torch.zeros(2, 3), torch.tensor([[0, 1], [1, 2]])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((UNARY[0], EDGES, torch.zeros(2)), ValueError, r"unary must have shape .*unary\[None\]"),
        ((UNARY[:, :0], EDGES[:0], torch.zeros(2, 0)), ValueError, "unary must have at least one"),
        ((UNARY, EDGES.int(), torch.zeros(2, 2)), TypeError, "edges must be an int64 tensor"),
        ((UNARY, [[0, 1]], torch.zeros(2, 1)), TypeError, "edges must be an int64 tensor; got li"),
        ((UNARY, EDGES[:, :1], torch.zeros(2, 2)), ValueError, r"edges must have shape \(edges,"),
        ((UNARY, EDGES + 1, torch.zeros(2, 2)), ValueError, r"edges must join nodes 0..2; got \("),
        ((UNARY, EDGES - 1, torch.zeros(2, 2)), ValueError, "edges must join nodes 0..2"),
        ((UNARY, EDGES * 0, torch.zeros(2, 2)), ValueError, "edges must join different nodes"),
        ((UNARY, EDGES, torch.zeros(2)), ValueError, r"pairwise must have shape \(2, 2\)"),
        ((UNARY, EDGES, torch.zeros(2, 2).double()), TypeError, "pairwise must have the dtype"),
        ((UNARY, EDGES, torch.full((2, 2), torch.inf)), ValueError, "pairwise must lie in"),
        ((UNARY * torch.nan, EDGES, torch.zeros(2, 2)), ValueError, "unary must not contain NaN"),
        ((UNARY, EDGES, torch.zeros(2, 2), torch.zeros(1)), ValueError, "constant must have shape"),
    ],
)
def test_graph_names_what_is_wrong(arguments, error, message):
    with pytest.raises(error, match=message):
        mm.IsingGraph(*arguments)


@pytest.mark.parametrize("name", [n for n, method in mm.METHODS.items() if not method.graphs])
def test_method_for_grids_alone_says_so(name):
    options = {"budget": 1} if name == "kawasaki" else {}
    method = mm.METHODS[name](**options)
    with pytest.raises(TypeError, match=r"model must be an IsingGrid for .*; got an IsingGraph"):
        method(random_graph(1, 3, 2))

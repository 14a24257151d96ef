"""Minimum cuts on graphs: enumeration, the cut on grids, another solver, and what they prove."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from graph_models import balanced, graphs, random_graph, turn
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import enumerate_image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import maximum_flow
from strategies import grids, random_grid

from mrfmask import GraphCut, IsingGraph, IsingGrid, Status


def assert_exact(model, **options):
    result = GraphCut(**options)(model)
    assert result.verify(model)
    assert result.status == (Status.OPTIMAL,) * len(model)
    for b in range(len(model)):
        best = enumerate_image(model, b).minimum()
        slack = 1e-12 * (1 + abs(best))
        assert result.lower_bound[b].item() <= best + slack
        # Every potential was rounded by up to half a unit of the scale, on both sides.
        assert result.energy[b].item() <= best + 2 * result.stats["rounding"][b].item() + slack
    return result


@given(balanced(), st.sampled_from(["min", "max"]), st.booleans())
def test_cut_is_the_minimum_of_enumeration_when_signs_are_balanced(model, tie, lossless):
    assert_exact(model, tie=tie, lossless=lossless)


@settings(max_examples=40)
@given(graphs(signs="repulsive", most_nodes=9), st.data())
def test_cut_is_the_minimum_when_repulsive_on_two_colours(model, data):
    colours = torch.arange(model.shape[1]) % 2
    between = colours[model.edges[:, 0]] != colours[model.edges[:, 1]]
    kept = replace(model, edges=model.edges[between], pairwise=model.pairwise[:, between])
    assert GraphCut.accepts(kept)
    assert_exact(kept)


@given(graphs(signs="associative", most_nodes=8, dtype=torch.float64))
def test_ties_are_the_smallest_and_largest_minimum(model):
    # Potentials of few digits are not rounded, so ties are ties.
    model = replace(
        model, unary=(model.unary * 4).round() / 4, pairwise=(model.pairwise * 4).round() / 4
    )
    listed = enumerate_image(model)
    best = listed.masks[listed.energies == listed.minimum()]
    for tie, expected in (("min", best.all(axis=0)), ("max", best.any(axis=0))):
        result = GraphCut(tie=tie, lossless=True)(model)
        assert result.gap.item() == 0
        np.testing.assert_array_equal(result.mask[0].numpy(), expected)


@given(grids(signs="associative"), st.sampled_from(["min", "max"]), st.booleans())
def test_graph_of_a_grid_has_its_cut(grid, tie, lossless):
    of_grid = GraphCut(tie=tie, lossless=lossless)(grid)
    of_graph = GraphCut(tie=tie, lossless=lossless)(grid.as_graph())
    assert torch.equal(of_graph.mask.reshape(grid.shape), of_grid.mask)
    assert torch.equal(of_graph.stats["exponent"], of_grid.stats["exponent"])
    torch.testing.assert_close(of_graph.lower_bound, of_grid.lower_bound, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("signs", ["associative", "repulsive"])
def test_graph_of_a_large_grid_has_its_cut(signs):
    grid = random_grid(2, 60, 70, coupling=1.0, signs=signs, seed=3)
    for tie in ("min", "max"):
        of_grid, of_graph = (GraphCut(tie=tie)(m) for m in (grid, grid.as_graph()))
        assert torch.equal(of_graph.mask.reshape(grid.shape), of_grid.mask)
        assert of_graph.verify(grid.as_graph())


@pytest.mark.parametrize("edges", [300, 2000, 20000])
def test_bound_is_that_of_another_maximum_flow(edges):
    nodes = 400
    model = random_graph(1, nodes, edges, coupling=0.5, signs="associative", seed=edges)
    # Integers, so that both solve the same problem.
    model = replace(model, unary=(model.unary * 64).round(), pairwise=(model.pairwise * 64).round())
    source, sink = nodes, nodes + 1
    unary = 2 * model.unary[0].numpy()
    first, second = model.edges.numpy().T
    capacity = 2 * model.pairwise[0].numpy()
    starts = np.r_[np.full(nodes, source), np.arange(nodes), first, second]
    ends = np.r_[np.arange(nodes), np.full(nodes, sink), second, first]
    values = np.r_[np.maximum(unary, 0), np.maximum(-unary, 0), capacity, capacity]
    network = coo_matrix((values.astype(np.int32), (starts, ends)), shape=(nodes + 2, nodes + 2))
    flow = maximum_flow(network.tocsr(), source, sink).flow_value
    expected = flow - np.maximum(unary, 0).sum() + unary.sum() / 2 - capacity.sum() / 2
    result = GraphCut()(model)
    assert result.energy.item() == expected
    assert result.gap.item() == 0
    assert result.verify(model)


@settings(max_examples=60)
@given(balanced(), st.integers(0, 99), st.sampled_from([-40, -3, 0, 3, 40]), st.booleans())
def test_start_does_not_change_the_cut(model, seed, power, lossless):
    earlier = random_graph(len(model), model.shape[1], 0, seed=seed, dtype=model.dtype)
    scale = 2.0**power
    earlier = IsingGraph(scale * earlier.unary, model.edges, scale * model.pairwise.abs())
    start = GraphCut()(earlier)
    cold = GraphCut(lossless=lossless)(model)
    warm = GraphCut(lossless=lossless, start=start)(model)
    assert torch.equal(warm.mask, cold.mask)
    assert torch.equal(warm.lower_bound, cold.lower_bound)
    assert warm.verify(model)


def test_threads_and_batch_split_change_nothing():
    model = random_graph(6, 200, 500, signs="associative", seed=1, dtype=torch.float32)
    whole = GraphCut()(model)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        threaded = GraphCut()(model)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(threaded.mask, whole.mask)
    assert torch.equal(threaded.certificate.flow, whole.certificate.flow)
    for b in range(len(model)):
        alone = GraphCut()(model[b])
        assert torch.equal(alone.mask[0], whole.mask[b])
        assert torch.equal(alone.certificate.flow[0], whole.certificate.flow[b])


def balanced_model():
    model = random_graph(1, 30, 90, coupling=0.2, signs="associative", seed=5)
    return turn(model, torch.arange(30)[None] % 3 == 1)


@pytest.mark.parametrize("part", ["flow", "mask", "turned", "exponent"])
def test_verify_refuses_a_broken_certificate(part):
    model = balanced_model()
    result = GraphCut()(model)
    assert result.verify(model)
    value = getattr(result.certificate, part).clone()
    if part == "flow":
        # Every edge of the cut is full.
        first, second = result.certificate.mask[0, model.edges].unbind(1)
        at = int((first != second).nonzero()[0])
        value[0, at] -= value[0, at].sign()
    elif part == "exponent":
        value += 1
    else:
        value[0, 0] ^= True
    broken = replace(result, certificate=replace(result.certificate, **{part: value}))
    assert not broken.verify(model)


def test_verify_refuses_another_model_and_a_higher_bound():
    model = balanced_model()
    result = GraphCut(lossless=True)(model)
    assert not result.verify(replace(model, unary=model.unary * 1.01))
    assert not replace(
        result, certificate=replace(result.certificate, mask=~result.certificate.mask)
    ).verify(model)
    # A mask and energy that the flow does not prove to be minimal.
    mask = result.mask.clone()
    mask[0, 3] ^= True
    energy = model.energy(mask)
    assert not replace(result, mask=mask, energy=energy, lower_bound=energy).verify(model)


@given(graphs(most_nodes=7, batch=2, clamps=False))
def test_accepts_exactly_the_models_without_an_odd_cycle(model):
    nodes = model.shape[1]
    turns = [torch.tensor(t) for t in itertools.product([False, True], repeat=nodes)]
    fine = [any(bool((turn(model[b], t).pairwise >= 0).all()) for t in turns) for b in (0, 1)]
    assert GraphCut.accepts(model) == all(fine)
    if all(fine):
        return
    with pytest.raises(ValueError, match="model must have balanced couplings") as error:
        GraphCut()(model)
    number = fine.index(False)
    message = str(error.value)
    assert f"model {number}: nodes" in message
    cycle = [int(v) for v in message.split("nodes ")[1].split(", which")[0].split(", ")]
    assert is_odd_cycle(model[number], cycle)


def is_odd_cycle(model, cycle):
    """Whether couplings along the nodes can be chosen with an odd number of negative ones."""
    signs = {}
    for (a, b), value in zip(model.edges.tolist(), model.pairwise[0].tolist(), strict=True):
        if value != 0:
            signs.setdefault(frozenset((a, b)), set()).add(value < 0)
    parities = {0}
    for a, b in itertools.pairwise([*cycle, cycle[0]]):
        parities = {p ^ sign for p in parities for sign in signs.get(frozenset((a, b)), ())}
    return 1 in parities


def test_gauge_leaves_the_lowest_node_of_every_component():
    edges = torch.tensor([[3, 1], [4, 2], [1, 5]])
    model = IsingGraph(torch.zeros(1, 6), edges, torch.tensor([[-1.0, -1.0, -2.0]]))
    # Nothing pulls, so the fewest nodes on are all those that were turned.
    result = GraphCut()(model)
    assert result.mask.tolist() == [[False, False, False, True, True, True]]


def test_start_must_fit():
    model = random_graph(1, 6, 9, signs="associative")
    other = GraphCut()(random_graph(1, 6, 8, signs="associative"))
    with pytest.raises(ValueError, match="start must fit the model's"):
        GraphCut(start=other)(model)
    with pytest.raises(ValueError, match="start must be a result of graph_cut for a graph"):
        GraphCut(
            start=GraphCut()(
                IsingGrid(torch.ones(1, 2, 3), torch.ones(1, 2, 2), torch.ones(1, 1, 3))
            )
        )(model)


def test_flower_as_a_graph(shared_data):
    """The segmentation of test_published.py, its grid told as a graph of two kinds of edges."""
    data = np.load(shared_data / "instances/maxflow/flower.npz")
    excess = torch.from_numpy(data["excess"].astype(np.float64))[None]
    right, down = (torch.from_numpy(data[k].astype(np.float64))[None] for k in ("hcap", "vcap"))
    model = IsingGrid(excess / 2, right / 2, down / 2).as_graph()
    constant = excess.abs().sum() / 2 + (right.sum() + down.sum()) / 2
    least, most = (GraphCut(tie=tie)(model) for tie in ("min", "max"))
    for result, label in ((least, "label_min_source"), (most, "label_max_source")):
        assert torch.equal(result.mask[0], torch.from_numpy(data[label]).flatten())
        assert (result.energy + constant).item() == 1208089
        assert result.gap.item() == 0
        assert result.verify(model)

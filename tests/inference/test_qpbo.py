"""Roof duality against enumeration, a linear program and minimum cuts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from graph_models import graphs, random_graph
from hypothesis import given
from oracles import couplings, enumerate_image
from scipy.optimize import linprog
from strategies import grids, random_grid

from mrfmask import GraphCut, IsingGraph, IsingGrid, Qpbo, Status
from mrfmask.inference.reduced_graph import reduce_graph
from mrfmask.inference.roof_dual import roof_dual


def tied(model):
    """The model with multiples of 1/2 as potentials: exact in integers, with many ties."""
    unary = torch.where(model.clamped, model.unary, (model.unary * 2).round() / 2)
    if isinstance(model, IsingGraph):
        return replace(model, unary=unary, pairwise=(model.pairwise * 2).round() / 2)
    right, down = ((t * 2).round() / 2 for t in (model.right, model.down))
    return replace(model, unary=unary, right=right, down=down)


def check_promises(model, result):
    """Bound, labels and completion of every model of a batch, by going through all masks."""
    assert result.verify(model)
    for b in range(len(model)):
        table = enumerate_image(model, b)
        least, rounding = table.minimum(), result.stats["rounding"][b].item()
        labelled, strong, mask = (
            t[b].numpy() for t in (result.stats["persistent"], result.stats["strong"], result.mask)
        )
        slack = 2 * rounding + 1e-9 * (1 + abs(least))
        assert result.lower_bound[b].item() <= least + slack - 2 * rounding
        agree = (table.masks[:, labelled] == mask[labelled]).all(axis=1)
        assert table.energies[agree].min() <= least + slack
        assert (strong <= labelled).all()
        if rounding == 0:
            best = table.masks[table.energies <= least + 1e-9 * (1 + abs(least))]
            assert (best[:, strong] == mask[strong]).all()
        proven = result.status[b] is Status.OPTIMAL
        assert proven == labelled.all()
        if proven:
            assert result.gap[b].item() <= slack
            assert result.energy[b].item() <= least + slack


@given(graphs(batch=2))
def test_qpbo_keeps_its_promises_on_graphs(model):
    check_promises(model, Qpbo().find_map(model))


@given(grids())
def test_qpbo_keeps_its_promises_on_grids(model):
    result = Qpbo().find_map(model)
    assert result.stats["persistent"].shape == model.shape
    check_promises(model, result)


@given(graphs(dtype=torch.float64))
def test_qpbo_keeps_its_promises_on_coarse_integers(model):
    third = replace(model, unary=model.unary / 3, pairwise=model.pairwise / 7)
    check_promises(third, Qpbo(lossless=False).find_map(third))


@given(graphs(signs="any"))
def test_qpbo_labels_all_nodes_where_and_only_where_the_bound_is_the_minimum(model):
    model = tied(model)
    result = Qpbo().find_map(model)
    assert result.stats["rounding"].item() == 0
    tight = result.lower_bound.item() == enumerate_image(model).minimum()
    assert tight == bool(result.stats["persistent"].all())


@given(graphs(signs="any", most_nodes=8))
def test_qpbo_labels_whatever_a_minimum_cut_can(model):
    """A node is labelled if any minimum of the doubled model sets it against its image."""
    model = tied(model)
    nodes = model.shape[1]
    x = np.array(np.meshgrid(*[[-1, 0, 1]] * nodes, indexing="ij")).reshape(nodes, -1).T
    # Half-integral points: 0 is a node on the side of its image, which the fields do not see; a
    # coupling is pleased by one half-integral end, whatever the other.
    unary = model.unary[0].double().numpy()
    for v in np.flatnonzero(np.isinf(unary)):
        x = x[x[:, v] == np.sign(unary[v])]
    energy = -(x * np.where(np.isinf(unary), 0.0, unary)).sum(axis=1)
    merged = {}
    for (i,), (j,), value in couplings(model, 0):
        pair = (min(i, j), max(i, j))
        merged[pair] = merged.get(pair, 0.0) + value
    for (i, j), value in merged.items():
        both_half = (x[:, i] == 0) & (x[:, j] == 0)
        energy -= np.where(both_half, abs(value), value * x[:, i] * x[:, j])
    least = energy.min()
    result = Qpbo().find_map(model)
    assert result.lower_bound.item() == least + model.constant.item()
    possible = (x[energy == least] != 0).any(axis=0)
    assert np.array_equal(result.stats["persistent"][0].numpy(), possible)


def local_polytope(model):
    """The minimum of the linear program relaxation, by scipy."""
    nodes = model.shape[1]
    unary = model.unary[0].double().numpy()
    merged = {}
    for (i,), (j,), value in couplings(model, 0):
        pair = (min(i, j), max(i, j))
        merged[pair] = merged.get(pair, 0.0) + value
    pairs = list(merged)
    # y_i = P(on); z_ij = P(both on); x_i x_j = 4 z - 2 y_i - 2 y_j + 1.
    cost = np.zeros(nodes + len(pairs))
    offset = model.constant.item()
    bounds = []
    for v in range(nodes):
        if np.isinf(unary[v]):
            bounds.append((float(unary[v] > 0),) * 2)
            continue
        bounds.append((0, 1))
        cost[v] -= 2 * unary[v]
        offset += unary[v]
    rows, limits = [], []
    for k, (i, j) in enumerate(pairs):
        value = merged[i, j]
        cost[nodes + k] -= 4 * value
        cost[i] += 2 * value
        cost[j] += 2 * value
        offset -= value
        bounds.append((0, 1))
        for a, b, c, limit in ((-1, 0, 1, 0), (0, -1, 1, 0), (1, 1, -1, 1)):
            row = np.zeros_like(cost)
            row[i], row[j], row[nodes + k] = a, b, c
            rows.append(row)
            limits.append(limit)
    solved = linprog(cost, np.array(rows) if rows else None, limits or None, bounds=bounds)
    assert solved.status == 0
    return solved.fun + offset


@pytest.mark.parametrize("seed", range(12))
def test_qpbo_bound_is_that_of_the_local_polytope(seed):
    nodes = 10 + 5 * seed
    model = random_graph(1, nodes, 3 * nodes, 0.7, seed=seed, clamped=0.1 * (seed % 2))
    bound = Qpbo().find_map(model).lower_bound.item()
    assert bound == pytest.approx(local_polytope(model), rel=1e-8, abs=1e-8)


def test_qpbo_adds_parallel_edges_up():
    edges = torch.tensor([[0, 1], [1, 2], [2, 0], [1, 0]])
    model = IsingGraph(torch.tensor([[0.25, 0.0, 0.0]]), edges, torch.tensor([[-1.0, 1, 1, 3]]))
    result = Qpbo().find_map(model)
    assert result.status == (Status.OPTIMAL,)
    assert result.energy.item() == result.lower_bound.item() == -4.25


@pytest.mark.parametrize("signs", ["associative", "repulsive"])
def test_qpbo_is_a_minimum_cut_where_cuts_are_exact(signs):
    model = random_grid(2, 23, 31, signs=signs, coupling=0.8)
    result, cut = Qpbo().find_map(model), GraphCut(lossless=True).find_map(model)
    assert result.status == (Status.OPTIMAL,) * 2
    assert bool(result.stats["persistent"].all())
    assert torch.allclose(result.energy, cut.energy, atol=1e-9)
    assert (result.gap <= 2 * result.stats["rounding"] + 1e-9).all()
    assert result.verify(model)


def balanced(model, seed):
    """A model that turning some nodes round makes associative."""
    turn = torch.rand(model.shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    x = torch.where(turn, -1.0, 1.0).to(model.dtype)
    ends = x[:, model.edges[:, 0]] * x[:, model.edges[:, 1]]
    return replace(model, unary=model.unary * x, pairwise=model.pairwise * ends)


@given(graphs(signs="associative"))
def test_qpbo_solves_balanced_models(model):
    model = balanced(tied(model), seed=3)
    result = Qpbo().find_map(model)
    assert result.status == (Status.OPTIMAL,)
    assert result.gap.item() == 0
    assert result.energy.item() == enumerate_image(model).minimum()


@given(graphs())
def test_qpbo_turns_with_the_model(model):
    model = tied(model)
    turned = balanced(model, seed=5)
    first, second = Qpbo().find_map(model), Qpbo().find_map(turned)
    assert torch.equal(first.lower_bound, second.lower_bound)
    for key in ("persistent", "strong"):
        assert torch.equal(first.stats[key], second.stats[key])


def test_qpbo_gives_the_same_bits_for_every_split_and_thread_count():
    model = random_graph(5, 60, 180, 0.5, seed=4)
    whole, threads = Qpbo().find_map(model), torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        again = Qpbo().find_map(model)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(again.mask, whole.mask)
    assert torch.equal(again.certificate.flow, whole.certificate.flow)
    for b in range(5):
        alone = Qpbo().find_map(model[b])
        assert torch.equal(alone.mask[0], whole.mask[b])
        assert torch.equal(alone.certificate.flow[0], whole.certificate.flow[b])
        assert alone.lower_bound.item() == whole.lower_bound[b].item()


def test_qpbo_leaves_no_unknown_node_that_gains_by_turning():
    model = random_graph(3, 80, 320, 1.0, seed=8)
    result = Qpbo().find_map(model)
    unknown = ~result.stats["persistent"]
    assert unknown.any()
    for b, v in unknown.nonzero().tolist():
        other = result.mask.clone()
        other[b, v] ^= True
        assert model.energy(other)[b] >= result.energy[b] - 1e-12


@pytest.mark.parametrize("power", [-95, -40, 40, 95])
def test_qpbo_scales_to_the_size_of_the_potentials(power):
    model = random_graph(1, 40, 90, 0.5, seed=2)
    scaled = IsingGraph(model.unary * 2.0**power, model.edges, model.pairwise * 2.0**power)
    first, second = Qpbo().find_map(model), Qpbo().find_map(scaled)
    assert torch.equal(first.mask, second.mask)
    assert torch.equal(first.stats["persistent"], second.stats["persistent"])
    assert second.verify(scaled)


def worst_cases():
    leaves = torch.arange(1, 5001)
    star = torch.stack([torch.zeros_like(leaves), leaves], dim=1)
    third = torch.full((1, 5000), 1 / 3, dtype=torch.float64)
    third[:, ::2] *= -1
    generator = torch.Generator().manual_seed(0)
    fields = torch.randn(1, 5001, generator=generator, dtype=torch.float64)
    yield "star", IsingGraph(fields, star, third)
    path = torch.stack([torch.arange(50_000), torch.arange(1, 50_001)], dim=1)
    ends = torch.zeros(1, 50_001)
    ends[0, 0], ends[0, -1] = 1.0, -1.5
    yield "long path", IsingGraph(ends, path, torch.ones(1, 50_000))
    ring = torch.cat([path, torch.tensor([[50_000, 0]])])
    odd = torch.ones(1, 50_001)
    odd[0, 7] = -1.0
    yield "frustrated ring without fields", IsingGraph(0 * ends, ring, odd)
    parallel = torch.tensor([[0, 1], [1, 0]]).repeat(2000, 1)
    yield "parallel edges", IsingGraph(torch.ones(1, 2), parallel, torch.full((1, 4000), 0.3))
    clamped = torch.full((1, 101), torch.inf)
    clamped[0, ::2] *= -1
    yield "all clamped", IsingGraph(clamped, path[:100], torch.full((1, 100), -0.7))


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize(("name", "model"), list(worst_cases()), ids=lambda v: str(v))
def test_qpbo_bears_its_worst_cases(name, model, lossless):
    result = Qpbo(lossless=lossless).find_map(model)
    assert result.verify(model)
    frustrated = name == "frustrated ring without fields"
    assert bool(result.stats["persistent"].all()) == (not frustrated)
    slack = 2 * result.stats["rounding"].item() + 1e-9
    assert result.gap.item() <= (2.0 if frustrated else slack)


def test_qpbo_rounds_no_ordinary_float32():
    model = random_graph(4, 300, 1200, 0.8, dtype=torch.float32)
    assert (Qpbo().find_map(model).stats["rounding"] == 0).all()
    assert (Qpbo(lossless=False).find_map(model).stats["rounding"] > 0).all()


def test_qpbo_takes_diagonals():
    generator = torch.Generator().manual_seed(6)
    shapes = ((2, 3, 4), (2, 3, 3), (2, 2, 4), (2, 2, 3), (2, 2, 3))
    unary, right, down, falling, rising = (torch.randn(s, generator=generator) for s in shapes)
    model = IsingGrid(unary, right, down, down_right=falling, down_left=rising)
    result = Qpbo().find_map(model)
    assert result.stats["persistent"].shape == model.shape == result.stats["strong"].shape
    check_promises(model, result)


def test_verify_refuses_what_the_flow_does_not_prove():
    model = random_graph(1, 30, 60, 0.6, seed=1)
    result = Qpbo().find_map(model)
    certificate = result.certificate
    assert result.verify(model)
    for name in ("on", "off"):
        labels = getattr(certificate, name)
        for v in range(30):
            wrong = labels.clone()
            wrong[0, v] ^= True
            broken = replace(certificate, **{name: wrong})
            # Fewer labels may be right, too, but not without those that all minimisers share.
            if not labels[0, v] or result.stats["strong"][0, v]:
                assert not replace(result, certificate=broken).verify(model), (name, v)
    raised = replace(result, lower_bound=result.lower_bound + 1e-6)
    assert not raised.verify(model)
    for edge in range(certificate.flow.numel()):
        flow = certificate.flow.clone()
        flow.view(-1)[edge] += 2**60
        assert not replace(result, certificate=replace(certificate, flow=flow)).verify(model)
    idle = replace(certificate, flow=torch.zeros_like(certificate.flow))
    assert not replace(result, certificate=idle).verify(model)


def test_verify_refuses_a_flow_beyond_the_capacities():
    edges = torch.tensor([[0, 1]])
    model = IsingGraph(torch.tensor([[2.0, -2.0]]), edges, torch.tensor([[0.5]]))
    result = Qpbo().find_map(model)
    assert result.energy.item() == -3.5
    # As if the coupling could carry all of both fields: then any two equal states were optimal.
    unit = 2 ** (int(result.stats["exponent"]) + 1)
    none = torch.zeros(1, 2, dtype=torch.bool)
    flow = torch.tensor([[[2 * unit], [-2 * unit]]])
    certificate = replace(result.certificate, flow=flow, on=none, off=none)
    bound = torch.tensor([-0.5], dtype=torch.float64)
    forged = replace(result, mask=~none, energy=bound, lower_bound=bound, certificate=certificate)
    assert model.energy(forged.mask).item() == -0.5
    assert not forged.verify(model)


def test_verify_refuses_a_bound_that_leaves_the_rounding_out():
    model = random_graph(1, 40, 80, 0.6, seed=1)
    result = Qpbo(lossless=False).find_map(model)
    assert result.verify(model)
    raised = result.lower_bound + result.stats["rounding"] / 10
    assert not replace(result, lower_bound=raised).verify(model)


def test_verify_refuses_a_mask_without_the_labels():
    model = random_graph(1, 30, 60, 0.6, seed=1)
    result = Qpbo().find_map(model)
    node = int(result.stats["persistent"][0].nonzero()[0])
    mask = result.mask.clone()
    mask[0, node] ^= True
    assert not replace(result, mask=mask, energy=model.energy(mask)).verify(model)


@given(graphs(batch=2))
def test_reduced_graph_has_the_energies_of_the_whole(model):
    dual = roof_dual(model)
    for b in range(2):
        one, labelled = model[b], dual.labelled[b : b + 1].clone()
        labelled &= torch.arange(model.shape[1]) > 0  # something is left
        if one.clamped[0, 0]:
            continue
        reduced = reduce_graph(one, labelled, dual.mask[b : b + 1])
        left = reduced.model.shape[1]
        assert left == int((~labelled).sum())
        for _ in range(3):
            part = torch.rand(1, left) < 0.5
            whole = reduced.whole(part)
            assert torch.equal(whole[labelled], dual.mask[b : b + 1][labelled])
            assert torch.equal(whole[:, reduced.nodes], part)
            assert reduced.model.energy(part).item() == pytest.approx(one.energy(whole).item())


def test_qpbo_says_what_lossless_must_be():
    with pytest.raises(TypeError, match=r"lossless must be a bool; got int\. Use True\."):
        Qpbo(lossless=1)

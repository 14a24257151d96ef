"""Odd-cycle inequalities, linear programs over them and what these fix, against enumeration."""

from __future__ import annotations

import itertools
import math

import networkx as nx
import numpy as np
import pytest
import torch
from graph_models import graphs, random_graph
from hypothesis import given
from hypothesis import strategies as st
from oracles import enumerate_image

from mrfmask.graph import IsingGraph
from mrfmask.graphs.adjacency import adjacency
from mrfmask.graphs.odd_cycles import odd_cycles
from mrfmask.inference.cut_form import FreeForm, related
from mrfmask.inference.cut_lp import CutLp, Cycles, SideRow, violated_triangles
from mrfmask.inference.cut_relax import Tally, edge_values, energy_step, relax

LEAST = 1e-3


def all_states(nodes):
    states = list(itertools.product([False, True], repeat=nodes))
    return np.array(states, dtype=bool).reshape(2**nodes, nodes)


def left_side(cycles, k, z):
    """Sum over F minus sum over the rest, and |F| - 1; z is (..., edges)."""
    entries = slice(cycles.start[k], cycles.start[k + 1])
    sign = np.where(cycles.odd[entries], 1, -1)
    return z[..., cycles.edge[entries]] @ sign, cycles.odd[entries].sum() - 1


def largest_violation(edges, z):
    """Over all simple cycles and their odd sets, by listing them."""
    graph = nx.Graph([tuple(edge) for edge in edges])
    number = {frozenset(edge): k for k, edge in enumerate(edges)}
    worst = -math.inf
    for cycle in nx.simple_cycles(graph):
        sides = [number[frozenset(p)] for p in zip(cycle, cycle[1:] + cycle[:1], strict=True)]
        for odd in itertools.product([False, True], repeat=len(sides)):
            if sum(odd) % 2:
                values = [z[e] if o else -z[e] for e, o in zip(sides, odd, strict=True)]
                worst = max(worst, sum(values) - sum(odd) + 1)
    return worst


@st.composite
def points(draw):
    """A simple graph on up to seven nodes and a value in [0, 1] for every edge."""
    nodes = draw(st.integers(3, 7))
    pairs = list(itertools.combinations(range(nodes), 2))
    edges = sorted(draw(st.sets(st.sampled_from(pairs), min_size=3, max_size=12)))
    value = st.sampled_from([0.0, 0.0, 1.0, 1.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875])
    return nodes, edges, np.array([draw(value) for _ in edges])


@given(points())
def test_an_odd_cycle_is_found_wherever_there_is_a_violated_one(point):
    nodes, edges, z = point
    found = Cycles(*odd_cycles(adjacency(torch.tensor(edges), nodes), z, LEAST))
    assert (len(found) > 0) == (largest_violation(edges, z) > LEAST)


@pytest.mark.parametrize("hop", [0.0, 0.05])
@given(point=points())
def test_odd_cycles_are_violated_hold_for_all_masks_and_have_no_chord(hop, point):
    nodes, edges, z = point
    found = Cycles(*odd_cycles(adjacency(torch.tensor(edges), nodes), z, LEAST, hop))
    states, ends = all_states(nodes), np.array(edges)
    cuts = states[:, ends[:, 0]] != states[:, ends[:, 1]]
    for k in range(len(found)):
        value, most = left_side(found, k, z)
        assert value >= most + 0.125  # All values are multiples of it.
        assert (left_side(found, k, cuts.astype(float))[0] <= most).all()
        own = found.edge[found.start[k] : found.start[k + 1]]
        cycle = nx.Graph([edges[e] for e in own])
        assert len(set(own.tolist())) == len(own) == len(cycle)
        assert all(degree == 2 for _, degree in cycle.degree)
        assert nx.is_connected(cycle)
        within = nx.Graph(edges).subgraph(cycle.nodes)
        assert within.number_of_edges() == len(own)
    once = entries_of(found.distinct())
    assert len(once) == len(set(once))
    assert set(once) == set(entries_of(found))


def entries_of(cycles):
    slices = [slice(*ends) for ends in itertools.pairwise(cycles.start.tolist())]
    return [
        frozenset(zip(cycles.edge[s].tolist(), cycles.odd[s].tolist(), strict=True)) for s in slices
    ]


@pytest.mark.parametrize("length", [4, 15, 40])
def test_long_cycles_are_found(length):
    edges = torch.tensor([(i, (i + 1) % length) for i in range(length)])
    for share, violated in ((0.9, 1), (1.1, 0)):
        z = np.full(length, share / length)
        z[2] = 1 - z[2]
        start, edge, odd = odd_cycles(adjacency(edges, length), z, LEAST)
        assert len(start) == violated + 1
        assert sorted(edge.tolist()) == [*range(length)] * violated
        assert edge[odd].tolist() == [2] * violated


@given(graphs(clamps=False), st.integers(0, 2**32 - 1))
def test_triangles_are_violated_and_hold_for_all_masks(model, seed):
    form = FreeForm(model).cut
    z = np.random.default_rng(seed).integers(0, 5, len(form.pairs) + form.nodes) / 4
    found = violated_triangles(form, z, LEAST)
    states = all_states(form.nodes)
    cuts = states[:, form.pairs[:, 0]] != states[:, form.pairs[:, 1]]
    values = np.concatenate([cuts, states], axis=1).astype(float)
    for k in range(len(found)):
        value, most = left_side(found, k, z)
        assert value > most + LEAST
        assert (left_side(found, k, values)[0] <= most).all()


def edges_cut(form, states):
    differ = states[:, form.pairs[:, 0]] != states[:, form.pairs[:, 1]]
    return np.concatenate([differ, states], axis=1)


@given(graphs(most_nodes=9), st.booleans())
def test_relaxation_bounds_all_masks_and_more_those_against_its_advantage(model, limited):
    form = FreeForm(model).cut
    states = all_states(form.nodes)
    side = None
    if limited:
        side = SideRow(cost=np.ones(form.nodes), amount=float(form.nodes // 2), at_most=False)
        states = states[states.sum(axis=1) == form.nodes // 2]
    energies = np.array([form.energy(y) for y in states])
    relaxed = relax(form, states[0], math.inf, Tally(), side)
    lp = relaxed.lp
    slack = 1e-12 * np.abs(lp.cost).sum()
    assert lp.bound <= energies.min() + slack
    assert relaxed.bound <= energies.min() + slack
    assert relaxed.value == form.energy(relaxed.y)
    z = edges_cut(form, states)[:, : len(lp.cost)]
    against = np.where(z, lp.advantage, -lp.advantage)
    assert (energies[:, None] >= lp.bound + against - slack).all()
    if relaxed.closed:
        assert relaxed.value == pytest.approx(energies.min(), abs=1e-5)
    better = edges_cut(form, states[energies < relaxed.value - slack])[:, : len(lp.cost)]
    fixed = relaxed.fixed()
    assert (better[:, fixed] == edge_values(lp, relaxed.y)[fixed]).all()


def test_relaxation_of_a_planar_model_without_field_is_the_minimum():
    side = 4
    number = torch.arange(side * side).reshape(side, side)
    across = torch.stack([number[:, :-1], number[:, 1:]], -1).reshape(-1, 2)
    below = torch.stack([number[:-1], number[1:]], -1).reshape(-1, 2)
    edges = torch.cat([across, below])
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        pairwise = torch.randn(1, len(edges), generator=generator, dtype=torch.float64)
        model = IsingGraph(torch.zeros(1, side * side, dtype=torch.float64), edges, pairwise)
        form = FreeForm(model)
        tally = Tally()
        lp = relax(form.cut, np.zeros(side * side, dtype=bool), math.inf, tally).lp
        assert not lp.rooted
        bound = form.offset + lp.bound / form.scale
        assert bound == pytest.approx(enumerate_image(model).minimum(), abs=1e-9)
        assert tally.cuts >= len(lp.cycles) > 0


def test_slack_inequalities_are_dropped_and_the_bound_stays():
    form = FreeForm(random_graph(1, 12, 30, seed=3)).cut
    lp = relax(form, np.zeros(12, dtype=bool), math.inf, Tally()).lp
    before, bound = lp.rows, lp.bound
    lp.drop_slack(1e-3)
    assert lp.rows < before
    lp.solve(math.inf)
    fresh = CutLp(form, None)
    fresh.add(lp.cycles)
    fresh.solve(math.inf)
    assert lp.bound == pytest.approx(bound, rel=1e-12)
    assert fresh.bound == pytest.approx(bound, rel=1e-9)


@given(graphs(clamps=False, most_nodes=8), st.integers(0, 2**32 - 1))
def test_contracted_form_has_the_energies_of_the_states_it_stands_for(model, seed):
    form = FreeForm(model).cut
    random = np.random.default_rng(seed)
    groups = int(random.integers(0, form.nodes + 1))
    group = random.integers(-1, groups, form.nodes) if groups else np.full(form.nodes, -1)
    flip = random.random(form.nodes) < 0.5
    smaller = form.contract(group, flip, groups)
    assert (smaller.pairs[:, 0] < smaller.pairs[:, 1]).all()
    assert len({*map(tuple, smaller.pairs.tolist())}) == len(smaller.pairs)
    for states in all_states(groups):
        y = np.append(states, False)[group] ^ flip
        assert smaller.energy(states) == pytest.approx(form.energy(y), abs=1e-8)


@given(graphs(clamps=False, most_nodes=9))
def test_components_share_out_the_energy(model):
    form = FreeForm(model).cut
    parts = list(form.components())
    assert sorted(np.concatenate([members for members, _ in parts]).tolist()) == [
        *range(form.nodes)
    ]
    whole = nx.Graph(map(tuple, form.pairs.tolist()))
    whole.add_nodes_from(range(form.nodes))
    assert len(parts) == nx.number_connected_components(whole)
    for y in all_states(form.nodes)[::7]:
        total = form.offset + sum(part.energy(y[members]) for members, part in parts)
        assert total == pytest.approx(form.energy(y), abs=1e-8)


def test_related_nodes_follow_from_each_other():
    pairs = np.array([[0, 1], [1, 2], [4, 3]])
    group, flip, groups = related(6, pairs, np.array([True, False, True]))
    assert groups == 3
    assert group[0] == group[1] == group[2] != group[3] == group[4] != group[5]
    assert (flip[0] != flip[1], flip[1] == flip[2], flip[3] != flip[4]) == (True, True, True)


@given(graphs(most_nodes=8))
def test_form_is_balanced_if_some_mask_pleases_every_coupling(model):
    form = FreeForm(model).cut
    states = all_states(form.nodes)
    differ = states[:, form.pairs[:, 0]] != states[:, form.pairs[:, 1]]
    assert form.is_balanced() == bool((differ == (form.weight < 0)).all(axis=1).any())


@given(graphs(most_nodes=8))
def test_energies_differ_by_multiples_of_the_step(model):
    form = FreeForm(model).cut
    step = energy_step(form)
    energies = np.array([form.energy(y) for y in all_states(form.nodes)])
    if step:
        multiples = (energies - energies[0]) / step
        np.testing.assert_allclose(multiples, np.rint(multiples), atol=1e-9)


def test_energy_step_of_a_torus_is_that_of_two_couplings():
    # Each node has four couplings of 512: a flip changes the energy by 0, 1024 or 2048.
    ring = [(i, (i + 1) % 5) for i in range(5)]
    edges = [(5 * r + a, 5 * r + b) for r in range(5) for a, b in ring]
    edges += [(5 * a + c, 5 * b + c) for c in range(5) for a, b in ring]
    signs = torch.randint(2, (1, 50), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    model = IsingGraph(torch.zeros(1, 25), torch.tensor(edges), signs)
    form = FreeForm(model).cut
    assert set(np.abs(form.weight).tolist()) == {512.0}
    assert energy_step(form) == 1024


def test_odd_cycles_end_when_told_to_stop():
    triangle = adjacency(torch.tensor([[0, 1], [1, 2], [0, 2]]), 3)
    z = np.ones(3)
    assert len(Cycles(*odd_cycles(triangle, z, LEAST))) == 1
    assert len(Cycles(*odd_cycles(triangle, z, LEAST, stop=np.ones(1, dtype=bool)))) == 0

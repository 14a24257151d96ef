"""Belief propagation: exact on trees, published on loops, bounds where it says so."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from factor_graphs import read_factor_graph
from graph_models import SIGNS, graphs, random_graph
from hypothesis import given
from hypothesis import strategies as st
from oracles import enumerate_image
from strategies import ODD, TIED

import mrfmask as mm
from mrfmask import BeliefPropagation, IsingGraph, Status

SCHEDULES = ("colour", "residual")


@st.composite
def trees(draw, batch=2):
    """Models without cycles: every node but some roots is joined to one before it."""
    nodes = draw(st.integers(1, 10))
    parents = [draw(st.integers(-1, v - 1)) for v in range(1, nodes)]
    listed = [(v, p) for v, p in enumerate(parents, start=1) if p >= 0]
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    values = draw(st.sampled_from([TIED, ODD])).map(SIGNS[draw(st.sampled_from([*SIGNS]))])

    def tensor(source, columns):
        data = draw(st.lists(source, min_size=batch * columns, max_size=batch * columns))
        return torch.tensor(data, dtype=dtype).reshape(batch, columns)

    unary = tensor(values, nodes)
    kind = tensor(st.sampled_from([0.0, 0.0, 0.0, 1.0, -1.0]), nodes)
    unary = torch.where(kind == 0, unary, kind * torch.inf)
    edges = torch.tensor(listed, dtype=torch.int64).reshape(-1, 2)
    return IsingGraph(unary, edges, tensor(values, len(listed)), torch.tensor([0.0, 3.0]).double())


def enumerated(model, b, beta=1.0):
    """P(on), E[x x'] of the edges, log Z and the lowest energy, by enumeration."""
    states = enumerate_image(model, b)
    p, log_partition = states.probabilities(beta)
    x = np.where(states.masks, 1.0, -1.0)
    first, second = model.edges.T.numpy()
    pairwise = (p[:, None] * x[:, first] * x[:, second]).sum(axis=0)
    return (p[:, None] * states.masks).sum(axis=0), pairwise, log_partition, states.minimum()


@given(trees(), st.sampled_from(SCHEDULES), st.sampled_from([None, "uniform"]))
def test_belief_propagation_is_exact_on_trees(model, schedule, edge_appearance):
    method = BeliefPropagation(beta=0.7, schedule=schedule, edge_appearance=edge_appearance)
    found, best = method.marginals(model), method.find_map(model)
    rounding = 1e-11 if model.dtype == torch.float64 else 1e-6
    for b in range(len(model)):
        probability, pairwise, log_partition, minimum = enumerated(model, b, beta=0.7)
        np.testing.assert_allclose(found.probability[b], probability, atol=rounding)
        np.testing.assert_allclose(found.pairwise[b], pairwise, atol=rounding)
        assert found.log_partition[b].item() == pytest.approx(log_partition, abs=1e-10)
        assert best.energy[b].item() == pytest.approx(minimum, abs=1e-10)
    assert (best.gap <= 1e-10).all()
    assert best.status == (Status.OPTIMAL,) * 2
    assert found.status == (Status.CONVERGED,) * 2


@given(graphs(batch=2, most_nodes=8))
def test_bounds_hold_on_every_graph(model):
    method = BeliefPropagation(edge_appearance="uniform", damping=0.3)
    best, found = BeliefPropagation().find_map(model), method.marginals(model)
    assert (found.kind == "upper") == all(s == Status.CONVERGED for s in found.status)
    for b in range(len(model)):
        _, _, log_partition, minimum = enumerated(model, b)
        assert best.lower_bound[b].item() <= minimum + 1e-13 * (1 + abs(minimum))
        assert best.energy[b].item() >= minimum - 1e-13 * (1 + abs(minimum))
        if best.status[b] == Status.OPTIMAL:
            assert best.energy[b].item() == pytest.approx(minimum, abs=1e-10)
        if found.status[b] == Status.CONVERGED:
            assert found.log_partition[b].item() >= log_partition - 1e-8


def test_parallel_edges_count_as_one():
    model = random_graph(2, 7, 10, coupling=0.5, clamped=0.2)
    half = 0.5 * model.pairwise
    edges = torch.cat([model.edges, model.edges.flip(1)])
    double = IsingGraph(model.unary, edges, torch.cat([half, half], dim=1))
    one, two = (BeliefPropagation().marginals(m) for m in (model, double))
    assert torch.equal(one.probability, two.probability)
    assert torch.equal(two.pairwise, one.pairwise.repeat(1, 2))


def test_schedules_and_damping_reach_the_same_beliefs():
    model = random_graph(2, 12, 24, coupling=0.3)
    found = [
        BeliefPropagation(schedule=schedule, damping=damping).marginals(model)
        for schedule in SCHEDULES
        for damping in (0.0, 0.5)
    ]
    assert all(other.status == (Status.CONVERGED,) * 2 for other in found)
    for other in found[1:]:
        assert torch.allclose(other.probability, found[0].probability, atol=1e-8)
        assert torch.allclose(other.log_partition, found[0].log_partition, atol=1e-8)
    assert (found[1].stats["sweeps"] > found[0].stats["sweeps"]).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_sweep_limit_is_told(schedule):
    model = random_graph(1, 12, 24, coupling=1.0)
    found = BeliefPropagation(schedule=schedule, max_sweeps=2).marginals(model)
    assert found.status == (Status.SWEEP_LIMIT,)
    assert found.stats["sweeps"].tolist() == [2]
    assert found.stats["change"].item() > 1e-9


def test_threads_change_no_bit():
    model = random_graph(5, 20, 40, clamped=0.1)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(BeliefPropagation().marginals(model))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0].probability, found[1].probability)
    assert torch.equal(found[0].log_partition, found[1].log_partition)


def test_huge_potentials_stay_finite():
    chain = torch.tensor([[0, 1], [1, 2]])
    unary = torch.tensor([[0.25, 0.0, 1e25], [-1e25, 0.0, 1e-25]], dtype=torch.float64)
    model = IsingGraph(unary, chain, torch.full((2, 2), -1e28, dtype=torch.float64))
    found, best = BeliefPropagation().marginals(model), BeliefPropagation().find_map(model)
    assert torch.equal(found.probability, torch.tensor([[1.0, 0, 1], [0, 1, 0]]).double())
    assert torch.equal(best.mask, found.probability > 0.5)
    assert found.log_partition.tolist() == [2e28 + 1e25] * 2


def test_small_messages_keep_their_digits():
    model = IsingGraph(
        torch.tensor([[1e-9, 0.0]], dtype=torch.float64),
        torch.tensor([[0, 1]]),
        torch.tensor([[1e-6]], dtype=torch.float64),
    )
    from mrfmask.graphs.messages import message

    assert message(1e-9, 1e-6, False) == pytest.approx(1e-15, rel=1e-9)
    margin = 2 * BeliefPropagation().marginals(model).probability - 1
    assert margin[0, 1].item() == pytest.approx(1e-15, abs=1.2e-16)


def published(shared_data, method):
    """P(on) of the 16 variables as printed, and the error of log Z."""
    lines = (shared_data / "instances/peers/libdai/testfast.out").read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.split()[:1] == [method])
    on = [re.findall(r"[\d.]+e[+-]\d+", line)[1] for line in lines[at + 1 : at + 17]]
    return on, lines[at].split("\t")[5:6]


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("BP", {}),
        ("BP_SEQFIX", {"schedule": "colour"}),
        ("BP_SEQMAX", {"schedule": "residual"}),
        ("BP_PARALL", {"damping": 0.5}),
        # Run with the weights that its options left at 1.
        ("TRWBP", {"edge_appearance": torch.ones(24)}),
        ("TRWBP_SEQMAX", {"edge_appearance": torch.ones(24), "schedule": "residual"}),
    ],
)
def test_published_beliefs(shared_data, method, options):
    model = read_factor_graph(shared_data / "instances/peers/libdai/testfast.fg")
    on, error = published(shared_data, method)
    found = BeliefPropagation(**options).marginals(model)
    assert [f"{p:.3e}" for p in found.probability[0].tolist()] == on
    assert [f"{found.log_partition.item() - 14.328233281:+.3e}"] == error


def test_published_maximum(shared_data):
    model = read_factor_graph(shared_data / "instances/peers/libdai/testfast.fg")
    on, _ = published(shared_data, "DECMAP")
    found = BeliefPropagation().find_map(model)
    assert found.mask[0].tolist() == [float(p) > 0.5 for p in on]
    assert found.energy.item() == pytest.approx(enumerated(model, 0)[3], abs=1e-12)


def test_published_file_is_read_right(shared_data):
    model = read_factor_graph(shared_data / "instances/peers/libdai/testfast.fg")
    probability, _, log_partition, _ = enumerated(model, 0)
    assert log_partition == pytest.approx(14.328233281, abs=1e-7)
    assert [f"{p:.3e}" for p in probability] == published(shared_data, "EXACT")[0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"schedule": "random"}, ValueError, "schedule must be one of 'colour', 'residual'; got"),
        ({"damping": 1.0}, ValueError, "damping must lie in [0, 1); got 1.0"),
        ({"damping": "no"}, TypeError, "damping must be a number; got str"),
        ({"beta": 0}, ValueError, "beta must be positive and finite; got 0"),
        ({"tolerance": 0.0}, ValueError, "tolerance must be positive and finite; got 0.0"),
        ({"max_sweeps": 0}, ValueError, "max_sweeps must lie in 1..2147483647; got 0"),
        ({"edge_appearance": "all"}, TypeError, "edge_appearance must be None, 'uniform' or a"),
        ({"edge_appearance": torch.zeros(3)}, ValueError, "edge_appearance must lie in (0, 1]"),
        ({"edge_appearance": torch.ones(2)}, ValueError, "must have shape (3,), one value an edge"),
        ({"edge_appearance": torch.tensor([0.5, 1, 1])}, ValueError, "must be the same for all"),
    ],
)
def test_message_names_the_argument_the_rule_and_the_value(options, error, message):
    edges = torch.tensor([[0, 1], [1, 0], [1, 2]])
    model = IsingGraph(torch.zeros(1, 3), edges, torch.ones(1, 3))
    with pytest.raises(error, match=re.escape(message)):
        mm.marginals(model, method="belief_propagation", **options)

"""Mean field on graphs: the grids' own bits, enumeration, and gradients."""

from __future__ import annotations

import itertools

import pytest
import torch
from graph_models import graphs, random_graph
from hypothesis import given
from hypothesis import strategies as st
from oracles import enumerate_image
from strategies import random_grid

from mrfmask import IsingGraph, IsingGrid, MeanField, Status

BETAS = st.sampled_from([0.3, 1.0, 2.5])


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize(("width", "size"), [(1, 1.0), (5, 1e-28), (600, 1.0), (40, 1e26)])
def test_chain_of_nodes_has_the_means_of_a_grid_of_one_row(width, size, start):
    grid = random_grid(3, 1, width, coupling=0.8, signs="any")
    unary = size * grid.unary
    unary[0, 0, width // 2] = torch.inf
    grid = IsingGrid(unary, size * grid.right, grid.down)
    # The coupling to the right is summed before that to the left, as on grids.
    chain = IsingGraph(unary.flatten(1), grid.edges.flip(0), grid.right.flatten(1).flip(1))
    begin = 2 * torch.rand(3, 1, width, generator=torch.Generator().manual_seed(1)) - 1
    options = {"beta": 0.9 / size}
    expected = MeanField(**options, start=begin if start else None).marginals(grid)
    got = MeanField(**options, start=begin.flatten(1) if start else None).marginals(chain)
    assert torch.equal(got.probability, expected.probability.flatten(1))
    assert torch.equal(got.pairwise.flip(1), expected.right.flatten(1))
    assert torch.equal(got.stats["sweeps"], expected.stats["sweeps"])
    assert torch.allclose(got.log_partition, expected.log_partition, rtol=1e-12)
    assert got.status == expected.status


@given(graphs(), BETAS)
def test_mean_field_bound_on_graphs_is_below_log_partition_and_never_falls(model, beta):
    _, log_partition = enumerate_image(model).probabilities(beta)
    mean, values = None, []
    for _ in range(8):
        result = MeanField(beta=beta, max_sweeps=1, start=mean).marginals(model)
        mean = 2 * result.probability - 1
        values.append(result.log_partition.item())
        assert values[-1] <= log_partition + 1e-9 * (1 + abs(log_partition))
    slack = 1e-5 * (1 + max(map(abs, values)))
    assert all(b >= a - slack for a, b in itertools.pairwise(values))


@given(graphs(dtype=torch.float32, batch=2))
def test_mean_field_kernel_on_graphs_agrees_with_float64(model):
    options = {"beta": 0.4, "max_sweeps": 4, "tolerance": 1e-30}
    fast = MeanField(**options).marginals(model)
    exact = MeanField(**options).marginals(model.to(torch.float64))
    assert torch.allclose(fast.probability.double(), exact.probability, atol=5e-5)
    assert torch.allclose(fast.pairwise.double(), exact.pairwise, atol=2e-4)


def test_mean_field_on_graphs_does_not_depend_on_threads_or_batch():
    model = random_graph(4, 700, 2000, coupling=0.3, dtype=torch.float32)
    whole = MeanField().marginals(model)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(MeanField().marginals(model).probability, whole.probability)
    finally:
        torch.set_num_threads(before)
    alone = MeanField().marginals(model[2])
    assert torch.equal(alone.probability[0], whole.probability[2])
    assert alone.stats["sweeps"][0] == whole.stats["sweeps"][2]
    assert alone.status == (Status.CONVERGED,)


def test_mean_field_on_graphs_goes_on_from_a_start_and_says_when_sweeps_run_out():
    model = random_graph(2, 50, 120, coupling=0.4, dtype=torch.float32)
    whole = MeanField(max_sweeps=6, tolerance=1e-30).marginals(model)
    first = MeanField(max_sweeps=4, tolerance=1e-30).marginals(model)
    rest = MeanField(max_sweeps=2, tolerance=1e-30, start=2 * first.probability - 1)
    assert torch.allclose(rest.marginals(model).probability, whole.probability, atol=2e-7)
    assert first.status == (Status.SWEEP_LIMIT,) * 2


@given(graphs())
def test_mean_field_map_on_graphs_brackets_the_minimum(model):
    result = MeanField().find_map(model)
    minimum = enumerate_image(model).minimum()
    assert result.lower_bound.item() <= minimum + 1e-9
    assert minimum <= result.energy.item() + 1e-9
    assert result.verify(model)


def test_mean_field_on_graphs_in_float64_is_differentiable():
    model = random_graph(2, 7, 12, coupling=0.3)
    clamp = torch.zeros(2, 7, dtype=torch.bool)
    clamp[0, 1] = True

    def answer(unary, pairwise):
        clamped = IsingGraph(unary, model.edges, pairwise).clamp(on=clamp)
        result = MeanField(max_sweeps=10, tolerance=1e-30).marginals(clamped)
        return result.probability, result.pairwise

    inputs = [t.clone().requires_grad_() for t in (model.unary, model.pairwise)]
    assert torch.autograd.gradcheck(answer, inputs)

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import enumerate_image
from strategies import grids, random_grid

from mrfmask import IsingGrid, MeanField, Status

BETAS = st.sampled_from([0.3, 1.0, 2.5])


@given(grids(), BETAS)
def test_mean_field_bound_is_below_log_partition(model, beta):
    _, log_partition = enumerate_image(model).probabilities(beta)
    result = MeanField(beta=beta).marginals(model)
    assert result.kind == "lower"
    assert result.log_partition.item() <= log_partition + 1e-9 * (1 + abs(log_partition))


@given(grids(), BETAS)
def test_mean_field_bound_never_falls(model, beta):
    mean, values = None, []
    for _ in range(12):
        result = MeanField(beta=beta, max_sweeps=1, start=mean).marginals(model)
        mean = 2 * result.probability - 1
        values.append(result.log_partition.item())
    slack = 1e-5 * (1 + max(map(abs, values)))
    assert all(b >= a - slack for a, b in itertools.pairwise(values))


def test_mean_field_trace_ends_in_the_reported_bound():
    result = MeanField(max_sweeps=20, tolerance=1e-30).marginals(random_grid(2, 9, 9))
    sweeps, bounds = zip(*result.stats["trace"], strict=True)
    assert sweeps[0] == 8
    assert sweeps[-1] <= 20
    assert torch.equal(bounds[-1], result.log_partition)


@given(grids(dtype=torch.float64), BETAS)
def test_mean_field_is_a_fixed_point(model, beta):
    result = MeanField(beta=beta, tolerance=1e-6).marginals(model)
    m = 2 * result.probability - 1
    field = torch.where(model.clamped, 0.0, model.unary)
    columns, rows = model.right.shape[2], model.down.shape[1]
    padded = torch.zeros_like(m)
    padded[:, :, :columns] = model.right
    field = field + padded * m.roll(-1, 2) + padded.roll(1, 2) * m.roll(1, 2)
    padded = torch.zeros_like(m)
    padded[:, :rows] = model.down
    field = field + padded * m.roll(-1, 1) + padded.roll(1, 1) * m.roll(1, 1)
    expected = torch.where(model.clamped, model.unary.sign(), torch.tanh(beta * field))
    if result.status == (Status.CONVERGED,):
        # One more sweep moves a mean by at most the tolerance times the pull of four neighbours.
        assert (m - expected).abs().max().item() < 1e-6 * (1 + 24 * beta) + 5e-7


@given(grids(clamps=False))
def test_mean_field_is_exact_without_couplings(model):
    free = IsingGrid(model.unary, 0 * model.right, 0 * model.down, None, model.periodic)
    result = MeanField().marginals(free)
    _, log_partition = enumerate_image(free).probabilities(1.0)
    assert result.log_partition.item() == pytest.approx(log_partition, abs=1e-6)
    assert torch.allclose(result.probability, torch.sigmoid(2 * free.unary), atol=3e-7)


def test_mean_field_says_when_sweeps_run_out():
    result = MeanField(max_sweeps=2).marginals(random_grid(2, 20, 20, coupling=0.6))
    assert result.status == (Status.SWEEP_LIMIT,) * 2
    assert result.stats["sweeps"].tolist() == [2, 2]


def test_mean_field_stops_each_image_by_itself():
    easy = random_grid(1, 20, 20, coupling=0.01)
    hard = random_grid(1, 20, 20, coupling=0.5, seed=1)
    both = IsingGrid(*(torch.cat([getattr(m, n) for m in (easy, hard)]) for n in PARTS))
    result = MeanField().marginals(both)
    alone = [MeanField().marginals(m) for m in (easy, hard)]
    assert result.stats["sweeps"].tolist() == [m.stats["sweeps"].item() for m in alone]
    assert result.stats["sweeps"][0] < result.stats["sweeps"][1]
    assert torch.equal(result.probability, torch.cat([m.probability for m in alone]))


PARTS = ("unary", "right", "down")


def test_mean_field_goes_on_from_a_start():
    model = random_grid(2, 12, 9, coupling=0.4)
    whole = MeanField(max_sweeps=6, tolerance=1e-30).marginals(model)
    first = MeanField(max_sweeps=4, tolerance=1e-30).marginals(model)
    rest = MeanField(max_sweeps=2, tolerance=1e-30, start=2 * first.probability - 1)
    assert torch.allclose(rest.marginals(model).probability, whole.probability, atol=2e-7)


@given(grids())
def test_mean_field_map_brackets_the_minimum(model):
    result = MeanField().find_map(model)
    minimum = enumerate_image(model).minimum()
    assert result.lower_bound.item() <= minimum + 1e-9
    assert minimum <= result.energy.item() + 1e-9
    assert result.verify(model)


@given(grids(dtype=torch.float32))
def test_mean_field_kernel_agrees_with_float64(model):
    options = {"beta": 0.6, "max_sweeps": 6, "tolerance": 1e-30}
    fast = MeanField(**options).marginals(model)
    exact = MeanField(**options).marginals(model.to(torch.float64))
    assert torch.allclose(fast.probability.double(), exact.probability, atol=3e-5)


@pytest.mark.parametrize("periodic", [False, True])
def test_mean_field_in_float64_is_differentiable(periodic):
    model = random_grid(2, 3, 4, coupling=0.3, periodic=periodic, dtype=torch.float64)
    clamp = torch.zeros(2, 3, 4, dtype=torch.bool)
    clamp[0, 1, 1] = True

    def probability(unary, right, down):
        clamped = IsingGrid(unary, right, down, periodic=periodic).clamp(on=clamp)
        return MeanField(max_sweeps=10, tolerance=1e-30).marginals(clamped).probability

    inputs = [t.clone().requires_grad_() for t in (model.unary, model.right, model.down)]
    assert torch.autograd.gradcheck(probability, inputs)

"""Gradients through the mean-field fixed point."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import grids, random_grid

from mrfmask import IsingGrid, MeanField
from mrfmask.nn.mean_field import mean_field_logits

CONVERGED = {"tolerance": 1e-13, "max_sweeps": 5000}
CASES = [
    ("associative", False, 0.3),
    ("repulsive", False, 0.3),
    ("any", True, 0.3),
    ("associative", True, 1.0),
]


def clamped_grid(signs, periodic, coupling, dtype=torch.float64):
    model = random_grid(
        2, 3, 4, coupling=coupling, signs=signs, periodic=periodic, seed=3, dtype=dtype
    )
    where = torch.zeros(2, 3, 4, dtype=torch.bool)
    on, off = where.clone(), where
    on[0, 1, 2], off[:, 2, 0] = True, True
    return model.clamp(on=on, off=off)


def potentials(model):
    return [t.clone().requires_grad_() for t in (model.unary, model.right, model.down)]


def weighted(values, seed=1):
    """A sum with random weights, so that no symmetry hides an error."""
    return (values * torch.randn(values.shape, generator=torch.Generator().manual_seed(seed))).sum()


@given(grids(dtype=torch.float64), st.sampled_from([0.3, 1.0, 2.0]))
def test_mean_field_logits_are_those_of_the_method(model, beta):
    logits = mean_field_logits(model, beta=beta)
    expected = MeanField(beta=beta).marginals(model).probability
    # One more update of a mean that moved by less than 1e-6, with four neighbours of at most 3.
    assert torch.allclose(torch.sigmoid(logits), expected, atol=1e-6 * (1 + 12 * beta))
    assert torch.equal(torch.isinf(logits), model.clamped)


@pytest.mark.parametrize(("signs", "periodic", "coupling"), CASES)
def test_mean_field_logits_gradient_is_that_of_unrolled_sweeps(signs, periodic, coupling):
    model = clamped_grid(signs, periodic, coupling)
    beta = 0.9
    inputs = potentials(model)
    logits = mean_field_logits(IsingGrid(*inputs, None, periodic), beta=beta, **CONVERGED)
    weighted(logits.masked_fill(model.clamped, 0).sigmoid()).backward()
    unrolled = potentials(model)
    method = MeanField(beta=beta, **CONVERGED)
    probability = method.marginals(IsingGrid(*unrolled, None, periodic)).probability
    weighted(torch.where(model.clamped, 0.5, probability)).backward()
    for implicit, through_sweeps in zip(inputs, unrolled, strict=True):
        assert torch.allclose(implicit.grad, through_sweeps.grad, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize(("signs", "periodic", "coupling"), CASES)
def test_mean_field_logits_gradient_is_that_of_finite_differences(signs, periodic, coupling):
    model = clamped_grid(signs, periodic, coupling)
    free = ~model.clamped

    def logits(*tensors):
        return mean_field_logits(IsingGrid(*tensors, None, periodic), beta=1.1, **CONVERGED)[free]

    clamps = model.unary
    unary = torch.where(free, clamps, 0.0).requires_grad_()
    inputs = [unary, *potentials(model)[1:]]
    assert torch.autograd.gradcheck(
        lambda u, r, d: logits(torch.where(free, u, clamps), r, d), inputs, rtol=1e-6, atol=1e-7
    )


def test_mean_field_logits_in_float32_agree_with_float64():
    grads = []
    for dtype in (torch.float32, torch.float64):
        model = random_grid(2, 30, 40, coupling=0.3, seed=5).to(dtype)
        inputs = potentials(model)
        weighted(mean_field_logits(IsingGrid(*inputs)), seed=2).backward()
        grads.append([t.grad.double() for t in inputs])
    for fast, exact in zip(*grads, strict=True):
        assert (fast - exact).norm() < 1e-5 * exact.norm()


def test_mean_field_logits_gradient_scales_with_that_of_the_loss():
    grads = []
    for size in (1.0, 2.0**-60):
        inputs = potentials(random_grid(1, 9, 9, coupling=0.3, seed=6))
        (size * weighted(mean_field_logits(IsingGrid(*inputs)))).backward()
        grads.append([t.grad / size for t in inputs])
    for one, other in zip(*grads, strict=True):
        assert torch.allclose(one, other, rtol=1e-5)


def test_mean_field_logits_keep_precision_where_probabilities_end():
    unary = torch.tensor([[[12.0, -15.0]]], requires_grad=True)
    logits = mean_field_logits(IsingGrid(unary, torch.zeros(1, 1, 1), torch.zeros(1, 0, 2)))
    assert torch.allclose(logits, 2 * unary)
    logits.sum().backward()
    assert torch.equal(unary.grad, torch.full((1, 1, 2), 2.0))


@pytest.mark.parametrize("coupling", [1.0, 2.0])
def test_mean_field_logits_gradient_is_cut_short_at_a_saddle(coupling):
    # Means of 0, where the matrix is (1, -J; -J, 1): along (1, 1) it is 1 - J <= 0.
    unary = torch.zeros(1, 1, 2, requires_grad=True)
    right = torch.full((1, 1, 1), coupling, requires_grad=True)
    mean_field_logits(IsingGrid(unary, right, torch.zeros(1, 0, 2))).sum().backward()
    assert torch.equal(unary.grad, torch.full((1, 1, 2), 2.0))
    assert right.grad.item() == 0.0


def test_mean_field_logits_take_batches_and_images_of_no_size():
    logits = mean_field_logits(random_grid(0, 3, 4))
    assert logits.shape == (0, 3, 4)
    unary = torch.ones(1, 1, 1, requires_grad=True)
    mean_field_logits(IsingGrid(unary, torch.zeros(1, 1, 0), torch.zeros(1, 0, 1))).backward()
    assert unary.grad.item() == 2.0


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"beta": 0.0}, ValueError, "beta must be positive and finite; got 0.0"),
        ({"max_sweeps": 0}, ValueError, "max_sweeps must lie in 1.."),
        ({"tolerance": "small"}, TypeError, "tolerance must be a number; got str"),
    ],
)
def test_mean_field_logits_say_what_is_wrong(options, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        mean_field_logits(random_grid(1, 3, 3), **options)
    with pytest.raises(TypeError, match="model must be an IsingGrid; got Tensor"):
        mean_field_logits(torch.zeros(1, 3, 3))

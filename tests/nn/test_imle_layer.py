"""Implicit maximum likelihood: what its gradient is, exactly, and that its masks are MAP masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from loss_oracles import finite_differences, with_gradients
from oracles import enumerate_image
from strategies import random_grid

from mrfmask import IsingGrid
from mrfmask.nn.estimators import ESTIMATORS, Draw

BETA = 0.8


def draw_of(counts, key):
    return Draw(beta=BETA, counts=counts, key=key, temperature=None)


def least_energy(model, budget):
    """min E over the masks that honour clamps and budget, and such a mask, by enumeration."""
    states = enumerate_image(model)
    fits = np.full(len(states.masks), True)
    if budget is not None:
        fits = states.masks.sum(axis=(1, 2)) == budget
    best = states.energies[fits].argmin()
    return states.energies[fits][best], states.masks[fits][best]


@pytest.mark.parametrize("budget", [None, 4])
@pytest.mark.parametrize("signs", ["associative", "repulsive"])
def test_imle_gradient_is_that_of_a_difference_of_perturbed_maxima(signs, budget):
    changed = 0
    for seed in range(8):
        model = random_grid(1, 3, 3, coupling=0.6, signs=signs, seed=seed, dtype=torch.float64)
        on = torch.zeros(1, 3, 3, dtype=torch.bool)
        on[0, 0, 2] = True
        model = model.clamp(on=on)
        draw = draw_of(None if budget is None else torch.tensor([budget]), seed)
        noise = draw.logistic_noise(model) / (2 * BETA)
        g = torch.randn(1, 3, 3, generator=torch.Generator().manual_seed(seed)).double()
        step = 1.5
        rate = 2 * step / g[~model.clamped].abs().max()  # lambda

        def difference(model, noise=noise, g=g, rate=rate):
            near = replace(model, unary=model.unary + noise)
            far = replace(near, unary=near.unary - rate * g / 2)
            return (least_energy(far, budget)[0] - least_energy(near, budget)[0]) / rate.item()

        copy, leaves = with_gradients(model)
        mask = ESTIMATORS["imle"](step=step).masks(copy, draw)
        near = replace(model, unary=model.unary + noise)
        assert np.array_equal(mask[0].detach().numpy() > 0, least_energy(near, budget)[1])
        (mask * g).sum().backward()
        # Piecewise linear: away from kinks central differences are exact.
        for leaf, exact in zip(leaves, finite_differences(difference, model), strict=True):
            assert torch.allclose(leaf.grad, exact, rtol=1e-6, atol=1e-7)
        changed += bool(leaves[0].grad.any())
    assert changed >= 4


@pytest.mark.parametrize(("field", "step"), [(0.3, 0.05), (0.3, 1.0), (-0.7, 0.5)])
def test_imle_expected_gradient_of_independent_pixels_is_known(field, step):
    # A(u) = E|u + noise| has the derivative tanh(beta u), and pixels are drawn from p(x).
    side = 300
    unary = torch.full((1, side, side), field, dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, side, side - 1, dtype=torch.float64)
    model = IsingGrid(unary, zero, zero.mT.contiguous())
    mask = ESTIMATORS["imle"](step=step).masks(model, draw_of(None, 3))
    p = 1 / (1 + np.exp(-2 * BETA * field))
    n = side * side
    assert mask.mean().item() == pytest.approx(p, abs=7 * (p * (1 - p) / n) ** 0.5)
    (3.0 * mask).sum().backward()
    rate = 2 * step / 3.0
    exact = (np.tanh(BETA * field) - np.tanh(BETA * (field - step))) / rate
    # A pixel gives 0 or 2 / lambda.
    share = exact * rate / 2
    error = 2 / rate * (share * (1 - share) / n) ** 0.5
    assert unary.grad.mean().item() == pytest.approx(exact, abs=7 * error)


def test_imle_gradient_scales_with_that_of_the_loss_and_is_0_without_one():
    gradients = []
    for size in (1.0, 2.0**-40, 0.0):
        model, leaves = with_gradients(random_grid(2, 8, 9, coupling=0.4))
        mask = ESTIMATORS["imle"]().masks(model, draw_of(None, 1))
        (size * mask * torch.arange(9.0)).sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for one, small, none in zip(*gradients, strict=True):
        assert one.any()
        assert torch.equal(one * 2.0**-40, small)
        assert not none.any()

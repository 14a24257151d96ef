"""Estimators from samples: their expected gradients, exactly and with the samplers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from loss_oracles import finite_differences, with_gradients
from oracles import enumerate_image
from strategies import random_grid

from mrfmask import IsingGrid
from mrfmask.nn.estimators.covariance import mean_of_masks
from mrfmask.nn.layers import MaskLayer

BETA = 0.8
# (height, width, signs, budget, clamps)
SMALL = [(2, 2, "any", None), (2, 3, "associative", None), (2, 3, "any", 3), (2, 3, "any", 2)]


def small_grid(height, width, signs):
    """One image with the last pixel clamped on, in float64."""
    model = random_grid(1, height, width, coupling=0.7, signs=signs, seed=7, dtype=torch.float64)
    on = torch.zeros(1, height, width, dtype=torch.bool)
    on[0, -1, -1] = True
    return model.clamp(on=on)


def states_of(model, budget, beta=BETA):
    """All masks that honour clamps and budget, and their probabilities, by enumeration."""
    states = enumerate_image(model)
    fits = np.full(len(states.masks), True)
    if budget is not None:
        fits = states.masks.sum(axis=(1, 2)) == budget
    weights = np.exp(-beta * states.energies[fits])
    return states.masks[fits], weights / weights.sum()


def losses_of(masks, seed=5):
    """A loss that is not linear in the mask: quadratic, from every pair of pixels."""
    flat = np.asarray(masks, dtype=np.float64).reshape(*masks.shape[:-2], -1)
    weights = np.random.default_rng(seed).normal(size=(flat.shape[-1],) * 2)
    return np.einsum("...i,ij,...j->...", flat, weights, flat) + 3.0


def expected_loss(model, budget):
    masks, probabilities = states_of(model, budget)
    return probabilities @ losses_of(masks)


def every_pair(model, budget):
    """A batch with a copy of the model for every ordered pair of masks, the pairs, their p."""
    masks, probabilities = states_of(model, budget)
    number = len(masks)
    first, second = np.divmod(np.arange(number**2), number)
    pairs = torch.from_numpy(np.stack([masks[first], masks[second]], axis=1))
    batch, leaves = with_gradients(model[torch.zeros(number**2, dtype=torch.int64)])
    return batch, leaves, pairs, torch.from_numpy(probabilities[first] * probabilities[second])


@pytest.mark.parametrize(("height", "width", "signs", "budget"), SMALL)
def test_surrogate_has_the_gradient_of_the_expected_loss(height, width, signs, budget):
    model = small_grid(height, width, signs)
    batch, leaves, pairs, weights = every_pair(model, budget)
    layer = MaskLayer("score_function", budget, beta=BETA, samples=2)
    losses = torch.from_numpy(losses_of(pairs.numpy()))
    layer.surrogate(batch, pairs.double(), losses).backward()
    exact = finite_differences(lambda m: expected_loss(m, budget), model)
    for leaf, expected in zip(leaves, exact, strict=True):
        # The surrogate is a mean over images; the expectation weights them.
        estimate = torch.einsum("b,bhw->hw", weights * len(batch), leaf.grad)
        assert torch.allclose(estimate, expected[0], rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(("height", "width", "signs", "budget"), SMALL)
def test_mean_of_masks_has_the_derivative_of_the_expected_mask(height, width, signs, budget):
    model = small_grid(height, width, signs)
    batch, leaves, pairs, weights = every_pair(model, budget)
    v = np.random.default_rng(2).normal(size=(height, width))
    (mean_of_masks(batch, pairs, BETA) * torch.from_numpy(v)).sum().backward()

    def expected(model):
        masks, probabilities = states_of(model, budget)
        return probabilities @ (masks * v).sum(axis=(1, 2))

    for leaf, exact in zip(leaves, finite_differences(expected, model), strict=True):
        estimate = torch.einsum("b,bhw->hw", weights, leaf.grad)
        assert torch.allclose(estimate, exact[0], rtol=1e-7, atol=1e-8)


def test_surrogate_is_the_mean_loss_and_passes_on_its_gradient():
    model, _ = with_gradients(random_grid(2, 3, 4))
    layer = MaskLayer("score_function", samples=3, sweeps=2)
    masks = layer(model)
    scale = torch.tensor(2.0, requires_grad=True)
    losses = scale * masks.mean(dim=(2, 3))
    value = layer.surrogate(model, masks, losses)
    assert torch.equal(value, losses.mean())
    value.backward()
    assert scale.grad.item() == pytest.approx(masks.mean().item())


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_surrogate_gradient_does_not_depend_on_the_level_of_the_losses(offset):
    model, leaves = with_gradients(random_grid(2, 4, 4))
    layer = MaskLayer("score_function", samples=3, sweeps=2)
    masks = layer(model)
    layer.surrogate(model, masks, torch.full((2, 3), offset)).backward()
    assert all(torch.equal(leaf.grad, torch.zeros_like(leaf)) for leaf in leaves)


def exact_gradients(model, budget, loss):
    """beta Cov[loss, phi] over all masks: the gradient of the expected loss of an open grid."""
    masks, probabilities = states_of(model, budget)
    weights = BETA * probabilities * (loss(masks) - probabilities @ loss(masks))
    x = np.where(masks, 1.0, -1.0)
    statistics = (x, x[:, :, 1:] * x[:, :, :-1], x[:, 1:] * x[:, :-1])
    return [torch.from_numpy(np.einsum("s,shw->hw", weights, phi)) for phi in statistics]


# 4000 images of one model: the mean gradient is that of the expected loss within 7 of its own
# standard errors.
@pytest.mark.parametrize("budget", [None, 5])
@pytest.mark.parametrize("name", ["score_function", "covariance"])
def test_sampled_gradients_are_exact_on_average(name, budget):
    images = 4000
    model = random_grid(1, 4, 4, coupling=0.4, signs="any", seed=3, dtype=torch.float64)
    batch, leaves = with_gradients(model[torch.zeros(images, dtype=torch.int64)])
    layer = MaskLayer(name, budget, beta=BETA, samples=8, sweeps=40, seed=11)
    masks = layer(batch)
    if name == "covariance":
        v = np.random.default_rng(2).normal(size=(4, 4))
        (masks * torch.from_numpy(v)).sum().backward()
        exact = exact_gradients(model, budget, lambda masks: (masks * v).sum(axis=(1, 2)))
    else:
        losses = torch.from_numpy(losses_of(masks.numpy()))
        (images * layer.surrogate(batch, masks, losses)).backward()
        exact = exact_gradients(model, budget, losses_of)
    for leaf, expected in zip(leaves, exact, strict=True):
        error = leaf.grad.std(dim=0) / images**0.5
        assert ((leaf.grad.mean(dim=0) - expected).abs() <= 7 * error).all()
        assert error.max() < 0.2 * expected.abs().max()


@pytest.mark.parametrize("name", ["score_function", "covariance"])
def test_sampled_masks_are_as_many_as_asked_for_and_differ(name):
    model = random_grid(2, 5, 5)
    mask = MaskLayer(name, samples=6, sweeps=3)(model)
    if name == "covariance":
        assert mask.shape == (2, 5, 5)
        assert torch.equal((6 * mask).round(), 6 * mask)
        return
    assert mask.shape == (2, 6, 5, 5)
    assert not mask.requires_grad
    assert len(mask[0].flatten(1).unique(dim=0)) > 3


def test_surrogate_says_what_is_wrong():
    model = random_grid(2, 3, 4)
    layer = MaskLayer("score_function", samples=3, sweeps=1)
    masks = layer(model)
    losses = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"losses must have shape \(2, 3\); got \(2,\)"):
        layer.surrogate(model, masks, losses[:, 0])
    with pytest.raises(ValueError, match=r"masks must have shape \(2, 3, 3, 4\); got \(2, 3, 4\)"):
        layer.surrogate(model, masks[:, 0], losses)
    clamped = replace(model, unary=torch.where(masks[:, 1] > 0, -torch.inf, model.unary))
    with pytest.raises(ValueError, match="masks must honour the clamps of the model; got sample"):
        layer.surrogate(clamped, masks, losses)
    with pytest.raises(ValueError, match="masks must be 0 and 1"):
        layer.surrogate(model, masks * 0.5, losses)
    with pytest.raises(ValueError, match="losses must be finite"):
        layer.surrogate(model, masks, losses / 0)
    with pytest.raises(ValueError, match="estimator must be 'score_function' for surrogate; got"):
        MaskLayer("imle").surrogate(model, masks, losses)
    with pytest.raises(TypeError, match="samples must be an int; got float"):
        MaskLayer("covariance", samples=2.0)
    with pytest.raises(ValueError, match=r"samples must lie in 2\.\.2147483647; got 1"):
        MaskLayer("score_function", samples=1)


def test_samples_are_drawn_from_the_model_at_beta():
    # One pixel without neighbours: on with probability sigmoid(2 beta unary).
    unary = torch.full((1, 100, 100), 0.4)
    model = IsingGrid(unary, torch.zeros(1, 100, 99), torch.zeros(1, 99, 100))
    mask = MaskLayer("covariance", beta=2.0, samples=10, sweeps=1)(model)
    p = torch.sigmoid(torch.tensor(1.6)).item()
    assert mask.mean().item() == pytest.approx(p, abs=7 * (p * (1 - p) / 1e5) ** 0.5)

"""Estimators whose masks lie between 0 and 1: derivatives, sums, and hard masks in their place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from loss_oracles import with_gradients
from strategies import random_grid

from mrfmask import IsingGrid, MeanField, budget_path
from mrfmask.nn.estimators import ESTIMATORS, Draw
from mrfmask.nn.estimators.soft_masks import soft_masks, top_pixels
from mrfmask.nn.estimators.tv_prox import entry_map

CONVERGED = {"tolerance": 1e-13, "max_sweeps": 5000}


def draw_of(counts=None, temperature=0.4, key=3, beta=1.0):
    return Draw(beta=beta, counts=counts, key=key, temperature=temperature)


def clamped_grid(signs="associative", periodic=False, coupling=0.8, seed=3):
    model = random_grid(
        2, 4, 4, coupling=coupling, signs=signs, periodic=periodic, seed=seed, dtype=torch.float64
    )
    on = torch.zeros(2, 4, 4, dtype=torch.bool)
    off = on.clone()
    on[0, 1, 2], off[:, 3, 0] = True, True
    return model.clamp(on=on, off=off)


def check_gradient(function, model, step=1e-6, tolerance=1e-4):
    """Backward against central differences, for all potentials of free pixels and couplings."""
    free = ~model.clamped

    def masks(unary, right, down):
        unary = torch.where(free, unary, model.unary)
        return function(IsingGrid(unary, right, down, None, model.periodic))

    unary = torch.where(free, model.unary, 0.0).requires_grad_()
    inputs = (unary, *with_gradients(model)[1][1:])
    assert torch.autograd.gradcheck(masks, inputs, eps=step, rtol=tolerance, atol=tolerance)


COUNTS = torch.tensor([6, 11])


@pytest.mark.parametrize("counts", [None, COUNTS])
@pytest.mark.parametrize(("signs", "periodic"), [("any", False), ("associative", True)])
def test_mean_field_masks_have_the_gradient_of_finite_differences(signs, periodic, counts):
    model = clamped_grid(signs, periodic, coupling=0.3)
    estimator = ESTIMATORS["mean_field"](**CONVERGED)
    check_gradient(lambda m: estimator.masks(m, draw_of(counts, beta=1.2)), model, tolerance=1e-6)


def test_mean_field_masks_have_the_gradient_of_unrolled_sweeps():
    model = clamped_grid(coupling=0.3)
    v = torch.randn(model.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradients = []
    for unrolled in (False, True):
        copy, leaves = with_gradients(model)
        if unrolled:
            mask = MeanField(beta=1.2, **CONVERGED).marginals(copy).probability
        else:
            mask = ESTIMATORS["mean_field"](**CONVERGED).masks(copy, draw_of(beta=1.2))
        torch.where(model.clamped, 0.0, mask * v).sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for implicit, exact in zip(*gradients, strict=True):
        assert torch.allclose(implicit, exact, rtol=1e-6, atol=1e-10)


def test_mean_field_masks_with_a_budget_move_all_logits_by_one_number():
    model = clamped_grid("any", coupling=0.3)
    plain, budgeted = (
        ESTIMATORS["mean_field"]().masks(model, draw_of(counts)) for counts in (None, COUNTS)
    )
    shift = (torch.logit(budgeted) - torch.logit(plain))[~model.clamped]
    first = int((~model.clamped[0]).sum())
    for image in (shift[:first], shift[first:]):
        assert (image - image[0]).abs().max() < 1e-6
        assert image[0].abs() > 0.1


@pytest.mark.parametrize("counts", [None, COUNTS])
@pytest.mark.parametrize("logits", ["mean_field", "unary"])
def test_gumbel_masks_have_the_gradient_of_finite_differences(logits, counts):
    model = clamped_grid("any", coupling=0.3)
    estimator = ESTIMATORS["gumbel"](logits=logits)
    # The logits' own tolerance of 1e-6 bounds what differences of masks can tell.
    check_gradient(lambda m: estimator.masks(m, draw_of(counts)), model, step=1e-3, tolerance=5e-3)


class Quantiles(Draw):
    """Noise at the midpoints of equal shares of the logistic distribution."""

    def logistic_noise(self, model):
        n = model.unary[0].numel()
        u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
        return torch.log(u / (1 - u)).reshape(1, *model.shape[1:]).expand(model.shape)


@pytest.mark.parametrize("temperature", [0.3, 1.0])
@pytest.mark.parametrize("field", [-1.0, 0.3])
def test_gumbel_gradient_is_on_average_that_of_the_expected_loss(field, temperature):
    beta, n = 0.7, 40000
    unary = torch.full((1, 1, n), field, dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, 1, n - 1, dtype=torch.float64)
    model = IsingGrid(unary, zero, zero[:, :0, :].new_zeros(1, 0, n))
    draw = Quantiles(beta=beta, counts=None, key=0, temperature=temperature)
    mask = ESTIMATORS["gumbel"](logits="unary").masks(model, draw)
    mask.square().mean().backward()  # a loss that is not linear in the mask

    # E[m^2] by the trapezoidal rule over the noise, from its density.
    noise = np.linspace(-45.0, 45.0, 200001)
    density = 0.25 / np.cosh(noise / 2) ** 2

    def loss(u):
        m = 1 / (1 + np.exp(-(2 * beta * u + noise) / temperature))
        return float(((m**2 * density)[:-1]).sum() * (noise[1] - noise[0]))

    exact = (loss(field + 1e-4) - loss(field - 1e-4)) / 2e-4
    assert unary.grad.sum().item() == pytest.approx(exact, abs=2e-5)
    assert mask.square().mean().item() == pytest.approx(loss(field), abs=2e-5)


def test_noise_is_logistic_and_of_its_key():
    model = random_grid(2, 300, 300)
    noise = draw_of(key=5).logistic_noise(model)
    for point in (-3.0, -0.5, 0.0, 1.0, 4.0):
        p = 1 / (1 + np.exp(-point))
        share = (noise < point).double().mean().item()
        assert share == pytest.approx(p, abs=7 * (p * (1 - p) / noise.numel()) ** 0.5)
    assert torch.equal(noise, draw_of(key=5).logistic_noise(model))
    for other in (draw_of(key=6).logistic_noise(model), noise.flip(0)):
        assert (other == noise).double().mean() < 1e-3


@pytest.mark.parametrize("counts", [None, COUNTS])
@pytest.mark.parametrize(("coupling", "periodic"), [(0.2, False), (0.8, False), (0.8, True)])
def test_tv_prox_masks_have_the_gradient_of_finite_differences(coupling, periodic, counts):
    model = clamped_grid(periodic=periodic, coupling=coupling)
    estimator = ESTIMATORS["tv_prox"]()
    check_gradient(lambda m: estimator.masks(m, draw_of(counts)), model, tolerance=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_entry_map_has_the_gradient_of_finite_differences(seed):
    model = clamped_grid(coupling=0.6, seed=seed)
    sizes = budget_path(model).block.flatten(1).unique(dim=1)
    assert 2 < sizes.shape[1] < 28  # blocks of several pixels, and several blocks
    free = ~model.clamped
    check_gradient(lambda m: torch.where(free, entry_map(m), 0.0), model, tolerance=1e-5)


def test_entry_map_ignores_what_comes_back_to_clamped_pixels():
    gradients = []
    for g in (torch.ones(2, 4, 4), (~clamped_grid().clamped).double()):
        model, leaves = with_gradients(clamped_grid())
        entry_map(model).backward(g.double())
        gradients.append([leaf.grad for leaf in leaves])
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)
    assert not gradients[0][0][model.clamped].any()


def test_tv_prox_masks_are_the_map_mask_when_cold():
    model = clamped_grid()
    mask = ESTIMATORS["tv_prox"]().masks(model, draw_of(temperature=1e-4))
    assert torch.equal(mask > 0.5, budget_path(model).mask_at(0.0))
    assert (mask * (1 - mask)).max() < 1e-3


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_soft_masks_sum_to_the_count(scale):
    generator = torch.Generator().manual_seed(1)
    logits = scale * torch.randn(40, 30, 30, generator=generator, dtype=torch.float64)
    logits[:, 3:6] = 0.0  # a block, which the threshold must cut through
    logits[1::2, 0] = torch.inf
    logits[2::3, 1] = -torch.inf
    counts = torch.linspace(30, 870, 40).long()
    counts[0], counts[1], counts[3] = 0, 30, 900  # none, only clamped ones, all
    for dtype in (torch.float64, torch.float32):
        mask = soft_masks(logits.to(dtype), counts, 0.1, hard=False)
        assert mask.dtype == dtype
        assert (mask.double().sum(dim=(1, 2)) - counts).abs().max() < 1e-4
        assert ((mask >= 0) & (mask <= 1)).all()
        assert (mask[1::2, 0] == 1).all()
        assert (mask[2::3, 1] == 0).all()


def test_soft_masks_have_finite_gradients_when_nothing_is_left_to_choose():
    logits = torch.tensor([[[1.0, -torch.inf, 2.0]]] * 3, requires_grad=True)
    mask = soft_masks(logits, torch.tensor([0, 2, 1]), 1e-9, hard=False)
    mask.sum().backward()
    assert logits.grad.isfinite().all()


def test_top_pixels_are_the_largest_and_the_first_of_equals():
    values = torch.tensor([[[0.0, torch.inf, 0.0], [0.0, 5.0, -torch.inf]]]).repeat(3, 1, 1)
    mask = top_pixels(values, torch.tensor([0, 3, 5]))
    assert mask.int().tolist() == [
        [[0, 0, 0], [0, 0, 0]],
        [[1, 1, 0], [0, 1, 0]],
        [[1, 1, 1], [1, 1, 0]],
    ]


@pytest.mark.parametrize("counts", [None, COUNTS])
@pytest.mark.parametrize("name", ["mean_field", "gumbel", "tv_prox"])
def test_hard_masks_go_forward_and_soft_gradients_back(name, counts):
    gradients, masks = [], []
    for hard in (False, True):
        model, leaves = with_gradients(clamped_grid(coupling=0.3))
        mask = ESTIMATORS[name](hard=hard).masks(model, draw_of(counts))
        (mask * torch.arange(16.0).reshape(4, 4)).sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
        masks.append(mask.detach())
    soft, hard = masks
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert ((hard == 0) | (hard == 1)).all()
    if counts is None:
        assert torch.equal(hard, (soft > 0.5).double())
    else:
        assert torch.equal(hard.sum(dim=(1, 2)).long(), counts)
        on = torch.where(hard > 0, soft, torch.inf).amin(dim=(1, 2))
        off = torch.where(hard > 0, -torch.inf, soft).amax(dim=(1, 2))
        assert (on >= off).all()

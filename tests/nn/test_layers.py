"""What holds for the mask layer with every estimator."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from loss_oracles import with_gradients
from strategies import random_grid

from mrfmask import find_map
from mrfmask.nn.estimators import ESTIMATORS
from mrfmask.nn.layers import MaskLayer

QUICK = {
    "score_function": {"samples": 3, "sweeps": 5},
    "covariance": {"samples": 3, "sweeps": 5},
}
# Estimators whose masks are 0 and 1 as they are, or where asked to be.
HARD = {
    "mean_field": {"hard": True},
    "score_function": {},
    "imle": {},
    "gumbel": {"hard": True},
    "tv_prox": {"hard": True},
}
names = pytest.mark.parametrize("name", ESTIMATORS)


def layer_of(name, budget=None, **options):
    return MaskLayer(name, budget, **{**QUICK.get(name, {}), **options})


def clamped_grid(dtype=torch.float32):
    model = random_grid(3, 7, 8, coupling=0.3, dtype=dtype)
    on = torch.zeros(3, 7, 8, dtype=torch.bool)
    off = on.clone()
    on[:, 2], off[1, :, 5] = True, True
    return model.clamp(on=on, off=off & ~on)


def backward(layer, model, masks):
    """A backward pass of a loss that looks at every pixel."""
    weights = torch.linspace(-1, 2, masks[0, ..., :, :].numel()).reshape(masks.shape[1:])
    if layer.estimator.name == "score_function":
        losses = (masks * weights).sum(dim=(2, 3))
        layer.surrogate(model, masks, losses).backward()
    else:
        (masks * weights).sum().backward()


@names
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("budget", [None, 20])
def test_layer_gives_masks_and_finite_gradients_and_honours_clamps(name, dtype, budget):
    model, leaves = with_gradients(clamped_grid(dtype))
    layer = layer_of(name, budget)
    masks = layer(model)
    assert masks.dtype == dtype
    several = (3,) if name == "score_function" else ()
    assert masks.shape == (3, *several, 7, 8)
    assert ((masks >= 0) & (masks <= 1)).all()
    backward(layer, model, masks)
    clamped = model.clamped
    for leaf in leaves:
        assert leaf.grad.isfinite().all()
        assert leaf.grad.any()
    assert not leaves[0].grad[clamped].any()
    states = masks.detach() if several else masks.detach().unsqueeze(1)
    on = (model.unary > 0).to(dtype)
    assert torch.equal(
        torch.where(clamped[:, None], states, 0.0 * states),
        torch.where(clamped, on, 0.0)[:, None].expand_as(states).to(dtype),
    )


@names
def test_layer_gives_masks_of_the_budget(name):
    budgets = [10, 0.5, 48]  # of 56 pixels; image 0 has 8 clamped on
    masks = layer_of(name, budgets)(clamped_grid())
    sums = masks.double().sum(dim=(-2, -1)).reshape(3, -1)
    assert (sums - torch.tensor([[10.0], [28.0], [48.0]])).abs().max() < 1e-4


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("budget", [None, 25])
def test_layer_gives_masks_of_0_and_1_where_it_says_so(name, budget):
    masks = layer_of(name, budget, **HARD[name])(clamped_grid())
    assert ((masks == 0) | (masks == 1)).all()
    assert budget is None or (masks.sum(dim=(-2, -1)) == budget).all()


@names
@pytest.mark.parametrize("budget", [None, 0.4])
def test_layer_gives_the_map_mask_when_evaluating(name, budget):
    model, _ = with_gradients(clamped_grid())
    layer = layer_of(name, budget).eval()
    mask = layer(model)
    expected = find_map(model, budget=budget).mask
    assert torch.equal(mask, expected.float())
    assert not mask.requires_grad
    assert int(layer.draws) == 0


@names
def test_layer_draws_anew_in_every_pass_if_it_draws(name):
    model = random_grid(2, 12, 12, coupling=0.3)
    layer = layer_of(name)
    first, second = layer(model), layer(model)
    assert torch.equal(first, second) != ESTIMATORS[name].random
    if ESTIMATORS[name].random:
        assert not torch.equal(first, layer_of(name, seed=1)(model))
        same = random_grid(1, 12, 12, coupling=0.3)[torch.tensor([0, 0])]
        masks = layer(same)
        assert not torch.equal(masks[0], masks[1])


@names
def test_layer_goes_on_from_its_state_with_the_same_draws(name):
    model = random_grid(2, 9, 9, coupling=0.3)
    layer = layer_of(name)
    layer(model)
    state = copy.deepcopy(layer.state_dict())
    expected = layer(model)
    resumed = layer_of(name)
    resumed.load_state_dict(state)
    assert torch.equal(resumed(model), expected)
    assert int(resumed.draws) == 2


def test_temperature_is_kept_in_the_state_and_makes_masks_cold():
    model = random_grid(1, 9, 9)
    layer = MaskLayer("gumbel", temperature=2.0)
    assert layer.temperature == 2.0
    warm = layer(model)
    layer.temperature = 0.05
    resumed = MaskLayer("gumbel")
    resumed.load_state_dict(layer.state_dict())
    assert resumed.temperature == 0.05
    assert "temperature=0.05" in repr(resumed)
    cold = resumed(model)
    assert (cold * (1 - cold)).mean() < 0.3 * (warm * (1 - warm)).mean()


@pytest.mark.parametrize("name", ["mean_field", "gumbel", "imle", "covariance", "score_function"])
def test_layer_is_surer_of_its_masks_at_high_beta(name):
    model = random_grid(1, 30, 30, coupling=0.2)
    best = find_map(model).mask.float()
    wrong = [(layer_of(name, beta=beta)(model) - best).abs().mean() for beta in (0.1, 1.0, 10.0)]
    assert wrong[0] > 1.5 * wrong[1] > 1.5 * wrong[2]


CALLS = [
    (lambda: MaskLayer("reinforce"), ValueError, "estimator must be one of mean_field, score_func"),
    (
        lambda: MaskLayer("imle", samples=3),
        TypeError,
        "options must be ones that imle has; got 'samples'. It has: step.",
    ),
    (lambda: MaskLayer(beta=0), ValueError, "beta must be positive and finite; got 0"),
    (lambda: MaskLayer(seed=-1), ValueError, "seed must lie in 0..9223372036854775807; got -1"),
    (lambda: MaskLayer(seed="a"), TypeError, "seed must be an int; got str"),
    (lambda: MaskLayer(hard=1), TypeError, "hard must be a bool; got int. Use True or False"),
    (lambda: MaskLayer(tolerance=0.0), ValueError, "tolerance must be positive and finite; got 0"),
    (lambda: MaskLayer("imle", step=-1.0), ValueError, "step must be positive and finite; got -1"),
    (
        lambda: MaskLayer("gumbel", logits="pixels"),
        ValueError,
        "logits must be one of 'mean_field', 'unary'; got 'pixels'",
    ),
    (
        lambda: MaskLayer("tv_prox", temperature=0),
        ValueError,
        "temperature must be positive and finite; got 0",
    ),
    (
        lambda: setattr(MaskLayer("gumbel"), "temperature", float("nan")),
        ValueError,
        "temperature must be positive and finite; got nan",
    ),
    (
        lambda: setattr(MaskLayer(), "temperature", 1.0),
        ValueError,
        "temperature must be left alone for mean_field; got 1.0. It relaxes nothing",
    ),
    (
        lambda: MaskLayer()(torch.zeros(1, 2, 2)),
        TypeError,
        "model must be an IsingGrid; got Tensor",
    ),
    (
        lambda: MaskLayer(budget=10)(random_grid(1, 3, 3)),
        ValueError,
        "budget must leave a mask between the 0 pixels clamped on and the 9 not clamped off; got",
    ),
    (
        lambda: MaskLayer("tv_prox")(random_grid(1, 3, 3, signs="repulsive")),
        ValueError,
        "model must not have negative couplings for the estimator tv_prox",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), CALLS)
def test_layer_says_what_is_wrong(call, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        call()


@names
def test_layer_takes_a_batch_of_no_images(name):
    layer, model = layer_of(name), random_grid(0, 4, 5)
    for masks in (layer(model), layer.eval()(model)):
        assert masks.shape[0] == 0
        assert masks.shape[-2:] == (4, 5)

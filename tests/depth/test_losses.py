"""Losses of depth: values by hand, gradients by differences, nothing from invalid pixels."""

from __future__ import annotations

import math
import re

import pytest
import torch

from mrfmask.depth.losses import LOSSES, Relative, ScaleInvariant


def maps(batch=3, dtype=torch.float64):
    """Depths, predictions and linear fills of this many images, and where they are valid."""
    rng = torch.Generator().manual_seed(0)
    shape = (batch, 5, 7)
    depth, predicted, linear = (1 + 3 * torch.rand(shape, generator=rng) for _ in range(3))
    valid = torch.rand(shape, generator=rng) < 0.6
    return predicted.to(dtype), depth.to(dtype), valid, linear.to(dtype)


ROW = torch.tensor([[[2.0, 4.0, 8.0, 1.0]]], dtype=torch.float64)
SEEN = torch.tensor([[[True, True, True, False]]])
GUESS = torch.tensor([[[2.0, 5.0, 4.0, 50.0]]], dtype=torch.float64)
FILL = torch.tensor([[[3.0, 4.0, 6.0, 7.0]]], dtype=torch.float64)
FLOOR = 0.003 * 14 / 3
UP, DOWN = math.log(5 / 4), math.log(1 / 2)
EXPECTED = {
    "rmse": math.sqrt(17 / 3),
    "mae": 5 / 3,
    "log_rmse": math.sqrt((UP**2 + DOWN**2) / 3),
    "scale_invariant": (UP**2 + DOWN**2) / 3 - 0.5 * ((UP + DOWN) / 3) ** 2,
    "relative": math.sqrt((17 / 3 + FLOOR**2) / (5 / 3 + FLOOR**2))
    + 0.3 * (5 / 3 + FLOOR) / (3 / 3 + FLOOR)
    + 0.2 * (math.log(2 / 3) ** 2 + UP**2 + math.log(4 / 6) ** 2) / 3,
}
# The others do not change when depths are measured in another unit.
IN_UNITS = {"rmse", "mae"}


@pytest.fixture(params=LOSSES)
def loss(request):
    return LOSSES[request.param]()


def test_every_loss_has_a_value_by_hand(loss):
    assert loss(GUESS, ROW, SEEN, FILL).item() == pytest.approx(EXPECTED[loss.name], rel=1e-12)


def test_loss_is_the_mean_of_the_images(loss):
    predicted, depth, valid, linear = maps()
    values = loss.per_image(predicted, depth, valid, linear)
    assert values.shape == (3,)
    for b in range(3):
        one = slice(b, b + 1)
        alone = loss(predicted[one], depth[one], valid[one], linear[one])
        torch.testing.assert_close(alone, values[b], rtol=1e-12, atol=0)
    torch.testing.assert_close(loss(predicted, depth, valid, linear), values.mean())


def test_gradient_of_a_loss_is_that_of_its_differences(loss):
    predicted, depth, valid, linear = maps(batch=2)
    predicted.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: loss.per_image(p, depth, valid, linear), predicted)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 0.0, -3.0])
def test_invalid_pixels_reach_neither_value_nor_gradient(loss, bad):
    predicted, depth, valid, linear = maps()
    found = []
    for fill in (1.0, bad):
        given = [torch.where(valid, x, fill) for x in (predicted, depth, linear)]
        given[0].requires_grad_()
        value = loss(given[0], given[1], valid, given[2])
        value.backward()
        found.append((value.item(), given[0].grad))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])
    assert (found[1][1][~valid] == 0).all()
    assert (found[1][1][valid] != 0).any()


def test_loss_of_the_truth_is_least_and_its_gradient_finite(loss):
    _, depth, valid, linear = maps()
    predicted = depth.clone().requires_grad_()
    value = loss(predicted, depth, valid, linear)
    value.backward()
    assert predicted.grad.isfinite().all()
    if loss.name != "relative":
        assert value.item() == 0
        assert (predicted.grad == 0).all()
    assert value < loss(1.1 * depth, depth, valid, linear)


def test_loss_in_another_unit_is_the_same_or_scales(loss):
    predicted, depth, valid, linear = maps()
    factor = 1000 if loss.name in IN_UNITS else 1
    got = loss(1000 * predicted, 1000 * depth, valid, 1000 * linear)
    expected = factor * loss(predicted, depth, valid, linear)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=0)


def test_loss_keeps_the_dtype_of_the_maps(loss):
    single = loss(*maps(dtype=torch.float32))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), loss(*maps()), rtol=1e-5, atol=0)


def test_loss_depends_on_the_linear_fill_if_relative(loss):
    predicted, depth, valid, linear = maps()
    same = loss(predicted, depth, valid, linear) == loss(predicted, depth, valid, linear + 1)
    assert bool(same) is (loss.name != "relative")


def test_relative_loss_of_the_linear_fill_is_one_plus_its_weight():
    _, depth, valid, linear = maps()
    value = Relative(mae=0.7).per_image(linear, depth, valid, linear)
    torch.testing.assert_close(value, torch.full_like(value, 1.7), rtol=1e-12, atol=0)


def test_relative_loss_stays_small_where_the_linear_fill_is_right():
    _, depth, valid, _ = maps()
    value = Relative().per_image(1.001 * depth, depth, valid, depth)
    assert value.max() < 1.7


def test_scale_invariant_loss_forgives_a_common_factor_at_full_balance():
    _, depth, valid, linear = maps()
    for factor in (0.5, 3.0):
        value = ScaleInvariant(balance=1.0)(factor * depth, depth, valid, linear)
        assert abs(value.item()) < 1e-12
        half = ScaleInvariant()(factor * depth, depth, valid, linear)
        assert half.item() == pytest.approx(math.log(factor) ** 2 / 2)


PREDICTED, DEPTH, VALID, LINEAR = maps()
NONE = VALID.clone()
NONE[2] = False
WRONG = [
    ((PREDICTED, DEPTH, NONE, LINEAR), ValueError, "valid must have a pixel in every image; got"),
    ((PREDICTED, 0 * DEPTH, VALID, LINEAR), ValueError, "depth must be positive and finite"),
    (
        (PREDICTED, DEPTH, VALID, LINEAR[:, :4]),
        ValueError,
        "linear must have shape (3, 5, 7) on cpu; got (3, 4, 7) on cpu.",
    ),
    ((torch.nan * PREDICTED, DEPTH, VALID, LINEAR), ValueError, "Check what computed it."),
    ((PREDICTED, DEPTH, VALID, None), TypeError, "linear must be a floating-point tensor; got"),
    ((PREDICTED, DEPTH, DEPTH, LINEAR), TypeError, "valid must be a bool tensor; got"),
]


@pytest.mark.parametrize(("arguments", "kind", "message"), WRONG)
def test_loss_says_what_is_wrong(loss, arguments, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        loss(*arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScaleInvariant(balance=0.0), "balance must be positive and finite; got 0.0."),
        (lambda: ScaleInvariant(balance=1.5), "balance must be at most 1; got 1.5."),
        (lambda: Relative(mae=-1.0), "mae must be positive and finite; got -1.0."),
        (lambda: Relative(penalty=math.inf), "penalty must be positive and finite; got inf."),
    ],
)
def test_loss_says_which_options_it_takes(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()

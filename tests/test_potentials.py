"""Potentials of pictures: the formulas, the signs, and pictures with nothing in them."""

from __future__ import annotations

import math
import re

import pytest
import torch

from mrfmask.potentials import POTENTIALS, brightness, contrast, edge, gradient, spread

GENERATOR = torch.Generator().manual_seed(0)
NOISE = torch.rand(3, 9, 7, generator=GENERATOR)
SIGNS = {"contrast": "is_associative", "edge": "is_associative", "spread": "is_repulsive"}


def halves(height=8, width=10):
    """Dark on the left, bright on the right."""
    picture = torch.full((3, height, width), 0.1)
    picture[:, :, width // 2 :] = 0.9
    return picture


@pytest.mark.parametrize("name", POTENTIALS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (2, 2), (9, 7)])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, None])
def test_potentials_make_a_finite_model_of_any_picture(name, shape, value):
    picture = NOISE[:, : shape[0], : shape[1]] if value is None else torch.full((3, *shape), value)
    model = POTENTIALS[name](picture)
    assert model.shape == (1, *shape)
    assert all(t.isfinite().all() for t in (model.unary, model.right, model.down))
    assert getattr(model, SIGNS[name])


@pytest.mark.parametrize("name", POTENTIALS)
def test_potentials_keep_the_dtype(name):
    assert POTENTIALS[name](NOISE.double()).dtype == torch.float64


@pytest.mark.parametrize("name", ["edge", "spread"])
def test_flat_picture_asks_for_no_measurements(name):
    model = POTENTIALS[name](torch.full((3, 5, 5), 0.7))
    pull = model.unary + 4 * model.down.abs().max() * (name == "spread")
    assert (pull < 0).all()


def test_brightness_of_grey_is_its_value():
    torch.testing.assert_close(brightness(torch.full((3, 2, 2), 0.3)), torch.full((2, 2), 0.3))


def test_gradient_of_a_ramp_is_its_slope():
    ramp = (torch.arange(6.0) / 10).expand(3, 5, 6)
    torch.testing.assert_close(gradient(ramp)[:, 1:-1], torch.full((5, 4), 0.1 * math.sqrt(3)))
    torch.testing.assert_close(gradient(ramp.mT)[1:-1], torch.full((4, 5), 0.1 * math.sqrt(3)))


def test_contrast_likes_the_bright_side_and_cuts_at_the_border():
    model = contrast(halves(), unary=2.0, pairwise=3.0)
    assert (model.unary[0, :, 5:] > 1.9).all()
    assert (model.unary[0, :, :5] < -1.9).all()
    same = torch.ones(9, dtype=torch.bool).scatter(0, torch.tensor(4), False)
    torch.testing.assert_close(model.right[0, :, same], torch.full((8, 8), 3.0))
    # |dI|^2 over its mean of all 8 * 9 + 7 * 10 pairs, 8 of which cross the border.
    border = 3.0 * math.exp(-(142 / 8) / 2)
    torch.testing.assert_close(model.right[0, :, 4], torch.full((8,), border))


def test_contrast_takes_the_dark_side_when_unary_is_negative():
    torch.testing.assert_close(contrast(halves(), unary=-1.0).unary, -contrast(halves()).unary)


def test_edge_likes_the_border_and_nothing_else():
    model = edge(halves(), unary=1.5, pairwise=0.25, threshold=2.0)
    assert (model.unary[0, :, 4:6] > 0).all()
    torch.testing.assert_close(model.unary[0, :, :3], torch.full((8, 3), -3.0))
    # The border's gradient is 5 times the mean: 2 of 10 columns have it.
    torch.testing.assert_close(model.unary[0, :, 4], torch.full((8,), 1.5 * math.log(2.5)))
    assert (model.right == 0.25).all()
    assert (model.down == 0.25).all()


def test_edge_picks_fewer_with_a_higher_threshold():
    counts = [(edge(NOISE, threshold=t).unary > 0).sum().item() for t in (0.5, 1.0, 1.5)]
    assert counts[0] > counts[1] > counts[2]


def test_spread_repels_and_prefers_detail():
    model = spread(halves(), unary=-2.0, detail=1.0, pairwise=0.75)
    assert (model.right == -0.75).all()
    assert (model.down == -0.75).all()
    torch.testing.assert_close(model.unary[0, :, :3], torch.full((8, 3), -2.0))
    # The border's roughness is 5 times the mean: 5 / (5 + 1) of detail.
    torch.testing.assert_close(model.unary[0, :, 4], torch.full((8,), -2.0 + 5 / 6))


def test_spread_without_detail_ignores_the_picture():
    assert (spread(NOISE, unary=0.5, detail=0.0).unary == 0.5).all()


BAD_PICTURES = [
    ([[0.5]], TypeError, "picture must be a float32 or float64 tensor; got list. Use read_picture"),
    (NOISE.to(torch.uint8), TypeError, "picture must be a float32 or float64 tensor; got torch.ui"),
    (NOISE[0], ValueError, "picture must have shape (3, height, width); got (9, 7). Repeat"),
    (NOISE[:1], ValueError, "picture must have shape (3, height, width); got (1, 9, 7). Repeat"),
    (NOISE[:, :0], ValueError, "picture must have shape (3, height, width); got (3, 0, 7). Repeat"),
    (NOISE * 255, ValueError, "picture must lie in [0, 1]; got values from "),
    (NOISE * math.nan, ValueError, "picture must lie in [0, 1]; got values from nan to nan. Div"),
]


@pytest.mark.parametrize("name", POTENTIALS)
@pytest.mark.parametrize(("picture", "kind", "message"), BAD_PICTURES, ids=range(len(BAD_PICTURES)))
def test_potentials_say_what_is_wrong_with_a_picture(name, picture, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        POTENTIALS[name](picture)


BAD_WEIGHTS = [
    (contrast, {"unary": math.nan}, ValueError, "unary must be finite; got nan. Leave it out"),
    (contrast, {"pairwise": -1.0}, ValueError, "pairwise must be at least 0; got -1.0. Leave"),
    (contrast, {"pairwise": True}, TypeError, "pairwise must be a number; got bool. Use a float."),
    (edge, {"unary": -1}, ValueError, "unary must be at least 0; got -1."),
    (edge, {"pairwise": math.inf}, ValueError, "pairwise must be at least 0; got inf."),
    (edge, {"threshold": 0.0}, ValueError, "threshold must be positive; got 0.0."),
    (spread, {"unary": "1"}, TypeError, "unary must be a number; got str."),
    (spread, {"detail": -0.1}, ValueError, "detail must be at least 0; got -0.1."),
    (spread, {"pairwise": -2.0}, ValueError, "pairwise must be at least 0; got -2.0."),
]


@pytest.mark.parametrize(("build", "weights", "kind", "message"), BAD_WEIGHTS)
def test_potentials_say_what_is_wrong_with_a_weight(build, weights, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        build(NOISE, **weights)

"""Scores of predicted masks against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mrfmask.learn.scores import boundary_f, components, mask_scores


def square(top, left, side, shape=(20, 24)):
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_right_masks_score_one():
    mask = torch.stack([square(3, 4, 6), torch.zeros(20, 24, dtype=torch.bool)])
    scores = mask_scores(mask, mask)
    assert scores["iou"] == scores["accuracy"] == scores["boundary_f"] == 1
    assert scores["components"] == scores["target_components"] == 0.5


def test_scores_of_a_shifted_square():
    """6x6 pixels moved by 3: 18 of 54 shared; borders 3 apart, but for the two long sides."""
    scores = mask_scores(square(3, 4, 6)[None], square(3, 7, 6)[None])
    assert scores["iou"] == pytest.approx(18 / 54)
    assert scores["accuracy"] == pytest.approx(1 - 36 / 480)
    ours = {(y, x) for y in range(3, 9) for x in range(4, 10) if y in (3, 8) or x in (4, 9)}
    theirs = {(y, x + 3) for y, x in ours}
    near = sum(any(abs(y - v) + abs(x - u) <= 1 for v, u in theirs) for y, x in ours)
    assert scores["boundary_f"] == pytest.approx(near / len(ours))


def test_boundary_f_is_the_harmonic_mean_of_both_shares():
    """Of two squares one is found: all predicted borders are right, half of the true ones found."""
    found, missed = square(3, 2, 5), square(3, 14, 5)
    score = boundary_f(found.numpy(), (found | missed).numpy())
    assert score == pytest.approx(2 * 1.0 * 0.5 / (1.0 + 0.5))
    assert boundary_f((found | missed).numpy(), found.numpy()) == pytest.approx(score)


def test_pixels_without_weight_do_not_count():
    mask, target = square(0, 0, 4), square(0, 0, 8)
    weights = torch.ones(20, 24)
    weights[:8, :8] = 0
    weights[:4, :4] = 1
    scores = mask_scores(mask[None], target[None], weights[None])
    assert scores["iou"] == scores["accuracy"] == 1


def test_nothing_predicted_scores_nothing():
    nothing, target = torch.zeros(1, 20, 24, dtype=torch.bool), square(3, 4, 6)[None]
    scores = mask_scores(nothing, target)
    assert scores["iou"] == scores["boundary_f"] == scores["components"] == 0


def test_means_are_over_images():
    target = torch.stack([square(0, 0, 2), square(0, 0, 10)])
    mask = torch.stack([square(0, 0, 2), torch.zeros(20, 24, dtype=torch.bool)])
    assert mask_scores(mask, target)["iou"] == 0.5


def test_pieces_that_touch_at_corners_are_one():
    mask = np.eye(5, dtype=bool)
    assert components(mask) == 1
    mask[2, 2] = False
    assert components(mask) == 2


def test_border_may_be_off_by_a_share_of_the_diagonal():
    """0.8 % of 500 pixels is 4."""
    target = square(50, 50, 100, (300, 400)).numpy()
    assert boundary_f(square(54, 50, 100, (300, 400)).numpy(), target) == 1
    assert boundary_f(square(58, 58, 100, (300, 400)).numpy(), target) < 0.2

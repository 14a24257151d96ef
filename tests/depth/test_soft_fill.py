"""Soft fills against brute force, one-sided differences and linear interpolation."""

from __future__ import annotations

import itertools
import math
import re

import pytest
import torch

from mrfmask.depth.frames import collate_frames
from mrfmask.depth.metrics import depth_metrics
from mrfmask.depth.reconstruct import linear
from mrfmask.depth.soft_fill import soft_fill
from mrfmask.depth.synthetic import SyntheticFrames
from mrfmask.select import select


def drawn(shape, seed=0, least=0.0):
    """Depths, and weights of which a third is 0, a third 1, a third between."""
    draws = torch.Generator().manual_seed(seed)
    depth = 1 + 8 * torch.rand(shape, generator=draws, dtype=torch.float64)
    weights = 3 * torch.rand(shape, generator=draws, dtype=torch.float64) - 1
    weights = weights.clamp(least, 1 - least)
    weights[:, 0, 0] = 0.5
    return depth, weights


def brute_fill(depth, weight):
    """One image, pixel by pixel: lists of lists of weights and weighted depths."""
    height, width = len(depth), len(depth[0])
    known = [
        [w * d for w, d in zip(*rows, strict=True)] for rows in zip(weight, depth, strict=True)
    ]
    return pushed(known, weight, height, width)


def pushed(known, weight, height, width):
    if height == width == 1:
        return [[known[0][0] / weight[0][0]]]
    rows, columns = math.ceil(height / 2), math.ceil(width / 2)
    coarse_known = [[0.0] * columns for _ in range(rows)]
    coarse_weight = [[0.0] * columns for _ in range(rows)]
    for y, x in itertools.product(range(rows), range(columns)):
        for v, u in itertools.product(range(height), range(width)):
            # Distances between the middle of the coarse pixel and of the fine one.
            share = spline(v - 2 * y - 0.5) * spline(u - 2 * x - 0.5)
            coarse_known[y][x] += share * known[v][u]
            coarse_weight[y][x] += share * weight[v][u]
        w = coarse_weight[y][x]
        saturated = 1 - (1 - min(w, 1)) ** 3
        coarse_known[y][x] *= saturated / w if w else 0
        coarse_weight[y][x] = saturated
    coarse = pushed(coarse_known, coarse_weight, rows, columns)

    def between(y, x):
        """Bilinear, the border continued."""
        total = 0.0
        for v, u in itertools.product((-1, 0, 1), repeat=2):
            here = (y // 2 + v, x // 2 + u)
            share = math.prod(
                max(0, 1 - abs((p - 0.5) / 2 - at)) for p, at in zip((y, x), here, strict=True)
            )
            row, column = (
                min(max(at, 0), n - 1) for at, n in zip(here, (rows, columns), strict=True)
            )
            total += share * coarse[row][column]
        return total

    return [
        [known[y][x] + (1 - weight[y][x]) * between(y, x) for x in range(width)]
        for y in range(height)
    ]


def spline(away):
    return {0.5: 0.75, 1.5: 0.25}.get(abs(away), 0.0)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1), (4, 8), (7, 10), (11, 5)])
def test_soft_fill_is_the_sum_written_out(size):
    depth, weights = drawn((2, *size), seed=size[0])
    got = soft_fill(depth, weights)
    for image in range(2):
        expected = torch.tensor(
            brute_fill(depth[image].tolist(), weights[image].tolist()), dtype=torch.float64
        )
        torch.testing.assert_close(got[image], expected, rtol=1e-12, atol=0)


def test_soft_fill_goes_through_fully_measured_pixels():
    depth, weights = drawn((3, 17, 23))
    measured = weights == 1
    assert measured.sum() > 300
    assert torch.equal(soft_fill(depth, weights)[measured], depth[measured])


def test_soft_fill_keeps_a_constant():
    weights = drawn((3, 17, 23))[1].float()
    got = soft_fill(torch.full_like(weights, 7.3), weights)
    torch.testing.assert_close(got, torch.full_like(weights, 7.3), rtol=1e-6, atol=0)


def test_soft_fill_scales_with_the_depths_and_lies_between_them():
    depth, weights = drawn((3, 17, 23))
    got = soft_fill(depth, weights)
    torch.testing.assert_close(soft_fill(1000 * depth, weights), 1000 * got, rtol=1e-12, atol=0)
    assert (got >= depth.amin((1, 2), keepdim=True)).all()
    assert (got <= depth.amax((1, 2), keepdim=True)).all()


@pytest.mark.parametrize("weight", [1.0, 0.3, 1e-6])
def test_soft_fill_takes_all_from_the_one_pixel_that_has_weight(weight):
    depth = drawn((1, 37, 50))[0].float()
    weights = torch.zeros_like(depth)
    weights[0, 35, 2] = weight
    expected = torch.full_like(depth, depth[0, 35, 2])
    torch.testing.assert_close(soft_fill(depth, weights), expected, rtol=1e-5, atol=0)


def test_soft_fill_does_not_look_at_depths_without_weight():
    depth, weights = drawn((2, 9, 12))
    other = torch.where(weights > 0, depth, 0.0)
    assert torch.equal(soft_fill(depth, weights), soft_fill(other, weights))


def test_soft_fill_treats_images_alone():
    depth, weights = drawn((3, 12, 9))
    together = soft_fill(depth, weights)
    for b in range(3):
        alone = soft_fill(depth[b : b + 1], weights[b : b + 1])
        torch.testing.assert_close(together[b : b + 1], alone, rtol=1e-14, atol=0)


def test_soft_fill_has_the_gradients_of_its_values():
    depth, weights = drawn((1, 4, 5), least=0.01)
    # Scarce weights, so that sums lie on both sides of where they saturate.
    for scale in (1.0, 0.1):
        inputs = [depth.clone().requires_grad_(), (scale * weights).requires_grad_()]
        assert torch.autograd.gradcheck(soft_fill, inputs)


@pytest.mark.parametrize("measured", [2, 12])
def test_soft_fill_says_at_weight_0_what_buying_a_pixel_would_begin_to_change(measured):
    depth, _ = drawn((1, 6, 7), seed=4)
    weights = torch.zeros_like(depth)
    weights.view(-1)[torch.randperm(42, generator=torch.manual_seed(0))[:measured]] = 1
    weights.requires_grad_()
    error = (soft_fill(depth, weights) - depth).square().sum()
    error.backward()
    assert weights.grad.isfinite().all()
    step = 1e-6
    for y, x in (weights.detach()[0] == 0).nonzero().tolist():
        more = [weights.detach().clone() for _ in range(2)]
        for factor, changed in enumerate(more, 1):
            changed[0, y, x] = factor * step
        one, two = ((soft_fill(depth, w) - depth).square().sum() for w in more)
        # One-sided, exact to the square of the step.
        slope = (4 * one - two - 3 * error.detach()) / (2 * step)
        assert weights.grad[0, y, x].item() == pytest.approx(slope.item(), rel=1e-4, abs=1e-4)


def test_soft_fill_has_finite_gradients_where_hardly_anything_is_measured():
    depth = drawn((1, 30, 41))[0].float()
    weights = torch.full_like(depth, 1e-9).requires_grad_()
    (soft_fill(depth, weights) - depth).square().mean().backward()
    assert weights.grad.isfinite().all()


def test_soft_fill_has_errors_like_those_of_linear_interpolation():
    frames = SyntheticFrames(8, seed=5, size=(48, 64))
    batch = collate_frames([frames[index] for index in range(8)])
    scores = torch.zeros_like(batch.depth).where(batch.valid, -torch.inf)
    for method, count in itertools.product(("random", "k_center"), (40, 150)):
        mask = select(scores, method, budget=count)
        ours, theirs = (
            depth_metrics(filled, batch.depth, batch.valid, mask)["rmse"].mean()
            for filled in (
                soft_fill(batch.depth, mask.float()),
                linear(batch.depth, mask),
            )
        )
        assert 0.85 < ours / theirs < 1.15


DEPTH, WEIGHTS = torch.ones(2, 3, 4), torch.ones(2, 3, 4)
NONE, MUCH, HOLE, LOST = (WEIGHTS.clone() for _ in range(4))
NONE[1], MUCH[0, 1, 2], HOLE[1, 2, 0], LOST[0, 0, 1] = 0, 1.5, 0, torch.nan
WRONG = [
    ((DEPTH.int(), WEIGHTS), TypeError, "depth must be a floating-point tensor; got torch.int32."),
    ((DEPTH, WEIGHTS > 0), TypeError, "weights must be a floating-point tensor; got torch.bool."),
    ((DEPTH, WEIGHTS[:1]), ValueError, "weights must have shape (2, 3, 4) on cpu; got (1, 3, 4)"),
    ((DEPTH, MUCH), ValueError, "weights must lie in [0, 1]; got 1.5 at (0, 1, 2). Use a sigmoid."),
    ((DEPTH, -MUCH), ValueError, "weights must lie in [0, 1]; got -1.0 at (0, 0, 0)."),
    ((DEPTH, LOST), ValueError, "weights must lie in [0, 1]; got nan at (0, 0, 1)."),
    ((DEPTH, NONE), ValueError, "weights must be positive somewhere in every image; got none in"),
    ((HOLE, WEIGHTS), ValueError, "depth must be positive and finite wherever weights is True;"),
    ((LOST, 1 - (LOST.isnan()).float()), ValueError, "depth must be finite, where it is not"),
]


@pytest.mark.parametrize(("arguments", "kind", "message"), WRONG)
def test_soft_fill_says_what_is_wrong(arguments, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        soft_fill(*arguments)

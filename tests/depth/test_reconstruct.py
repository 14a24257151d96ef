"""Reconstructors against brute force: nearest by all distances, linear by all triangles."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch

from mrfmask.depth.reconstruct import RECONSTRUCTORS, fill, linear, nearest


def measured(shape, count, seed):
    """Random depths, and masks with this many pixels."""
    rng = np.random.default_rng(seed)
    depth = torch.from_numpy(rng.uniform(1, 9, shape))
    mask = torch.zeros(shape, dtype=torch.bool)
    for image in mask:
        image.view(-1)[rng.choice(image.numel(), count, replace=False)] = True
    return depth, mask


def nearest_values(depth, mask, y, x):
    """Depths of all measured pixels at the least distance, and that distance."""
    found = {}
    for v, u in np.argwhere(mask.numpy()).tolist():
        found.setdefault((y - v) ** 2 + (x - u) ** 2, []).append(depth[v, u].item())
    least = min(found)
    return found[least], least**0.5


def cross(o, a, b):
    return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])


def in_circle(a, b, c, p):
    """Positive if p lies within the circle through the counter-clockwise a, b, c: exact ints."""
    rows = [[q[0] - p[0], q[1] - p[1], (q[0] - p[0]) ** 2 + (q[1] - p[1]) ** 2] for q in (a, b, c)]
    (a0, a1, a2), (b0, b1, b2), (c0, c1, c2) = rows
    return a0 * (b1 * c2 - b2 * c1) - a1 * (b0 * c2 - b2 * c0) + a2 * (b0 * c1 - b1 * c0)


def triangles(samples):
    """All triangles of samples, counter-clockwise, without another sample in their circle."""
    for a, b, c in itertools.combinations(samples, 3):
        if cross(a, b, c) < 0:
            b, c = c, b
        if cross(a, b, c) and not any(in_circle(a, b, c, p) > 0 for p in samples):
            yield a, b, c


def triangle_values(depth, mask, y, x, among):
    """What each triangle around a pixel makes of it; one plane through three depths each."""
    values = []
    for a, b, c in among:
        areas = [cross((y, x), b, c), cross((y, x), c, a), cross((y, x), a, b)]
        if min(areas) >= 0:
            plane = np.linalg.solve(
                [[*p, 1] for p in (a, b, c)], [depth[p].item() for p in (a, b, c)]
            )
            values.append(plane @ [y, x, 1])
    return values


def test_nearest_is_a_depth_at_the_least_distance():
    depth, mask = measured((4, 9, 11), 7, seed=0)
    got = fill(depth, mask)
    assert torch.equal(got.nearest, nearest(depth, mask))
    for b, y, x in itertools.product(*map(range, depth.shape)):
        values, distance = nearest_values(depth[b], mask[b], y, x)
        assert got.nearest[b, y, x].item() in values
        assert got.distance[b, y, x].item() == pytest.approx(distance, rel=1e-12)


@pytest.mark.parametrize("count", [3, 5, 10])
def test_linear_takes_a_delaunay_triangle_inside_and_the_nearest_outside(count):
    depth, mask = measured((3, 8, 10), count, seed=count)
    got = linear(depth, mask)
    outside = 0
    for b in range(len(depth)):
        around = list(triangles([tuple(p) for p in np.argwhere(mask[b].numpy()).tolist()]))
        for y, x in itertools.product(range(8), range(10)):
            possible = triangle_values(depth[b], mask[b], y, x, around)
            if not possible:
                outside += 1
                possible = nearest_values(depth[b], mask[b], y, x)[0]
            assert min(abs(got[b, y, x].item() - value) for value in possible) < 1e-12
    assert 20 < outside < 220


@pytest.mark.parametrize("kind", ["scattered", "lattice"])
def test_linear_is_exact_on_planes(kind):
    mask = measured((2, 40, 50), 60, seed=1)[1]
    if kind == "lattice":
        mask[:] = False
        mask[:, 3::6, 2::5] = True
    mask[:, ::39, ::49] = True
    ys, xs = torch.from_numpy(np.indices((40, 50)).astype(np.float64))
    plane = torch.stack([1 + 0.3 * ys + 0.1 * xs, 30 - 0.4 * ys - 0.2 * xs])
    # Elsewhere there is nothing to see.
    hidden = torch.where(mask, plane, torch.nan)
    torch.testing.assert_close(linear(hidden, mask), plane, rtol=1e-12, atol=0)
    single = linear(hidden.float(), mask)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), plane, rtol=2e-7, atol=0)


@pytest.mark.parametrize("name", RECONSTRUCTORS)
def test_reconstructor_goes_through_every_measured_depth(name):
    depth, mask = measured((2, 30, 31), 100, seed=2)
    depth = (depth**9).float()
    got = RECONSTRUCTORS[name](depth, mask)
    assert torch.equal(got[mask], depth[mask])


@pytest.mark.parametrize("name", RECONSTRUCTORS)
def test_reconstructor_of_all_pixels_is_the_depth(name):
    depth, mask = measured((2, 6, 7), 42, seed=3)
    assert torch.equal(RECONSTRUCTORS[name](depth, mask), depth)


@pytest.mark.parametrize(
    "places",
    [[(2, 3)], [(0, 0), (5, 6)], [(0, 1), (2, 3), (4, 5)], [(3, 0), (3, 4), (3, 6), (3, 1)]],
    ids=["one", "two", "diagonal", "row"],
)
def test_linear_is_the_nearest_when_no_three_pixels_span_a_triangle(places):
    depth, mask = measured((1, 6, 7), 0, seed=4)
    for y, x in places:
        mask[0, y, x] = True
    assert torch.equal(linear(depth, mask), nearest(depth, mask))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_linear_takes_images_without_triangles(shape):
    depth, mask = measured((2, *shape), 1, seed=5)
    expected = depth[mask][:, None, None].expand(2, *shape)
    assert torch.equal(linear(depth, mask), expected)


@pytest.mark.parametrize("name", RECONSTRUCTORS)
def test_reconstructor_treats_images_of_a_batch_alone(name):
    depth, mask = measured((3, 12, 9), 10, seed=6)
    together = RECONSTRUCTORS[name](depth, mask)
    for b in range(3):
        assert torch.equal(
            together[b : b + 1], RECONSTRUCTORS[name](depth[b : b + 1], mask[b : b + 1])
        )


@pytest.mark.parametrize("name", RECONSTRUCTORS)
def test_reconstructor_passes_gradients_to_measured_depths_alone(name):
    depth, mask = measured((1, 5, 6), 6, seed=7)
    depth[~mask] = torch.nan
    depth.requires_grad_()
    got = RECONSTRUCTORS[name](depth, mask)
    weights = torch.randn(got.shape, dtype=torch.float64, generator=torch.manual_seed(0))
    (got * weights).sum().backward()
    assert (depth.grad[~mask] == 0).all()
    # It is linear in the measured depths: the gradient says all.
    total = (depth.grad[mask] * depth[mask]).sum()
    torch.testing.assert_close(total, (got * weights).sum(), rtol=1e-10, atol=1e-10)


def test_fills_change_together():
    depth, mask = measured((3, 11, 12), 8, seed=9)
    fills = fill(depth, mask)
    mirrored = fills.map(lambda x: x[:2].flip(-1))
    for name in ("nearest", "linear", "distance"):
        assert torch.equal(getattr(mirrored, name), getattr(fills, name)[:2].flip(-1))
    again = fill(depth[:2].flip(-1), mask[:2].flip(-1))
    assert torch.equal(mirrored.distance, again.distance)


def test_linear_is_continuous_where_triangles_meet():
    """Samples at the corners of squares: whichever diagonal is taken, sides are interpolated."""
    depth, mask = measured((1, 13, 13), 0, seed=8)
    mask[:, ::4, ::4] = True
    got = linear(depth, mask)[0]
    for y, x in itertools.product(range(0, 13, 4), range(13)):
        left, right = x // 4 * 4, min(x // 4 * 4 + 4, 12)
        share = (x - left) / 4
        expected = (1 - share) * depth[0, y, left] + share * depth[0, y, right]
        assert got[y, x].item() == pytest.approx(expected.item(), rel=1e-12)


DEPTH, MASK = torch.ones(2, 3, 4), torch.ones(2, 3, 4, dtype=torch.bool)
NONE = MASK.clone()
NONE[1] = False
HOLE = DEPTH.clone()
HOLE[1, 2, 0] = 0
WRONG = [
    ((DEPTH.int(), MASK), TypeError, "depth must be a floating-point tensor; got torch.int32."),
    ((DEPTH.numpy(), MASK), TypeError, "depth must be a floating-point tensor; got ndarray."),
    ((DEPTH[0], MASK[0]), ValueError, "got (3, 4). For one image pass it with [None]."),
    ((DEPTH[:0], MASK[:0]), ValueError, "at least one image and pixel; got (0, 3, 4). Check its"),
    ((DEPTH[:, :0], MASK[:, :0]), ValueError, "depth must have shape (batch, height, width) with"),
    ((DEPTH, DEPTH), TypeError, "mask must be a bool tensor; got torch.float32."),
    ((DEPTH, MASK[:1]), ValueError, "mask must have shape (2, 3, 4); got (1, 3, 4)."),
    (
        (DEPTH, NONE),
        ValueError,
        "mask must have a pixel in every image; got none in image 1. Leave such images out.",
    ),
    (
        (HOLE, MASK),
        ValueError,
        "depth must be positive and finite wherever mask is True; got 0.0 at (1, 2, 0). Set mask "
        "to False there.",
    ),
    ((HOLE / 0, MASK), ValueError, "wherever mask is True; got inf at (0, 0, 0)."),
]


@pytest.mark.parametrize("call", [nearest, linear, fill])
@pytest.mark.parametrize(("arguments", "kind", "message"), WRONG)
def test_reconstructor_says_what_is_wrong(call, arguments, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        call(*arguments)

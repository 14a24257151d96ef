"""The variance of the nearest measured depths, against distances sorted one by one."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from mrfmask.depth import measure
from mrfmask.depth.neighbour_variance import neighbour_variance


def scattered(size: tuple[int, int], count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Depths, and a mask with so many pixels."""
    draws = torch.Generator().manual_seed(seed)
    depth = 1 + 9 * torch.rand(1, *size, generator=draws)
    mask = torch.zeros(size[0] * size[1], dtype=torch.bool)
    mask[torch.randperm(len(mask), generator=draws)[:count]] = True
    return depth, mask.reshape(1, *size)


def by_sorting(depth: np.ndarray, mask: np.ndarray, nearest: int) -> tuple[np.ndarray, np.ndarray]:
    """The variances before smoothing, and where a tie of distances leaves a choice."""
    places = np.argwhere(mask)
    variances, ties = np.zeros(mask.shape), np.zeros(mask.shape, dtype=bool)
    for pixel in np.argwhere(np.ones_like(mask)):
        away = ((places - pixel) ** 2).sum(axis=1)
        order = np.argsort(away)
        few = depth[tuple(places[order[:nearest]].T)]
        variances[tuple(pixel)] = ((few - few.mean()) ** 2).mean()
        # The nearest ones may come in any order: only the last place matters.
        if len(order) > nearest:
            ties[tuple(pixel)] = away[order[nearest - 1]] == away[order[nearest]]
    return variances, ties


@pytest.mark.parametrize(("size", "count"), [((23, 31), 40), ((1, 50), 9), ((17, 1), 6)])
def test_variance_is_that_of_the_four_nearest(size, count, monkeypatch):
    monkeypatch.setattr("mrfmask.depth.neighbour_variance.SMOOTHING", 0)
    checked = 0
    for seed in range(3):
        depth, mask = scattered(size, count, seed)
        found = neighbour_variance(depth.double(), mask, mask)[0].numpy()
        expected, ties = by_sorting(depth[0].double().numpy(), mask[0].numpy(), 4)
        assert np.allclose(found[~ties], expected[~ties], rtol=1e-9, atol=1e-12)
        checked += int((~ties).sum())
    assert checked > 0.5 * 3 * size[0] * size[1]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_few_samples_all_count(count):
    depth, mask = scattered((9, 12), count, 1)
    found = neighbour_variance(depth, mask, mask)
    expected = depth[mask].double().var(correction=0)
    assert torch.allclose(found.double(), expected.expand(1, 9, 12), rtol=1e-5)
    assert (found == 0).all() == (count == 1)


def test_variance_is_smoothed():
    depth, mask = scattered((20, 30), 5, 2)
    far = torch.zeros_like(mask)
    far[:, ::6, ::6] = True
    could = torch.ones_like(mask)
    for on in (mask, far):
        sharp = pytest.MonkeyPatch()
        with sharp.context() as patch:
            patch.setattr("mrfmask.depth.neighbour_variance.SMOOTHING", 0)
            variance = neighbour_variance(depth.double(), on, on)[0].numpy()
        smooth = neighbour_variance(depth.double(), on, could)[0].numpy()
        wide = 0.25 * (600 / int(on.sum())) ** 0.5
        assert np.allclose(smooth, gaussian_filter(variance, wide), rtol=1e-12)


def test_images_of_a_batch_do_not_meet():
    parts = [scattered((15, 15), count, count) for count in (3, 20)]
    depth, mask = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    together = neighbour_variance(depth, mask, mask)
    for index, (one, on) in enumerate(parts):
        assert torch.equal(together[index], neighbour_variance(one, on, on)[0])


def test_only_measured_depths_are_read():
    depth, mask = scattered((15, 18), 25, 5)
    valid = mask.clone()
    found = neighbour_variance(depth, mask, valid)
    for other in (0.0, torch.nan, torch.inf):
        assert torch.equal(neighbour_variance(depth.where(mask, other), mask, valid), found)
    assert torch.equal(neighbour_variance(measure(depth, mask, mask), mask, valid), found)


def test_variance_goes_with_the_square_of_the_unit_and_not_with_a_shift():
    depth, mask = scattered((15, 18), 25, 6)
    found = neighbour_variance(depth.double(), mask, mask)
    assert torch.allclose(neighbour_variance(1000 * depth.double(), mask, mask), 1e6 * found)
    assert torch.allclose(neighbour_variance(depth.double() + 50, mask, mask), found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("depth", [0.1, 15.96, 53.68])
def test_equal_depths_have_no_variance(dtype, depth):
    """To the bit: what rounding leaves would be taken for edges."""
    _, mask = scattered((15, 18), 25, 7)
    found = neighbour_variance(torch.full((1, 15, 18), depth, dtype=dtype), mask, mask)
    assert found.dtype == dtype
    assert (found == 0).all()


def test_depths_that_are_none_are_refused():
    depth, mask = scattered((5, 6), 8, 3)
    two = torch.cat([mask, torch.zeros_like(mask)])
    with pytest.raises(ValueError, match="mask must have a pixel in every image; got none"):
        neighbour_variance(depth.expand(2, -1, -1), two, two)
    with pytest.raises(ValueError, match="bought must be positive and finite wherever mask"):
        neighbour_variance(0 * depth, mask, mask)
    with pytest.raises(TypeError, match="mask must be a bool tensor"):
        neighbour_variance(depth, mask.float(), mask)
    message = re.escape("bought must have shape (batch, height, width)")
    with pytest.raises(ValueError, match=message):
        neighbour_variance(depth[0], mask[0], mask[0])

"""Where measured depths differ from each other: an expected error that needs no training."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from torch import Tensor

from mrfmask.depth.checks import check_depth, check_known

# Measured pixels that are looked at, and the standard deviation of the smoothing in units of the
# distance between measured pixels, were they evenly spread over the valid ones. Both were tried on
# validation frames: 3 to 8 and an eighth to a half of that distance differ by a few per cent.
NEIGHBOURS, SMOOTHING = 4, 0.25


def neighbour_variance(
    bought: Float[Tensor, "batch height width"],
    mask: Bool[Tensor, "batch height width"],
    valid: Bool[Tensor, "batch height width"],
) -> Float[Tensor, "batch height width"]:
    """Variance of the depths of the 4 nearest measured pixels, smoothed.

    The smoothing is Gaussian; its standard deviation is a quarter of ``sqrt(valid / measured)``.
    Large across an edge of depth, and more where samples are far apart on a slope. Of measured
    pixels equally far away any count.

    Args:
        bought: measured depths, positive; what it holds elsewhere is never read.
        mask: the measured pixels, at least one an image; where there are fewer than 4 all count,
            with one the variance is 0.
        valid: where depth could be measured; only their number is looked at.

    Returns:
        The variances in squared units of depth, of the dtype and on the device of `bought`.

    Raises:
        TypeError: `bought` is no float tensor, or `mask` no bool tensor.
        ValueError: shapes or devices differ, an image has no measured pixel, or a measured depth is
            not positive and finite.
    """
    check_depth("bought", bought)
    check_known("bought", bought, "mask", mask)
    maps = []
    batch = (t.cpu().numpy() for t in (bought, mask, valid))
    for depth, on, could in zip(*batch, strict=True):
        places = np.argwhere(on)
        values = depth[on].astype(np.float64)
        count = min(NEIGHBOURS, len(places))
        pixels = np.argwhere(np.ones_like(on))
        _, found = cKDTree(places).query(pixels, k=range(1, count + 1))
        # Differences, so that rounding makes no variance of equal depths.
        near = values[found] - values[found[:, :1]]
        variance = near.var(axis=1).reshape(on.shape)
        spacing = np.sqrt(could.sum() / on.sum())
        maps.append(gaussian_filter(variance, SMOOTHING * spacing))
    return torch.from_numpy(np.array(maps)).to(bought)

"""How good a predicted depth is, image by image, and how sure a comparison of two ways is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.checks import check_mask
from mrfmask.depth.checks import check_depth, check_known, check_prediction
from mrfmask.depth.losses import Mean
from mrfmask.depth.reconstruct import distance_to
from mrfmask.inference.method import check_count, check_positive

# delta_n is the share of pixels that are off by less than this factor to the power n.
DELTA = 1.25
# Ends of the interval, in percent: 95 % of the draws lie within.
INTERVAL = (2.5, 97.5)


def depth_metrics(
    predicted: Float[Tensor, "batch height width"],
    depth: Float[Tensor, "batch height width"],
    valid: Bool[Tensor, "batch height width"],
    bought: Bool[Tensor, "batch height width"],
    radius: float = 5.0,
) -> dict[str, Float[Tensor, " batch"]]:
    """Errors of every image over its valid pixels, bought ones included, and what was bought.

    Args:
        predicted: depths, positive where valid.
        depth: true depths in the same unit, positive where valid.
        valid: where the true depth is known, at least one pixel an image; what predicted and depth
            hold elsewhere is never read.
        bought: the measured pixels, all of them valid; may be none.
        radius: of `coverage`, in pixels, positive.

    Returns:
        One float64 value an image. With p predicted and d true, means over valid pixels:
        mse ``(p - d)^2``; rmse its root; mae ``|p - d|``; abs_rel ``|p - d| / d``; sq_rel
        ``(p - d)^2 / d``; rmse_log, root of the mean of ``(log p - log d)^2``; delta_1, delta_2,
        delta_3, the share with ``max(p / d, d / p) < 1.25^n``; count, pixels bought; distance,
        from a valid pixel to the nearest bought one, in pixels, inf where none was bought;
        coverage, the share of valid pixels with a bought one at most `radius` away.

    Raises:
        TypeError: an argument of another kind.
        ValueError: shapes or devices differ, an image has no valid pixel, a depth on a valid pixel
            is not positive and finite, or a pixel was bought that is not valid.

    Example:
        >>> import torch
        >>> from mrfmask.depth.metrics import depth_metrics
        >>> depth = torch.full((1, 1, 4), 2.0)
        >>> valid = torch.tensor([[[True, True, True, False]]])
        >>> predicted = torch.tensor([[[2.0, 2.0, 5.0, 9.0]]])
        >>> found = depth_metrics(predicted, depth, valid, bought=valid & (predicted == 2))
        >>> found["mse"].item(), found["mae"].item(), found["count"].item()
        (3.0, 1.0, 2.0)

    Reference:
        Eigen, Puhrsch and Fergus, "Depth map prediction from a single image using a multi-scale
        deep network", NeurIPS 2014, section 4.3.
    """
    check_depth("depth", depth)
    check_known("depth", depth, "valid", valid)
    check_prediction("predicted", predicted, depth, valid)
    _check_bought(bought, valid)
    check_positive("radius", radius)
    mean = Mean(valid)
    p, d = (torch.where(valid, x.detach().double(), 1.0) for x in (predicted, depth))
    error, factor = p - d, torch.maximum(p / d, d / p)
    mse = mean(error.square())
    distance = distance_to(bought)
    return {
        "mse": mse,
        "rmse": mse.sqrt(),
        "mae": mean(error.abs()),
        "abs_rel": mean(error.abs() / d),
        "sq_rel": mean(error.square() / d),
        "rmse_log": mean((p.log() - d.log()).square()).sqrt(),
        **{f"delta_{n}": mean((factor < DELTA**n).double()) for n in (1, 2, 3)},
        "count": bought.sum(dim=(1, 2)).double(),
        "distance": mean(distance),
        "coverage": mean((distance <= radius).double()),
    }


def _check_bought(bought: Tensor, valid: Tensor) -> None:
    check_mask("bought", bought, tuple(valid.shape), valid.device)
    wrong = bought & ~valid
    if bool(wrong.any()):
        raise ValueError(
            f"bought must hold valid pixels alone; got {tuple(wrong.nonzero()[0].tolist())}, which "
            "is not. Measure only where there is a depth."
        )


@dataclass(frozen=True, kw_only=True)
class PairedRatio:
    """Errors of one way over those of another, on the same images.

    Attributes:
        ratio: of the mean errors; below 1 ours are smaller.
        low: lower end of the 95 % interval.
        high: upper end.
        places: how many were drawn from.
    """

    ratio: float
    low: float
    high: float
    places: int


def paired_ratio(
    ours: Sequence[float] | Float[Tensor, " images"],
    baseline: Sequence[float] | Float[Tensor, " images"],
    places: Sequence[str],
    *,
    seed: int = 0,
    draws: int = 2000,
) -> PairedRatio:
    """The ratio of mean errors with a 95 % interval over places, by the bootstrap.

    ``ratio = mean(ours) / mean(baseline)`` over all images, so that images count by the size of
    their errors and not by their own ratio. Images of a place resemble each other, and more of
    them make no result surer: in every draw as many places as there are are drawn with
    replacement, each with all its images and both its errors. The interval holds from 2.5 % to
    97.5 % of the ratios drawn; with few places, less than 20 or so, it is somewhat too short.

    Args:
        ours: an error an image, e.g. RMSE; positive and finite.
        baseline: the same for the other way, in the same order.
        places: where each image is from; two different ones at least.
        seed: of the draws.
        draws: how many, at least 1.

    Raises:
        TypeError: seed or draws are no ints.
        ValueError: lengths differ, an error is not positive and finite, or there is one place.

    Example:
        >>> from mrfmask.depth.metrics import paired_ratio
        >>> paired_ratio([1.0, 2.0, 4.0], [2.0, 4.0, 8.0], ["street", "street", "room"])
        PairedRatio(ratio=0.5, low=0.5, high=0.5, places=2)

    Reference:
        Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13; Field and
        Welsh, "Bootstrapping clustered data", Journal of the Royal Statistical Society B 2007.
    """
    check_count("seed", seed, least=0)
    check_count("draws", draws, least=1)
    errors = [_errors(name, x) for name, x in (("ours", ours), ("baseline", baseline))]
    names, place_of = np.unique(np.asarray(places), return_inverse=True)
    if not len(errors[0]) == len(errors[1]) == len(place_of):
        raise ValueError(
            f"ours, baseline and places must have one value an image; got {len(errors[0])}, "
            f"{len(errors[1])} and {len(place_of)}. Use the same images in the same order."
        )
    if len(names) < 2:
        raise ValueError(
            f"places must name at least 2 places; got {len(names)}. One place says nothing of "
            "others."
        )
    sums = np.stack([np.bincount(place_of, x) for x in errors])
    drawn = np.random.default_rng(seed).integers(0, len(names), (draws, len(names)))
    # Of both sums over the same images: their number cancels.
    ours_drawn, baseline_drawn = sums[:, drawn].sum(axis=2)
    low, high = np.percentile(ours_drawn / baseline_drawn, INTERVAL)
    total = sums.sum(axis=1)
    return PairedRatio(
        ratio=float(total[0] / total[1]), low=float(low), high=float(high), places=len(names)
    )


def _errors(name: str, values: Sequence[float] | Tensor) -> Float[np.ndarray, " images"]:
    array = torch.as_tensor(values, dtype=torch.float64, device="cpu").detach().numpy()
    bad = np.flatnonzero(~((array > 0) & np.isfinite(array)))
    if array.ndim != 1 or len(bad):
        got = f"{array[bad[0]]} of image {bad[0]}" if array.ndim == 1 else f"shape {array.shape}"
        raise ValueError(
            f"{name} must be a list of positive, finite errors; got {got}. Leave images without "
            "valid pixels out of both."
        )
    return array

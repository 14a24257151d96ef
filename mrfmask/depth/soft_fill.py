"""Dense depth from softly measured pixels, differentiable in how much each one is measured."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from mrfmask.depth.checks import check_depth, check_like, check_positive_where

# Quadratic B-spline, so that every pixel gives its weight once to the next coarser level.
SPLINE = (0.25, 0.75, 0.75, 0.25)


def soft_fill(
    depth: Float[Tensor, "batch height width"], weights: Float[Tensor, "batch height width"]
) -> Float[Tensor, "batch height width"]:
    r"""Fills depth from coarse to fine; a pixel counts by its weight.

    Pull: from each level to one of half its size, weights w and weighted depths c are summed with
    a 4x4 spline, and weights that have become large saturate:
    ``s(w) = 1 - (1 - min(w, 1))^3``, ``c <- c s(w) / w``. Push: from the coarsest level, where
    ``fill = c / w``, to the finest, ``fill = c + (1 - w) up(fill)`` with bilinear ``up``. So a
    pixel of weight 1 keeps its own depth, one of weight 0 takes what its surroundings say, and
    levels without any weight take all from coarser ones. Every fill is a mean of measured depths,
    of depth itself and not of its logarithm, as errors are of depth and so is `linear`, to which
    its errors come near. It scales with the depths.

    Gradients are finite everywhere, weights of 0 included, where the derivative is what a first
    small part of measuring the pixel would change.

    Args:
        depth: in any unit, positive wherever the weight is; what it holds elsewhere adds to the
            gradients of `weights` alone, and must be finite.
        weights: in [0, 1], how much each pixel is measured; some weight in every image.

    Returns:
        Positive depths of the dtype and on the device of `depth`.

    Raises:
        TypeError: an argument is no float tensor.
        ValueError: shapes or devices differ, depths or weights are out of range, or an image has no
            weight at all.

    Example:
        >>> import torch
        >>> from mrfmask.depth.soft_fill import soft_fill
        >>> depth = torch.tensor([[[2.0, 9.0, 9.0, 4.0]]])
        >>> soft_fill(depth, torch.tensor([[[1.0, 0.0, 0.0, 1.0]]]))[0, 0, [0, 3]]
        tensor([2., 4.])

    Reference:
        Gortler, Grzeszczuk, Szeliski and Cohen, "The lumigraph", SIGGRAPH 1996, section 3.4.1.
    """
    check_depth("depth", depth)
    check_like("weights", weights, depth)
    _check_weights(weights)
    measured = weights.detach() > 0
    check_positive_where("depth", depth, "weights", measured, "Set weights to 0 there.")
    if not bool(depth.detach().isfinite().all()):
        raise ValueError(
            "depth must be finite, where it is not measured, too; got NaN or infinite values. Put "
            "0 there."
        )
    levels = [(weights * depth, weights)]
    while max(levels[-1][0].shape[1:]) > 1:
        levels.append(_coarser(*levels[-1]))
    known, weight = levels.pop()
    filled = known / weight
    for known, weight in reversed(levels):
        filled = known + (1 - weight) * _finer(filled, tuple(known.shape[1:]))
    return filled


def _coarser(
    known: Float[Tensor, "batch height width"], weight: Float[Tensor, "batch height width"]
) -> tuple[Float[Tensor, "batch rows columns"], Float[Tensor, "batch rows columns"]]:
    """Weighted depths and weights of the next level, of half the size rounded up."""
    known, weight = _halved(known), _halved(weight)
    # s(w) / w, without dividing by small weights; its slope has no jump.
    share = torch.where(weight < 1, 3 - 3 * weight + weight.square(), 1 / weight.clamp(min=1))
    return known * share, weight * share


def _halved(values: Tensor) -> Float[Tensor, "batch rows columns"]:
    """Sums under the spline at every second pixel; beyond the border there is nothing."""
    spline = torch.tensor(SPLINE, dtype=values.dtype, device=values.device)
    odd_rows, odd_columns = (side % 2 for side in values.shape[1:])
    whole = pad(values, (1, 1 + odd_columns, 1, 1 + odd_rows))
    return conv2d(whole[:, None], (spline[:, None] * spline)[None, None], stride=2)[:, 0]


def _finer(filled: Tensor, size: tuple[int, int]) -> Float[Tensor, "batch height width"]:
    """Twice the size, less the last row or column if that was added."""
    finer = interpolate(filled[:, None], scale_factor=2, mode="bilinear", align_corners=False)
    return finer[:, 0, : size[0], : size[1]]


def _check_weights(weights: Tensor) -> None:
    values = weights.detach()
    wrong = ~((values >= 0) & (values <= 1))
    if bool(wrong.any()):
        place = tuple(wrong.nonzero()[0].tolist())
        raise ValueError(
            f"weights must lie in [0, 1]; got {values[place].item()} at {place}. Use a sigmoid."
        )
    empty = ~(values > 0).flatten(1).any(dim=1)
    if bool(empty.any()):
        raise ValueError(
            "weights must be positive somewhere in every image; got none in image "
            f"{int(empty.nonzero()[0])}. Measure a pixel."
        )

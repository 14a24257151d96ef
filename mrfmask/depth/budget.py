"""How many pixels a budget buys, and what buying them gives."""

from __future__ import annotations

from numbers import Real

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.checks import check_mask


def budget_of(valid: Bool[Tensor, "*batch height width"], budget: float) -> int:
    """How many pixels a budget buys: ``round(budget * height * width)``.

    Args:
        valid: where depth can be measured.
        budget: share of all pixels, in (0, 1].

    Raises:
        TypeError: `valid` is no bool tensor, or `budget` no number.
        ValueError: `budget` is out of range or buys no pixel, or more than an image has valid ones.

    Example:
        >>> import torch
        >>> budget_of(torch.ones(100, 100, dtype=torch.bool), 0.01)
        100
    """
    if not isinstance(valid, Tensor) or valid.dtype != torch.bool:
        got = valid.dtype if isinstance(valid, Tensor) else type(valid).__name__
        raise TypeError(f"valid must be a bool tensor; got {got}. Use depth > 0.")
    if isinstance(budget, bool) or not isinstance(budget, Real):
        raise TypeError(
            f"budget must be a number; got {type(budget).__name__}. Give a share of all pixels."
        )
    pixels = valid.shape[-2] * valid.shape[-1]
    count = round(float(budget) * pixels) if 0 < budget <= 1 else 0
    if count < 1:
        raise ValueError(
            f"budget must be a share in (0, 1] that buys a pixel of {pixels}; got {budget:g}. "
            "1 % is 0.01."
        )
    least = int(valid.flatten(-2).sum(dim=-1).min())
    if count > least:
        raise ValueError(
            f"budget must be at most the valid pixels of each image; got {budget:g}, which is "
            f"{count} pixels, where {least} are valid. Lower it, or leave the image out."
        )
    return count


def measure(
    depth: Float[Tensor, "*batch height width"],
    valid: Bool[Tensor, "*batch height width"],
    mask: Bool[Tensor, "*batch height width"],
) -> Float[Tensor, "*batch height width"]:
    """The depths that a mask buys, 0 elsewhere.

    Args:
        depth: metres.
        valid: where there is a depth to be bought.
        mask: what is bought.

    Raises:
        TypeError: a mask that is no bool tensor.
        ValueError: shapes that differ, or a pixel is bought that is not valid.
    """
    check_mask("valid", valid, tuple(depth.shape), depth.device)
    check_mask("mask", mask, tuple(depth.shape), depth.device)
    wrong = mask & ~valid
    if wrong.any():
        where = tuple(wrong.nonzero()[0].tolist())
        raise ValueError(
            f"mask must lie on valid pixels; got {int(wrong.sum())} that are not, the first at "
            f"{where}. Select with scores that are -inf where not valid."
        )
    return torch.where(mask, depth, 0.0)

"""Checks of depth maps, their masks and what belongs to them."""

from __future__ import annotations

from numbers import Real
from typing import Any

from torch import Tensor

from mrfmask.checks import check_mask


def check_share(name: str, value: Any) -> None:
    """Raises unless an option is a number in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number; got {type(value).__name__}. Use a float.")
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1]; got {value}. Choose a number in this range.")


def check_depth(name: str, depth: Any) -> None:
    """Raises unless `depth` is a float tensor (batch, height, width) with some pixels."""
    if not isinstance(depth, Tensor) or not depth.is_floating_point():
        got = depth.dtype if isinstance(depth, Tensor) else type(depth).__name__
        raise TypeError(f"{name} must be a floating-point tensor; got {got}. Call .float().")
    if depth.dim() != 3 or 0 in depth.shape:
        hint = "For one image pass it with [None]." if depth.dim() == 2 else "Check its layout."
        raise ValueError(
            f"{name} must have shape (batch, height, width) with at least one image and pixel; "
            f"got {tuple(depth.shape)}. {hint}"
        )


def check_like(name: str, other: Any, depth: Tensor) -> None:
    """Raises unless `other` is a float tensor of the shape and on the device of `depth`."""
    check_depth(name, other)
    if other.shape != depth.shape or other.device != depth.device:
        raise ValueError(
            f"{name} must have shape {tuple(depth.shape)} on {depth.device}; got "
            f"{tuple(other.shape)} on {other.device}. All maps of a batch belong together."
        )


def check_known(name: str, depth: Tensor, where: str, mask: Tensor) -> None:
    """Raises unless `mask`, called `where`, has a pixel in every image, and depth > 0 on each.

    Nothing is said of the depth on other pixels: it may be 0 or NaN there.
    """
    check_mask(where, mask, tuple(depth.shape), depth.device)
    empty = ~mask.flatten(1).any(dim=1)
    if bool(empty.any()):
        raise ValueError(
            f"{where} must have a pixel in every image; got none in image "
            f"{int(empty.nonzero()[0])}. Leave such images out."
        )
    check_positive_where(name, depth, where, mask, f"Set {where} to False there.")


def check_positive_where(name: str, depth: Tensor, where: str, mask: Tensor, hint: str) -> None:
    """Raises unless `depth` is positive and finite on all pixels of the mask called `where`."""
    values = depth.detach()
    bad = mask & ~((values > 0) & values.isfinite())
    if bool(bad.any()):
        place = tuple(bad.nonzero()[0].tolist())
        raise ValueError(
            f"{name} must be positive and finite wherever {where} is True; got "
            f"{values[place].item()} at {place}. {hint}"
        )


def check_prediction(name: str, predicted: Any, depth: Tensor, valid: Tensor) -> None:
    """Raises unless `predicted` is a map like `depth`, positive and finite on valid pixels."""
    check_like(name, predicted, depth)
    check_positive_where(name, predicted, "valid", valid, "Check what computed it.")

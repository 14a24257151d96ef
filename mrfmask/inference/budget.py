"""How many pixels may be on: budgets as users write them, and models that charge for pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral, Real

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mrfmask.model import IsingGrid

Budget = int | float | Sequence[int | float] | Tensor


def count_limits(model: IsingGrid) -> tuple[Int[Tensor, " batch"], Int[Tensor, " batch"]]:
    """The fewest and the most pixels that can be on: what clamps leave, (batch,) int64 each."""
    on = (model.clamped & (model.unary > 0)).sum(dim=(1, 2))
    off = (model.clamped & (model.unary < 0)).sum(dim=(1, 2))
    _, height, width = model.shape
    return on, height * width - off


def budget_counts(
    model: IsingGrid, budget: Budget | None, budget_new: Budget | None
) -> Int[Tensor, " batch"]:
    """Pixels on of every image, clamped ones included, (batch,) int64.

    Args:
        model: says how many pixels there are and which are clamped.
        budget: pixels on in all; an int, or a fraction of all pixels in [0, 1] as a float (rounded
            to whole pixels), for all images or one for each.
        budget_new: the same, on top of the pixels that are clamped on.

    Raises:
        TypeError: a budget that is no number, or both or none given.
        ValueError: a budget that no mask can have, with the number of the image.
    """
    if (budget is None) == (budget_new is None):
        raise TypeError(
            "budget must be given without budget_new, or the other way round; got "
            f"{'neither' if budget is None else 'both'}. Choose one."
        )
    name, value = ("budget", budget) if budget_new is None else ("budget_new", budget_new)
    batch, height, width = model.shape
    values = _per_image(name, value, batch)
    counts = [_count(name, v, height * width) for v in values]
    least, most = (limit.cpu() for limit in count_limits(model))
    wanted = torch.tensor(counts, dtype=torch.int64)
    if name == "budget_new":
        wanted = wanted + least
    impossible = (wanted < least) | (wanted > most)
    if impossible.any():
        image = int(impossible.nonzero()[0])
        clamped = int(least[image]), height * width - int(most[image])
        raise ValueError(
            f"{name} must leave a mask between the {least[image]} pixels clamped on and the "
            f"{most[image]} not clamped off; got {int(wanted[image])} pixels for image {image} of "
            f"{height}x{width} with {clamped[0]} clamped on and {clamped[1]} off. Change one."
        )
    return wanted


def penalised(
    model: IsingGrid, penalty: Float[Tensor, " batch"], counts: Int[Tensor, " batch"]
) -> IsingGrid:
    """The model with ``E(x) + penalty * (pixels on - count)``, in float64.

    Its minimum is a lower bound on the energy of every mask with `count` pixels on, whatever the
    penalty (Lagrange).
    """
    on, most = count_limits(model)
    model = model.to(torch.float64)
    # A free pixel is on (x + 1) / 2 times; a clamped one has no unary to carry its share.
    free = (most - on).to(torch.float64)
    constant = model.constant + penalty * (free / 2 + on - counts)
    unary = torch.where(model.clamped, model.unary, model.unary - penalty[:, None, None] / 2)
    return replace(model, unary=unary, constant=constant)


def _per_image(name: str, value: Budget, batch: int) -> list[int | float]:
    if isinstance(value, Tensor):
        value = value.tolist()
    if isinstance(value, str) or not isinstance(value, Sequence):
        return [value] * batch
    if len(value) != batch:
        raise ValueError(
            f"{name} must be one number or one an image; got {len(value)} for {batch} images. "
            "Give one number for all."
        )
    return list(value)


def _count(name: str, value: int | float, pixels: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            f"{name} must be an int, or a fraction as a float; got {type(value).__name__}. "
            "Use 100 for a hundred pixels, 0.01 for one in a hundred."
        )
    if isinstance(value, Integral):
        if value < 0:
            raise ValueError(f"{name} must not be negative; got {value}. Count pixels from 0 on.")
        return int(value)
    if not 0.0 <= value <= 1.0:
        raise ValueError(
            f"{name} must lie in [0, 1] as a fraction of the pixels; got {value}. "
            "Use an int for a number of pixels."
        )
    return round(value * pixels)

"""Buying in phases: look at the depths obtained, then say what to buy next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.depth.budget import measure
from mrfmask.depth.checks import check_share
from mrfmask.depth.frames import FrameBatch
from mrfmask.depth.masking.masking import Masking, check_view, first_view
from mrfmask.depth.neighbour_variance import neighbour_variance
from mrfmask.inference.method import check_count

# From depths bought (0 elsewhere), where they were bought and where depth is valid to an expected
# squared error of every pixel, valid or not, in any unit; finite and not below 0.
Weight = Callable[[Tensor, Tensor, Tensor], Tensor]
# Share of the mean below which an expected error does not count: nothing is certain.
FLOOR = 0.03


@dataclass(frozen=True, kw_only=True)
class Phases:
    """How a budget is spent in phases.

    Attributes:
        count: phases, >= 1; 1 buys all at once.
        first: share of the budget bought in the first phase, in (0, 1]; the rest is bought in equal
            parts.
        power: of the expected squared error in the density of picks. Errors that fall like
            rho^-0.7 ask for 1 / 1.7; what is bought already flattens them, and more is better.
        trust: of the picture in all phases but the first, in [0, 1].
        weight: gives the expected squared errors; by default the variance of the nearest measured
            depths, which needs no training.

    Raises:
        TypeError, ValueError: a field is not what it must be.
    """

    count: int = 1
    first: float = 0.25
    power: float = 1.0
    trust: float = 0.6
    weight: Weight = neighbour_variance

    def __post_init__(self) -> None:
        check_count("count", self.count, least=1)
        for name in ("first", "power", "trust"):
            check_share(name, getattr(self, name))
        if self.first == 0:
            raise ValueError("first must be above 0; got 0. Depths must be bought to look at them.")

    def counts(self, total: int) -> list[int]:
        """Pixels bought after every phase, together; those of the last are `total`."""
        if self.count == 1:
            return [total]
        first = min(max(round(self.first * total), 1), total)
        later = self.count - 1
        return [first + round((total - first) * phase / later) for phase in range(self.count)]


@torch.no_grad()
def buy(
    masking: Masking, frames: FrameBatch, count: int, phases: Phases, seed: int = 0
) -> Bool[Tensor, "batch height width"]:
    """Spends a budget of `count` pixels an image.

    Masks of the phases nest: what was bought stays. A phase sees depths only of pixels bought
    before.

    Args:
        masking: says what to buy.
        frames: pictures, validity, and the depths to be bought.
        count: pixels on in every image, >= 1.
        phases: how it is spent.
        seed: of random numbers; an image's draws hang on it and its name alone.

    Raises:
        TypeError: an argument of another kind.
        ValueError: an image has fewer valid pixels, or the weight gives NaN or what is below 0.
    """
    view = first_view(frames, seed)
    check_view(view, count)
    mask = masking(view, phases.counts(count)[0])
    for total in phases.counts(count)[1:] if masking.budgeted else []:
        bought = measure(frames.depth, frames.valid, mask)
        error = phases.weight(bought, mask, frames.valid)
        view = replace(
            view,
            taken=mask,
            log_weight=phases.power * log_error(error, frames.valid),
            trust=phases.trust,
        )
        mask = masking(view, total)
    return mask


def log_error(
    error: Float[Tensor, "batch height width"], valid: Bool[Tensor, "batch height width"]
) -> Float[Tensor, "batch height width"]:
    """Logarithm of expected errors over their mean on valid pixels, from a floor on; 0 if all 0.

    ``log(error / mean + 0.03)``.

    Raises:
        ValueError: an error is not finite, or below 0.
    """
    bad = ~((error >= 0) & error.isfinite())
    if bad.any():
        where = tuple(bad.nonzero()[0].tolist())
        raise ValueError(
            f"weight must give finite errors from 0 on for all pixels; got {error[where].item()} "
            f"at {where}. Check what computed it."
        )
    count = valid.sum((1, 2), keepdim=True).clamp(min=1)
    mean = error.where(valid, 0).sum((1, 2), keepdim=True) / count
    share = torch.where(mean > 0, error / mean.where(mean > 0, 1), 1 - FLOOR)
    return (share + FLOOR).log().float()

"""Choosing pixels under a budget: one interface, many ways, from random to long-range repulsion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.select.budget import Budget
from mrfmask.select.farthest import KCenter, WeightedFarthest
from mrfmask.select.grid import RegularGrid
from mrfmask.select.ising import Ising
from mrfmask.select.long_range import LongRange, LongRangeResult
from mrfmask.select.poisson_disk import PoissonDisk
from mrfmask.select.random import Random
from mrfmask.select.selector import Selector
from mrfmask.select.superpixel import Superpixel
from mrfmask.select.top_k import TopK

# The one registry: `select`, the command line, tests and benchmarks read it.
SELECTORS: dict[str, type[Selector]] = {
    selector.name: selector
    for selector in (
        Random,
        RegularGrid,
        PoissonDisk,
        KCenter,
        Superpixel,
        TopK,
        WeightedFarthest,
        Ising,
        LongRange,
    )
}

__all__ = ["SELECTORS", "Ising", "LongRangeResult", "Selector", "make_selector", "select"]


def select(
    scores: Float[Tensor, "batch height width"],
    method: str = "long_range",
    *,
    budget: Budget | None = None,
    budget_new: Budget | None = None,
    taken: Bool[Tensor, "batch height width"] | None = None,
    cost: Int[Tensor, "batch height width"] | None = None,
    features: Float[Tensor, "batch channels height width"] | None = None,
    **options: Any,
) -> Bool[Tensor, "batch height width"]:
    """Chooses pixels of each image: exactly as many as asked for, or as many as `cost` allows.

    Args:
        scores: logits, higher is chosen sooner where the method looks at them; -inf must not be
            chosen, for instance where a sensor has no return. float32 or float64. All methods
            run on the CPU; tensors on CUDA are copied there, and the mask back.
        method: a name in SELECTORS.
        budget: pixels on in the result, those of `taken` included: an int, a share of all pixels as
            a float in (0, 1], rounded to the nearest int, or one of them an image. With `cost`,
            what all pixels on may cost at most, an int.
        budget_new: the same without those of `taken`; give one of the two.
        taken: pixels measured already. They are on in the result, and picks keep away from them.
        cost: positive ints, for methods that take any number of pixels.
        features: for k_center, distances in their space; for superpixel, the picture to divide.
        **options: of the method, e.g. ``seed=1`` for random; see SELECTORS[method].

    Raises:
        TypeError: an argument of another kind, or an option that the method does not have.
        ValueError: an unknown method, shapes that do not fit, NaN, or a budget that an image cannot
            meet.
        RuntimeError: tensors that are neither on the CPU nor on CUDA.

    Example:
        >>> import torch, mrfmask as mm
        >>> mask = mm.select(torch.zeros(1, 40, 60), "long_range", budget=0.01)
        >>> int(mask.sum())
        24
    """
    return make_selector(method, options)(
        scores, budget=budget, budget_new=budget_new, taken=taken, cost=cost, features=features
    )


def make_selector(name: str, options: dict[str, Any]) -> Selector:
    """The named selector with these options, if it exists and has them."""
    if name not in SELECTORS:
        raise ValueError(
            f"method must be one of {', '.join(SELECTORS)}; got {name!r}. mm.SELECTORS lists them."
        )
    known = {f.name for f in fields(SELECTORS[name])}
    for option in options:
        if option not in known:
            has = ", ".join(sorted(known)) or "none"
            raise TypeError(f"options must be ones that {name} has; got {option!r}. It has: {has}.")
    return SELECTORS[name](**options)


def names_that_use(argument: str) -> Sequence[str]:
    """The selectors that look at "cost", "features" or "seed"."""
    return [name for name, selector in SELECTORS.items() if argument in selector.uses]

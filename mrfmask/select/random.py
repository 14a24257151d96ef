"""Pixels at random, all alike or by their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask import ops
from mrfmask.select.budget import Request
from mrfmask.select.selector import Selector, take_in_order


@dataclass(frozen=True, kw_only=True, eq=False)
class Random(Selector):
    r"""Pixels drawn one after the other, without putting any back.

    Args:
        weighted: draw a pixel with probability proportional to ``exp(score)`` among those left,
            as the largest ``score - log(-log uniform)``; else all alike.
        seed: an int s (image b draws as stream (s, b)) or one int an image.

    Example:
        >>> import torch, mrfmask as mm
        >>> mm.select(torch.zeros(2, 5, 5), "random", budget=7, seed=1).sum(dim=(1, 2))
        tensor([7, 7])

    Reference:
        Efraimidis and Spirakis, "Weighted random sampling with a reservoir", Information
        Processing Letters 2006.
    """

    weighted: bool = False
    seed: int | Sequence[int] = 0

    name: ClassVar = "random"
    uses: ClassVar = frozenset({"scores", "cost", "seed"})

    def __post_init__(self) -> None:
        if not isinstance(self.weighted, bool):
            raise TypeError(
                f"weighted must be a bool; got {type(self.weighted).__name__}. Use True."
            )

    def _choose_one(self, request: Request) -> Bool[np.ndarray, "height width"]:
        pixels = np.flatnonzero(request.free)
        keys = uniforms(request.seed, request.free.size)[pixels]
        if self.weighted:
            # Draws of 0 count as the smallest step above, whose logarithm is finite.
            keys = request.scores.reshape(-1)[pixels] - np.log(-np.log(np.maximum(keys, 2**-54)))
        return take_in_order(request, pixels[np.argsort(-keys, kind="stable")])


def uniforms(seed: Int[Tensor, " 2"], count: int) -> Float[np.ndarray, " count"]:
    """Uniform numbers in [0, 1), a pure function of key and stream."""
    return ops.exact_uniforms(seed, 1, count)[0].numpy()

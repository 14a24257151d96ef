"""What every pseudo-ground-truth is: masks that are good for completing frames known throughout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter
from torch import Tensor

from mrfmask.depth.budget import measure
from mrfmask.depth.frames import FrameBatch
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.reconstruct import Fills, fill

# What a mask should be good for: from depths bought (0 elsewhere), where they were bought, and
# their fills to the depth of every pixel.
Target = Callable[[Tensor, Tensor, Fills], Tensor]


def linear_target(depth: Tensor, mask: Tensor, fills: Fills) -> Tensor:
    """Linear interpolation, which needs no training."""
    return fills.linear


def predictor_target(predictor: Predictor) -> Target:
    """The completion by a network, which is put into evaluation mode and looks at no picture."""
    net = predictor.eval()
    return lambda depth, mask, fills: net(depth, mask, fills=fills)


@dataclass(frozen=True, kw_only=True)
class PseudoTruth(ABC):
    """Base of the kinds of pseudo-ground-truth; each is a frozen, keyword-only dataclass.

    Args:
        target: completes depth; masks are good for it.

    Attributes:
        name: its key in PSEUDO_TRUTHS.
    """

    target: Target = linear_target

    name: ClassVar[str]

    def __call__(
        self, frames: FrameBatch, count: int, seed: int = 0
    ) -> Bool[Tensor, "batch height width"]:
        """Masks of exactly `count` valid pixels an image.

        Args:
            frames: with the depths that nobody could know before buying them.
            count: pixels on in every image, at least 1.
            seed: of random numbers; an image's draws hang on it and its name alone.

        Raises:
            ValueError: an image has fewer valid pixels.
        """
        least = int(frames.valid.sum((1, 2)).min())
        if not 1 <= count <= least:
            raise ValueError(
                f"count must lie between 1 and the valid pixels of every image, {least}; got "
                f"{count}. Change the budget, or leave frames out."
            )
        with torch.no_grad():
            return self._choose(frames, count, seed)

    @abstractmethod
    def _choose(
        self, frames: FrameBatch, count: int, seed: int
    ) -> Bool[Tensor, "batch height width"]:
        """The mask of every image."""


def errors(
    target: Target, frames: FrameBatch, mask: Bool[Tensor, "batch height width"]
) -> Float[Tensor, "batch height width"]:
    """Completed less true depth, 0 where depth is not valid; differentiable in what is bought."""
    bought = measure(frames.depth, frames.valid, mask)
    completed = target(bought, mask, fill(bought, mask))
    return torch.where(frames.valid, completed - frames.depth, 0.0)


def smoothed(
    maps: Float[Tensor, "batch height width"], deviation: float
) -> Float[Tensor, "batch height width"]:
    """Every map smoothed by a Gaussian of that standard deviation in pixels."""
    smooth = [gaussian_filter(image.double().numpy(), deviation) for image in maps]
    return torch.from_numpy(np.array(smooth))

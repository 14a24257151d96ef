"""The error of soft masks, as a share of that of as many pixels spread evenly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.depth.frames import FrameBatch
from mrfmask.depth.losses import FLOOR, Mean
from mrfmask.depth.soft_fill import soft_fill
from mrfmask.select import select


class RelativeError:
    """RMSE of `soft_fill` over that of a mask of k-center, so that images count alike.

    Both mean squared errors are raised by the square of 0.3 % of the image's mean depth.

    Args:
        frames: with at least `count` valid pixels each.
        count: pixels of the mask that is the yardstick.
    """

    def __init__(self, frames: FrameBatch, count: int) -> None:
        self.depth, self.valid = frames.depth, frames.valid
        self.floor = (FLOOR * Mean(self.valid)(self.depth)).square()
        self.yardstick = self._squared(range(len(frames)), spread(self.valid, count).float())

    def __call__(
        self, images: Sequence[int], weights: Float[Tensor, "images ... height width"]
    ) -> Float[Tensor, "images ..."]:
        """The relative error of each mask.

        Args:
            images: whose masks they are.
            weights: of their pixels, see `soft_fill`; one mask an image or several.
        """
        samples = weights.shape[1:-2]
        number = samples.numel()
        every = [image for image in images for _ in range(number)]
        squared = self._squared(every, weights.flatten(0, -3))
        return (squared / self.yardstick[every]).sqrt().reshape(len(images), *samples)

    def _squared(
        self, images: Sequence[int], weights: Float[Tensor, "masks height width"]
    ) -> Float[Tensor, " masks"]:
        depth, valid = self.depth[list(images)], self.valid[list(images)]
        error = soft_fill(depth, weights) - depth
        return Mean(valid)(error.square()) + self.floor[list(images)]


def spread(
    valid: Bool[Tensor, "batch height width"], count: int
) -> Bool[Tensor, "batch height width"]:
    """So many valid pixels of each image, far from each other."""
    scores = torch.zeros(valid.shape).where(valid, -torch.inf)
    return select(scores, "k_center", budget=count)

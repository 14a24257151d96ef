"""Images of a batch that share a grid of cells, and the pixel that each cell stands for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.depth import cells


@dataclass(frozen=True, kw_only=True, eq=False)
class CellGroup:
    """Some images of a batch, on cells of one size.

    Attributes:
        images: their numbers in the batch.
        side: of the cells, in pixels.
        open: cells with a valid pixel.
        pixels: of every open cell the pixel that it buys.
    """

    images: list[int]
    side: int
    open: Bool[Tensor, "images rows columns"]
    pixels: Bool[Tensor, "images height width"]

    def weights(
        self, chosen: Float[Tensor, "images ... rows columns"]
    ) -> Float[Tensor, "images ... height width"]:
        """Weights of pixels for weights of cells: a cell's weight goes to its pixel, straight."""
        height, width = self.pixels.shape[1:]
        spread = chosen.repeat_interleave(self.side, -2).repeat_interleave(self.side, -1)
        between = (1,) * (chosen.dim() - 3)
        pixels = self.pixels.reshape(len(self.images), *between, height, width)
        return torch.where(pixels, spread[..., :height, :width], 0.0)


def cell_groups(valid: Bool[Tensor, "batch height width"], count: int) -> list[CellGroup]:
    """All images of a batch, on the cells that `GridMasking` takes for `count` picks.

    Args:
        valid: where depth can be bought, at least `count` pixels an image.
        count: picks of every image.
    """
    sides = [cells.cell_side(image, count) for image in valid]
    groups = []
    for side in sorted(set(sides)):
        images = [number for number, own in enumerate(sides) if own == side]
        open_ = cells.some(valid[images], side)
        pixels = [
            cells.picks(chosen, image, side)
            for chosen, image in zip(open_, valid[images], strict=True)
        ]
        groups.append(CellGroup(images=images, side=side, open=open_, pixels=torch.stack(pixels)))
    return groups

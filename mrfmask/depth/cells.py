"""Cells of pixels: a grid of potentials coarser than the picture, one pick a cell."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

# Cells with a valid pixel per pick, at least: fewer would leave no choice, far more none of the
# couplings' reach.
CELLS_PER_PICK = 2


def cell_side(
    valid: Bool[Tensor, "height width"], count: int, per_pick: int = CELLS_PER_PICK
) -> int:
    """The largest side, in pixels, of square cells of which enough hold a valid pixel; or 1.

    Enough are `per_pick` times `count`.

    Every side is looked at that could do: where pixels lie apart, larger cells may hold more of
    them than smaller ones, as no cell of one grid lies within a cell of the other.
    """
    needed = per_pick * count
    height, width = valid.shape
    for side in range(max(height, width), 1, -1):
        if math.ceil(height / side) * math.ceil(width / side) < needed:
            continue
        if some(valid[None], side).sum() >= needed:
            return side
    return 1


def some(mask: Bool[Tensor, "batch height width"], side: int) -> Bool[Tensor, "batch rows columns"]:
    """Cells with a pixel of the mask; the last row and column of cells may be narrower."""
    return max_pool2d(mask[:, None].float(), side, ceil_mode=True)[:, 0] > 0


def mean(
    maps: Float[Tensor, "batch channels height width"], side: int
) -> Float[Tensor, "batch channels rows columns"]:
    """The mean of the pixels of every cell."""
    return avg_pool2d(maps, side, ceil_mode=True, count_include_pad=False)


def mean_of(
    values: Float[Tensor, "height width"], mask: Bool[Tensor, "height width"], side: int
) -> Float[Tensor, "rows columns"]:
    """The mean of those pixels of every cell that are on in the mask; 0 where none is."""
    total = mean(torch.stack([values.where(mask, 0), mask.to(values)])[None], side)[0]
    return total[0] / total[1].where(total[1] > 0, 1)


def picks(
    cells: Bool[Tensor, "rows columns"],
    free: Bool[Tensor, "height width"],
    side: int,
) -> Bool[Tensor, "height width"]:
    """One free pixel of every chosen cell: the one nearest to its middle.

    Args:
        cells: chosen ones, each with a free pixel.
        free: pixels that may be picked.
        side: of the cells in pixels.
    """
    height, width = free.shape
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    cell = (rows // side) * cells.shape[1] + columns // side
    # Twice the distance from the middle, squared: ints. Equal ones go by reading order.
    away = _from_middle(height, side)[:, None] ** 2 + _from_middle(width, side)[None] ** 2
    pixels = (free & cells.flatten()[cell]).flatten().nonzero()[:, 0]
    order = pixels[torch.argsort(away.flatten()[pixels], stable=True)]
    order = order[torch.argsort(cell.flatten()[order], stable=True)]
    owner = cell.flatten()[order]
    first = torch.ones(len(order), dtype=torch.bool)
    first[1:] = owner[1:] != owner[:-1]
    mask = torch.zeros(height * width, dtype=torch.bool)
    mask[order[first]] = True
    return mask.reshape(height, width)


def _from_middle(length: int, side: int) -> Tensor:
    """Twice the distance of every place along a line from the middle of its cell."""
    place = torch.arange(length)
    first = place // side * side
    last = (first + side - 1).clamp(max=length - 1)
    return 2 * place - first - last

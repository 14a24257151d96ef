"""A regular grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from mrfmask.select.budget import Request
from mrfmask.select.selector import Selector
from mrfmask.select.snap import snap


@dataclass(frozen=True, kw_only=True, eq=False)
class RegularGrid(Selector):
    """Points in even rows over the box of all allowed pixels, moved to the nearest free pixel.

    k points lie in ``round(sqrt(k height / width))`` rows, as even as k allows. Each taken pixel
    takes the place of the point nearest to it. Scores only say where nothing may be chosen.

    Example:
        >>> import torch, mrfmask as mm
        >>> mm.select(torch.zeros(1, 2, 4), "grid", budget=2)
        tensor([[[ True, False,  True, False],
                 [False, False, False, False]]])
    """

    name: ClassVar = "grid"
    uses: ClassVar = frozenset()

    def _choose_one(self, request: Request) -> Bool[np.ndarray, "height width"]:
        allowed = np.argwhere(request.free | request.taken)
        if request.count == 0:
            return np.zeros_like(request.free)
        taken = np.argwhere(request.taken)
        low, high = allowed.min(axis=0), allowed.max(axis=0) + 1
        points = even_points(request.count + len(taken), *(high - low)) + low
        for pixel in taken:
            nearest = np.square(points - pixel).sum(axis=1).argmin()
            points = np.delete(points, nearest, axis=0)
        return snap(points, request.free)


def even_points(count: int, height: int, width: int) -> Float[np.ndarray, "count 2"]:
    """Points (y, x) in even rows over the pixels 0..height-1, 0..width-1."""
    rows = min(max(round(np.sqrt(count * height / width)), 1), count)
    ends = [row * count // rows for row in range(rows + 1)]
    points = []
    for row in range(rows):
        columns = ends[row + 1] - ends[row]
        y = (row + 0.5) * height / rows - 0.5
        points += [(y, (column + 0.5) * width / columns - 0.5) for column in range(columns)]
    return np.array(points)

"""From points to pixels that may be chosen."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float


def snap(
    points: Iterable[tuple[float, float]] | Float[np.ndarray, "points 2"],
    free: Bool[np.ndarray, "height width"],
) -> Bool[np.ndarray, "height width"]:
    """The free pixel nearest to each point in turn, none twice; at most as many as are free."""
    open_pixels = free.copy()
    chosen = np.zeros_like(free)
    for y, x in points:
        place = _nearest(open_pixels, y, x)
        if place is None:
            break
        open_pixels[place] = False
        chosen[place] = True
    return chosen


def _nearest(free: Bool[np.ndarray, "height width"], y: float, x: float) -> tuple[int, int] | None:
    """The free pixel nearest to a point, of equal ones the first in reading order."""
    height, width = free.shape
    centre_y = min(max(round(y), 0), height - 1)
    centre_x = min(max(round(x), 0), width - 1)
    # Nothing within a distance of `reach` is outside the window; the point is at most one pixel
    # from its centre.
    reach = 2.0
    while True:
        side = int(reach) + 2
        top, left = max(centre_y - side, 0), max(centre_x - side, 0)
        window = free[top : centre_y + side + 1, left : centre_x + side + 1]
        ys, xs = np.nonzero(window)
        if len(ys):
            squared = (ys + top - y) ** 2 + (xs + left - x) ** 2
            best = int(np.argmin(squared))
            whole = window.shape == free.shape
            if whole or squared[best] <= reach**2:
                return int(ys[best]) + top, int(xs[best]) + left
        elif window.shape == free.shape:
            return None
        reach *= 2

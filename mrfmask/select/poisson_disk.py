"""Random pixels that keep a distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int

from mrfmask.select.budget import Request
from mrfmask.select.random import uniforms
from mrfmask.select.selector import Selector

# Pixels of the order that are looked at together: most are covered, which costs nothing each.
CHUNK = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class PoissonDisk(Selector):
    """Darts in a random order: a pixel is chosen if it keeps its distance from all before it.

    The distance is the largest, found by bisection of its square, at which the same order still
    gives enough pixels. Chosen pixels keep it from each other and from taken ones. Scores only say
    where nothing may be chosen.

    Args:
        seed: an int s (image b draws as stream (s, b)) or one int an image.

    Example:
        >>> import torch, mrfmask as mm
        >>> mask = mm.select(torch.zeros(1, 20, 20), "poisson_disk", budget=9, seed=1)
        >>> places = mask[0].nonzero().double()
        >>> bool(torch.pdist(places).min() >= 4)
        True

    Reference:
        Cook, "Stochastic sampling in computer graphics", ACM Transactions on Graphics 1986.
    """

    seed: int | Sequence[int] = 0

    name: ClassVar = "poisson_disk"
    uses: ClassVar = frozenset({"seed"})

    def _choose_one(self, request: Request) -> Bool[np.ndarray, "height width"]:
        pixels = np.flatnonzero(request.free)
        order = pixels[np.argsort(uniforms(request.seed, request.free.size)[pixels], kind="stable")]
        height, width = request.free.shape
        enough, too_far = 1, height**2 + width**2 + 1
        chosen = throw(request, order, enough)
        while too_far - enough > 1 and request.count > 0:
            # The answer is far nearer to the low end: halve the ratio, not the difference.
            middle = max(enough + 1, int(np.sqrt(enough * too_far)))
            trial = throw(request, order, middle)
            if trial.sum() == request.count:
                enough, chosen = middle, trial
            else:
                too_far = middle
        return chosen


def throw(
    request: Request, order: Int[np.ndarray, " free"], squared: int
) -> Bool[np.ndarray, "height width"]:
    """The first pixels of an order, up to the count, whose squared distances are >= `squared`."""
    covered = np.zeros_like(request.free)
    chosen = np.zeros_like(request.free)
    reach = int(np.ceil(np.sqrt(squared)))
    offsets = np.arange(-reach, reach + 1) ** 2
    disk = offsets[:, None] + offsets < squared

    def cover(y: int, x: int) -> None:
        top, left = max(y - reach, 0), max(x - reach, 0)
        window = covered[top : y + reach + 1, left : x + reach + 1]
        first_y, first_x = top - y + reach, left - x + reach
        window |= disk[first_y : first_y + window.shape[0], first_x : first_x + window.shape[1]]

    for y, x in np.argwhere(request.taken).tolist():
        cover(y, x)
    left, width = request.count, covered.shape[1]
    for start in range(0, len(order), CHUNK):
        chunk = order[start : start + CHUNK]
        for pixel in chunk[~covered.reshape(-1)[chunk]].tolist():
            if left == 0:
                return chosen
            y, x = divmod(pixel, width)
            if not covered[y, x]:
                chosen[y, x] = True
                cover(y, x)
                left -= 1
    return chosen

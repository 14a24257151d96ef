"""The long-range model on large pictures: tile by tile, each seeing the picks of those before."""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.select import LongRange

# The model looks at every pixel for every pick: beyond this product a picture is cut up.
AT_ONCE = 2**27
# How far picks of other tiles are looked at, in mean distances of picks.
MARGIN = 4.0


def long_range_in_tiles(
    scores: Float[Tensor, "height width"], count: int, exponent: int
) -> Bool[Tensor, "height width"]:
    """The mask of the long-range model, or for large pictures nearly so; exactly `count` pixels.

    Tiles get shares of the budget by the sum of their densities ``exp(score)``, rounded to the
    largest remainders, and are filled one after the other; picks of earlier ones repel. Time then
    grows with the pixels alone. With hundreds of picks a tile, distances are as those of the whole
    model to 1 %.

    Args:
        scores: log-densities, finite.
        count: pixels on, at most all.
        exponent: s, see `mm.LongRange`.
    """
    height, width = scores.shape
    model = LongRange(exponent=exponent)
    if count * height * width <= AT_ONCE:
        return model(scores[None], budget=count)[0]
    # So that a tile's pixels times its picks stay below the limit.
    side = max(16, int((AT_ONCE * height * width / count) ** 0.25))
    tiles = _tiles(height, width, side)
    density = (scores - scores.max()).double().exp()
    shares = [density[rows, columns].sum().item() for rows, columns in tiles]
    sizes = [density[rows, columns].numel() for rows, columns in tiles]
    margin = math.ceil(MARGIN * math.sqrt(height * width / count))
    mask = torch.zeros(height, width, dtype=torch.bool)
    for (rows, columns), new in zip(tiles, _apportion(count, shares, sizes), strict=True):
        around = (_widen(rows, margin, height), _widen(columns, margin, width))
        inside = torch.zeros_like(mask)
        inside[rows, columns] = True
        taken = mask[around]
        seen = scores[around].where(inside[around] | taken, -torch.inf)
        mask[around] = model(seen[None], budget_new=new, taken=taken[None])[0]
    return mask


def _tiles(height: int, width: int, side: int) -> list[tuple[slice, slice]]:
    """Rectangles of about equal size, no side longer than `side`, in reading order."""
    cuts = []
    for length in (height, width):
        number = math.ceil(length / side)
        edges = [round(length * i / number) for i in range(number + 1)]
        cuts.append([slice(a, b) for a, b in itertools.pairwise(edges)])
    return [(rows, columns) for rows in cuts[0] for columns in cuts[1]]


def _widen(part: slice, margin: int, length: int) -> slice:
    return slice(max(part.start - margin, 0), min(part.stop + margin, length))


def _apportion(count: int, shares: list[float], sizes: list[int]) -> list[int]:
    """Whole numbers that sum to `count`, about in proportion to shares, none above its size."""
    given = [0] * len(shares)
    open_ = list(range(len(shares)))
    while True:
        left = count - sum(given)
        total = sum(shares[i] for i in open_)
        full = [i for i in open_ if left * shares[i] >= sizes[i] * total]
        if not full or len(full) == len(open_):
            break
        for i in full:
            given[i] = sizes[i]
        open_ = [i for i in open_ if i not in full]
    exact = {i: min(left * shares[i] / total, sizes[i]) for i in open_}
    for i in open_:
        given[i] = int(exact[i])
    # Largest remainders first; then any that have room, should rounding have left some over.
    order = sorted(open_, key=lambda i: int(exact[i]) - exact[i])
    while sum(given) < count:
        for i in order:
            if sum(given) < count and given[i] < sizes[i]:
                given[i] += 1
    return given

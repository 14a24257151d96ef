"""One image in cut form over its free pixels, as an integer program needs it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from mrfmask.model import IsingGrid

# Coefficients are scaled to at most this, so that a solver's absolute tolerances mean the same for
# every model.
LARGEST_COEFFICIENT = 1024.0


class CutForm:
    """``E = offset + sum u y + sum c |y_i - y_j|`` of one image over its free pixels only.

    Parallel couplings (a periodic side of two) are added up; couplings of 0 are left out.

    Attributes:
        base: the mask with all free pixels off.
        free: numbers of the free pixels.
        linear: pixel to u, where that is not 0.
        pairs: (smaller pixel, larger pixel) to c.
        offset: energy of `base`.
        scale: power of two; coefficients times it are at most LARGEST_COEFFICIENT.
        weight: sum of all |u| and |c|.
        precision: what float64 may round away in sums of the terms.
    """

    def __init__(self, model: IsingGrid) -> None:
        self.base = model.clamped & (model.unary > 0)
        self.offset = float(model.energy(self.base).detach())
        clamped = model.clamped.flatten()
        self.free = (~clamped).nonzero().flatten()
        field = model.unary.detach().flatten().double().masked_fill(clamped, 0.0)
        first, second = model.edges.T
        coupling = model.pairwise.detach()[0].double()
        linear = -2 * field
        # c |y_i - 0| = c y_i beside a pixel clamped off, c |y_i - 1| = c - c y_i beside one on.
        sign = torch.where(self.base.flatten(), -1.0, 1.0).double()
        for one, other in ((first, second), (second, first)):
            fixed = clamped[other] & ~clamped[one]
            linear.index_add_(0, one[fixed], 2 * coupling[fixed] * sign[other[fixed]])
        free = ~(clamped[first] | clamped[second])
        ends = torch.stack([first[free], second[free]]).sort(dim=0).values
        pairs, place = torch.unique(ends, dim=1, return_inverse=True)
        merged = torch.zeros(pairs.shape[1], dtype=torch.float64)
        merged.index_add_(0, place, 2 * coupling[free])
        triples = zip(*pairs.tolist(), merged.tolist(), strict=True)
        self.pairs = {(i, j): c for i, j, c in triples if c}
        self.linear = {pixel: u for pixel, u in enumerate(linear.tolist()) if u}
        largest = max(map(abs, (*self.linear.values(), *self.pairs.values())), default=1.0)
        self.scale = LARGEST_COEFFICIENT / 2.0 ** math.frexp(largest)[1]
        self.weight = float(linear.abs().sum() + merged.abs().sum())
        terms = float(model.constant.detach().abs() + field.abs().sum() + coupling.abs().sum())
        self.precision = 1e-14 * terms
        self.height, self.width = model.shape[1:]

    def odd_squares(self) -> Iterator[dict[tuple[int, int], int]]:
        """Squares of pairs, an odd number of them repulsive (to 1); the others go to -1."""
        pixel = torch.arange(self.height * self.width).reshape(self.height, self.width)
        right, below = pixel.roll(-1, dims=1), pixel.roll(-1, dims=0)
        corners = torch.stack([pixel, right, right.roll(-1, dims=0), below], dim=-1)
        squares = (
            tuple(sorted({(min(s), max(s)) for s in ((a, b), (b, c), (c, d), (d, a))}))
            for a, b, c, d in corners.reshape(-1, 4).tolist()
        )
        for sides in dict.fromkeys(squares):  # A side of two pixels gives the same square twice.
            if len(sides) == 4 and all(side in self.pairs for side in sides):
                signs = {side: 1 if self.pairs[side] < 0 else -1 for side in sides}
                if sum(sign > 0 for sign in signs.values()) % 2:
                    yield signs

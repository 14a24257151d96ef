"""Farthest-point selection: k-center greedy, in pixels or features, and weighted by a density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from mrfmask.select.budget import Request
from mrfmask.select.selector import Selector

# Densities are relative to the highest; below exp(-600) of it they are equal, and still positive
# after a product with any squared distance.
LOWEST_LOG_DENSITY = -600.0
# Multiples of it, modulo 1, fill the unit interval evenly; multiples of a pair, the square.
GOLDEN = 0.6180339887498949
PLASTIC = 0.7548776662466927, 0.5698402909980532
# Squared distances of pixels are ints below 10^8: a smaller part of them orders only equal ones.
TIE = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class KCenter(Selector):
    r"""Again and again the free pixel farthest from all pixels that are on.

    The largest distance from any allowed pixel to the nearest one on is at most twice the least
    that k pixels can reach. The first pixel, if none is taken, is the one nearest to the middle:
    of the picture, or with `features` of the free pixels' features. Distances are Euclidean;
    scores only say where nothing may be chosen. Of pixels equally far, those come first that lie
    evenly over the picture. With costs, the farthest that still fits.

    Example:
        >>> import torch, mrfmask as mm
        >>> mm.select(torch.zeros(1, 1, 7), "k_center", budget=3).int()
        tensor([[[1, 0, 0, 1, 0, 0, 1]]], dtype=torch.int32)

    Reference:
        Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical Computer
        Science 1985.
    """

    name: ClassVar = "k_center"
    uses: ClassVar = frozenset({"cost", "features"})

    def _choose_one(self, request: Request) -> Bool[np.ndarray, "height width"]:
        if request.features is None:
            return _choose(request, PixelDistances(request.free))
        return _choose(request, FeatureDistances(request.free, request.features))


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightedFarthest(Selector):
    r"""Again and again the free pixel with the largest ``d^2 rho``.

    ``rho = exp(score)`` is the density wanted, ``d`` the distance to the nearest pixel on: holes
    are filled until their size is as the density says. The first pixel, if none is taken, is the
    densest. Densities below ``exp(-600)`` of the highest count as that. With costs, the best that
    still fits.

    Example:
        >>> import torch, mrfmask as mm
        >>> scores = torch.tensor([[[5.0, 5.0, 5.0, 5.0, 0.0, 0.0, 0.0, 0.0]]])
        >>> mm.select(scores, "weighted_farthest", budget=3).int()
        tensor([[[1, 1, 0, 1, 0, 0, 0, 0]]], dtype=torch.int32)

    Reference:
        Eldar, Lindenbaum, Porat and Zeevi, "The farthest point strategy for progressive image
        sampling", IEEE Transactions on Image Processing 1997.
    """

    name: ClassVar = "weighted_farthest"
    uses: ClassVar = frozenset({"scores", "cost"})

    def _choose_one(self, request: Request) -> Bool[np.ndarray, "height width"]:
        if not request.free.any():
            return np.zeros_like(request.free)
        log_density = request.scores - request.scores[request.free].max()
        return _choose(request, PixelDistances(request.free, np.minimum(log_density, 0.0)))


class PixelDistances:
    """``d^2 rho`` of all free pixels, kept as pixels turn on; -1 where nothing may be chosen.

    A new pixel changes only what is nearer to it than the farthest free pixel is to any: a small
    window once there are many.
    """

    def __init__(
        self,
        free: Bool[np.ndarray, "height width"],
        log_density: Float[np.ndarray, "height width"] | None = None,
    ) -> None:
        log_density = np.zeros(free.shape) if log_density is None else log_density
        self._density = np.exp(np.maximum(log_density, LOWEST_LOG_DENSITY))
        # Equal distances are frequent. In reading order they would fill the picture from the top.
        ys, xs = np.indices(free.shape)
        self._weight = self._density * (1 + TIE * ((PLASTIC[0] * ys + PLASTIC[1] * xs) % 1.0))
        self._squared = np.full(free.shape, np.inf)
        self._key = np.where(free, np.inf, -1.0)
        self._far = np.full(len(free), np.inf)  # largest squared distance of each row
        self._rows = np.arange(len(free))
        self._best = self._key.max(axis=1)
        self._column = self._key.argmax(axis=1)

    def first(self) -> tuple[int, int]:
        """The densest free pixel, of equal ones the nearest to the middle."""
        height, width = self._key.shape
        density = np.where(self._key < 0, -1.0, self._density)
        ys, xs = np.nonzero(density == density.max())
        middle = (2 * ys - height + 1) ** 2 + (2 * xs - width + 1) ** 2
        return int(ys[middle.argmin()]), int(xs[middle.argmin()])

    def farthest(self) -> tuple[float, tuple[int, int]]:
        """The largest value and its pixel."""
        row = int(self._best.argmax())
        return float(self._best[row]), (row, int(self._column[row]))

    def add(self, y: int, x: int) -> None:
        """A pixel turns on."""
        height, width = self._key.shape
        reach = int(min(np.sqrt(self._far.max()) + 1, height + width))
        rows = slice(max(y - reach, 0), y + reach + 1)
        columns = slice(max(x - reach, 0), x + reach + 1)
        down = (np.arange(height)[rows] - y) ** 2
        along = (np.arange(width)[columns] - x) ** 2
        squared, key = self._squared[rows, columns], self._key[rows, columns]
        np.minimum(squared, down[:, None] + along, out=squared)
        key[...] = np.where(key < 0, -1.0, squared * self._weight[rows, columns])
        self._key[y, x] = -1.0
        self._measure(rows)

    def add_all(self, pixels: Bool[np.ndarray, "height width"]) -> None:
        """These pixels turn on: from all over the picture in turn, so that windows soon shrink."""
        places = np.argwhere(pixels)
        for place in np.argsort(np.arange(len(places)) * GOLDEN % 1.0):
            self.add(*places[place].tolist())

    def forbid(self, pixels: Bool[np.ndarray, "height width"]) -> None:
        """These pixels may no longer be chosen."""
        self._key[pixels] = -1.0
        self._measure(slice(None))

    def _measure(self, rows: slice) -> None:
        self._column[rows] = self._key[rows].argmax(axis=1)
        self._best[rows] = self._key[self._rows[rows], self._column[rows]]
        self._far[rows] = np.where(self._key[rows] < 0, 0.0, self._squared[rows]).max(axis=1)


class FeatureDistances:
    """Squared distances in feature space, with the interface of PixelDistances."""

    def __init__(
        self,
        free: Bool[np.ndarray, "height width"],
        features: Float[np.ndarray, "channels height width"],
    ) -> None:
        self._features = features
        self._key = np.where(free, np.inf, -1.0)

    def first(self) -> tuple[int, int]:
        """The free pixel nearest to the mean of all free ones."""
        mean = self._features[:, self._key >= 0].mean(axis=1)
        squared = np.square(self._features - mean[:, None, None]).sum(axis=0)
        return self._place(np.where(self._key < 0, np.inf, squared).argmin())

    def farthest(self) -> tuple[float, tuple[int, int]]:
        """The largest squared distance and its pixel."""
        place = self._place(self._key.argmax())
        return float(self._key[place]), place

    def add(self, y: int, x: int) -> None:
        """A pixel turns on."""
        squared = np.square(self._features - self._features[:, y, x, None, None]).sum(axis=0)
        np.minimum(self._key, squared, out=self._key)
        self._key[y, x] = -1.0

    def add_all(self, pixels: Bool[np.ndarray, "height width"]) -> None:
        """These pixels turn on."""
        for y, x in np.argwhere(pixels).tolist():
            self.add(y, x)

    def forbid(self, pixels: Bool[np.ndarray, "height width"]) -> None:
        """These pixels may no longer be chosen."""
        self._key[pixels] = -1.0

    def _place(self, index: int) -> tuple[int, int]:
        y, x = divmod(int(index), self._key.shape[1])
        return y, x


def _choose(
    request: Request, distances: PixelDistances | FeatureDistances
) -> Bool[np.ndarray, "height width"]:
    chosen = np.zeros_like(request.free)
    empty = not request.taken.any()
    distances.add_all(request.taken)
    left = request.limit
    for _ in range(int(request.free.sum()) if request.count is None else request.count):
        if left is not None:
            distances.forbid(request.cost > left)
        value, place = distances.farthest()
        if value < 0:
            break  # nothing that may be chosen fits any more
        if empty:
            place, empty = distances.first(), False
        distances.add(*place)
        chosen[place] = True
        left = None if left is None else left - int(request.cost[place])
    return chosen

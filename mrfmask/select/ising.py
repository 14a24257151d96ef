"""Nearest-neighbour repulsive Ising: high scores, and neighbours that seldom come together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.inference import find_map
from mrfmask.model import IsingGrid
from mrfmask.result import MapResult
from mrfmask.select.budget import Budget, Request
from mrfmask.select.selector import Selector

# Beyond every score of pictures up to 1000x1000, in their standard deviations.
MOST_COUPLING = 1000.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Ising(Selector):
    r"""High scores, except that two neighbours that are both on cost `coupling`.

    ``E(y) = - sum_i z_i y_i + coupling sum_(i,j) y_i y_j`` over the four neighbours of every pixel,
    exactly k pixels on: z are the scores less the mean of the image's free ones, in units of their
    standard deviation (0 where all are alike), and count for free pixels only. This is the Ising
    model with ``unary_i = z_i / 2 - coupling n_i / 4`` for the number of neighbours n, and
    ``pairwise = -coupling / 4``, at a budget; it is solved by exact cuts, repaired where the cuts
    miss k, and comes with a bound (`search`).

    Without coupling it is top_k. With more, picks first thin out to a checkerboard; they never keep
    apart further than that, see `long_range`.

    Args:
        coupling: 0..1000, in standard deviations of the scores. Where scores change slowly a half
            makes a checkerboard; above their range, neighbours are together only for want of room.

    Example:
        >>> import torch, mrfmask as mm
        >>> scores = torch.tensor([[[9.0, 8.0, 7.0, 1.0, 0.0]]])
        >>> mm.select(scores, "ising", budget=2).int()
        tensor([[[1, 0, 1, 0, 0]]], dtype=torch.int32)
        >>> mm.SELECTORS["ising"]().search(scores, budget=2).gap < 1e-9
        tensor([True])

    Reference:
        Ising, "Beitrag zur Theorie des Ferromagnetismus", Zeitschrift fuer Physik 1925.
    """

    coupling: float = 2.0

    name: ClassVar = "ising"
    uses: ClassVar = frozenset({"scores"})

    def __post_init__(self) -> None:
        if isinstance(self.coupling, bool) or not isinstance(self.coupling, int | float):
            raise TypeError(
                f"coupling must be a number; got {type(self.coupling).__name__}. Use a float."
            )
        if not 0 <= self.coupling <= MOST_COUPLING:
            raise ValueError(
                f"coupling must lie in 0..{MOST_COUPLING:g}; got {self.coupling}. "
                "Use 2 if in doubt."
            )

    def search(
        self,
        scores: Float[Tensor, "batch height width"],
        *,
        budget: Budget | None = None,
        budget_new: Budget | None = None,
        taken: Bool[Tensor, "batch height width"] | None = None,
    ) -> MapResult:
        """The mask with E, a lower bound on all masks of the count, and the gap between them.

        Arguments and errors are those of `mm.select`; the result is that of `mm.find_map`.
        """
        return self._run(self._requests(scores, budget, budget_new, taken, None, None))

    def _choose(self, requests: list[Request]) -> Iterable[Bool[np.ndarray, "height width"]]:
        if not requests:
            return []
        masks = self._run(requests).mask.numpy()
        return [mask & ~r.taken for mask, r in zip(masks, requests, strict=True)]

    def _choose_one(self, request: Request) -> Bool[np.ndarray, "height width"]:
        return next(iter(self._choose([request])))

    def _run(self, requests: list[Request]) -> MapResult:
        model = self._model(requests)
        return find_map(model, budget_new=[request.count for request in requests])

    def _model(self, requests: list[Request]) -> IsingGrid:
        """The model whose energy is E for every mask that has the taken pixels on."""
        scores = torch.from_numpy(np.stack([_standardised(request) for request in requests]))
        taken = torch.from_numpy(np.stack([request.taken for request in requests]))
        free = torch.from_numpy(np.stack([request.free for request in requests]))
        batch, height, width = scores.shape
        neighbours = torch.full((height, width), 4.0, dtype=torch.float64)
        for border in (neighbours[0], neighbours[-1], neighbours[:, 0], neighbours[:, -1]):
            border -= 1
        share = self.coupling / 4
        field = torch.where(free, scores / 2 - share * neighbours, 0.0)
        right = torch.full((batch, height, width - 1), -share, dtype=torch.float64)
        down = torch.full((batch, height - 1, width), -share, dtype=torch.float64)
        base = IsingGrid(field, right, down).clamp(on=taken, off=~taken & ~free)
        # E of the mask that has the taken pixels alone.
        pairs = (taken[:, 1:] & taken[:, :-1]).sum(dim=(1, 2), dtype=torch.float64)
        pairs += (taken[:, :, 1:] & taken[:, :, :-1]).sum(dim=(1, 2), dtype=torch.float64)
        constant = self.coupling * pairs - base.energy(taken)
        return IsingGrid(base.unary, right, down, constant)


def _standardised(request: Request) -> Float[np.ndarray, "height width"]:
    """Scores of mean 0 and variance 1 over the free pixels, 0 elsewhere and if they are alike."""
    free = request.scores[request.free]
    result = np.zeros(request.scores.shape)
    # Divided first: squares of the largest floats would overflow.
    if len(free) and free.min() < free.max():
        free = free / np.abs(free).max()
        free = free - free.mean()
        result[request.free] = free / max(free.std(), np.finfo(float).tiny)
    return result

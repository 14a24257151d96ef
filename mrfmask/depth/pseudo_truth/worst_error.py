"""Pseudo-ground-truth by repeatedly buying where the completed depth is most wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask.depth.frames import FrameBatch
from mrfmask.depth.masking import MASKINGS, first_view
from mrfmask.depth.phases import log_error
from mrfmask.depth.pseudo_truth.pseudo_truth import PseudoTruth, errors, smoothed
from mrfmask.depth.pseudo_truth.swap_search import swap_search
from mrfmask.inference.method import check_count, check_positive
from mrfmask.select import SELECTORS


@dataclass(frozen=True, kw_only=True)
class WorstError(PseudoTruth):
    """Part of the budget spread evenly, the rest in rounds where the squared error is large.

    A round chooses by `WeightedFarthest` with a power of the true squared error of the target,
    smoothed, as density: picks keep away from each other and from earlier ones.

    Args:
        target: see `PseudoTruth`.
        rounds: after the first picks, at least 1.
        first: share of the budget that is spread, in (0, 1].
        power: of the squared error in the density of further picks, in [0, 1].
        smoothing: standard deviation in pixels of the error's smoothing, positive.
        swaps: exchanges tried in the end, each one completion more, see `swap_search`.
    """

    rounds: int = 4
    first: float = 0.4
    power: float = 0.8
    smoothing: float = 1.0
    swaps: int = 0

    name: ClassVar = "worst_error"

    def __post_init__(self) -> None:
        check_count("rounds", self.rounds, least=1)
        check_count("swaps", self.swaps, least=0)
        for name in ("first", "power", "smoothing"):
            check_positive(name, getattr(self, name))
        if self.first > 1:
            raise ValueError(f"first must be at most 1; got {self.first}. 0.4 is usual.")

    def _choose(
        self, frames: FrameBatch, count: int, seed: int
    ) -> Bool[Tensor, "batch height width"]:
        masking = MASKINGS["k_center"]()
        first = masking(first_view(frames), max(round(self.first * count), 1))
        mask = self.beyond(frames, first, count)
        return swap_search(self.target, frames, mask, self.swaps, seed) if self.swaps else mask

    @torch.no_grad()
    def beyond(
        self,
        frames: FrameBatch,
        first: Bool[Tensor, "batch height width"],
        count: int,
    ) -> Bool[Tensor, "batch height width"]:
        """The rounds after the first picks, for any first picks.

        Args:
            frames: with true depths.
            first: picks to start from, at least one an image and at most `count`.
            count: pixels on in the end.
        """
        mask = first
        start = int(first.sum((1, 2)).max())
        for number in range(1, self.rounds + 1):
            error = smoothed(errors(self.target, frames, mask).square(), self.smoothing)
            scores = self.power * log_error(error, frames.valid)
            mask = SELECTORS["weighted_farthest"]()(
                scores.where(frames.valid, -torch.inf),
                budget=start + round((count - start) * number / self.rounds),
                taken=mask,
            )
        return mask

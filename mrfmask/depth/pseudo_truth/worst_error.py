"""Pseudo-ground-truth by repeatedly buying where the completed depth is most wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask.depth.frames import FrameBatch
from mrfmask.depth.masking import MASKINGS
from mrfmask.depth.phases import Phases, buy
from mrfmask.depth.pseudo_truth.pseudo_truth import PseudoTruth, errors, smoothed
from mrfmask.depth.pseudo_truth.swap_search import swap_search
from mrfmask.inference.method import check_count


@dataclass(frozen=True, kw_only=True)
class WorstError(PseudoTruth):
    """Half the budget spread evenly, the rest in rounds where the squared error is large.

    It is buying in phases, see `buy`, with the true squared error of the target in place of an
    expected one. Within a round picks keep away from each other and from earlier ones.

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

    def _choose(
        self, frames: FrameBatch, count: int, seed: int
    ) -> Bool[Tensor, "batch height width"]:
        def squared(bought: Tensor, mask: Tensor, valid: Tensor) -> Tensor:
            return smoothed(errors(self.target, frames, mask).square(), self.smoothing)

        phases = Phases(
            count=1 + self.rounds, first=self.first, power=self.power, trust=0.0, weight=squared
        )
        mask = buy(MASKINGS["weighted_farthest"](), frames, count, phases, seed)
        return swap_search(self.target, frames, mask, self.swaps, seed) if self.swaps else mask

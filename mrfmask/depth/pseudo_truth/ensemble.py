"""Pseudo-ground-truth by variance: picks that leave least error in a Gaussian model of errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask.depth.frames import FrameBatch
from mrfmask.depth.masking import MASKINGS, first_view
from mrfmask.depth.pseudo_truth.gaussian_field import GaussianField
from mrfmask.depth.pseudo_truth.pseudo_truth import PseudoTruth, errors
from mrfmask.inference.method import check_count, check_positive
from mrfmask.learn.augment import stream

# Variance of the noise of measurements as a share of the errors' mean variance: without it pixels
# without any error would be worth a division by 0.
NOISE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Ensemble(PseudoTruth):
    """Greedy choice of the pixel whose measurement leaves the least summed variance of errors.

    Errors of the target under several random masks are draws from a Gaussian model of what is not
    known, see `GaussianField`.

    Args:
        target: see `PseudoTruth`.
        members: random masks, at least 2.
        share: of the budget that each of them spends, in (0, 1].
        reach: of correlations, as a multiple of the mean distance of picks, positive.
        floor: variance everywhere that no draw shows, as a share of their mean variance, positive:
            where errors are small under any mask some picks are needed for them to stay so.

    Reference:
        Krause, Singh and Guestrin, "Near-optimal sensor placements in Gaussian processes", JMLR
        2008; Cohn, Ghahramani and Jordan, "Active learning with statistical models", JAIR 1996,
        for the summed variance in place of the mutual information: it is the squared error.
    """

    members: int = 16
    share: float = 1.0
    reach: float = 1.5
    floor: float = 0.2

    name: ClassVar = "ensemble"

    def __post_init__(self) -> None:
        check_count("members", self.members, least=2)
        for name in ("share", "reach", "floor"):
            check_positive(name, getattr(self, name))
        if self.share > 1:
            raise ValueError(f"share must be at most 1; got {self.share}. 1 is usual.")

    def _choose(
        self, frames: FrameBatch, count: int, seed: int
    ) -> Bool[Tensor, "batch height width"]:
        masking = MASKINGS["random"]()
        spent = min(max(round(self.share * count), 1), count)
        drawn = [
            errors(
                self.target, frames, masking(first_view(frames, stream(seed, number)), spent)
            ).double()
            for number in range(self.members)
        ]
        masks = []
        for image, valid in enumerate(frames.valid):
            apart = (int(valid.sum()) / count) ** 0.5
            draws = torch.stack([member[image] for member in drawn])
            variance = draws.square().mean(0)[valid].mean()
            unseen = (self.floor * self.members * variance).sqrt().expand_as(draws[:1])
            draws = torch.cat([draws, unseen])
            field = GaussianField(draws, max(self.reach * apart, 0.5))
            noise = NOISE * float(field.variance[valid].mean())
            masks.append(field.greedy(valid, count, noise))
        return torch.stack(masks)

"""Pseudo-ground-truth by gradients: buy where a measured value matters for the error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.depth.budget import measure
from mrfmask.depth.frames import FrameBatch
from mrfmask.depth.masking import MASKINGS, first_view
from mrfmask.depth.phases import log_error
from mrfmask.depth.pseudo_truth.pseudo_truth import PseudoTruth, Target, smoothed
from mrfmask.depth.reconstruct import fill
from mrfmask.inference.method import check_count, check_positive
from mrfmask.learn.augment import stream
from mrfmask.select import LongRange


@dataclass(frozen=True, kw_only=True)
class Saliency(PseudoTruth):
    """Picks as dense as values matter: where the squared error changes most with a measured value.

    Depth is measured at evenly spread random pixels, several times. The squared gradients at the
    measured pixels, smoothed, over the density of measurements, are what a value matters there;
    its power is the density of picks, laid out evenly by `LongRange`.

    Args:
        target: see `PseudoTruth`.
        rounds: random masks, at least 1.
        power: of the squared gradient in the density, positive.

    Reference:
        Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks: visualising image
        classification models and saliency maps", 2014.
    """

    rounds: int = 8
    power: float = 0.6

    name: ClassVar = "saliency"

    def __post_init__(self) -> None:
        check_count("rounds", self.rounds, least=1)
        check_positive("power", self.power)

    def _choose(
        self, frames: FrameBatch, count: int, seed: int
    ) -> Bool[Tensor, "batch height width"]:
        spread = MASKINGS["poisson_disk"]()
        total, often = (torch.zeros(frames.depth.shape, dtype=torch.float64) for _ in range(2))
        # Half the distance of picks of one round, were all of the picture valid.
        deviation = 0.5 * (frames.depth[0].numel() / (count * self.rounds)) ** 0.5 + 0.5
        for number in range(self.rounds):
            mask = spread(first_view(frames, stream(seed, number)), count)
            total += saliency(self.target, frames, mask).double().square()
            often += mask
        known = smoothed(often, deviation)
        least = 1e-3 * known.amax((1, 2), keepdim=True)
        density = smoothed(total, deviation) / known.maximum(least)
        scores = (self.power * log_error(density, frames.valid)).where(frames.valid, -torch.inf)
        return LongRange()(scores, budget=count)


def saliency(
    target: Target, frames: FrameBatch, mask: Bool[Tensor, "batch height width"]
) -> Float[Tensor, "batch height width"]:
    """``|d sum of squared errors / d measured value|`` of every measured pixel, 0 elsewhere."""
    with torch.enable_grad():
        bought = measure(frames.depth, frames.valid, mask).requires_grad_()
        completed = target(bought, mask, fill(bought, mask))
        error = torch.where(frames.valid, completed - frames.depth, 0.0)
        (gradient,) = torch.autograd.grad(error.square().sum(), bought)
    return gradient.abs()

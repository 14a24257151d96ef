"""Sampled masks, and the gradient of their expected loss from the losses alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.inference.method import check_count
from mrfmask.model import IsingGrid
from mrfmask.nn.estimators.estimator import Draw, Estimator
from mrfmask.nn.estimators.sampled_masks import sampled_masks


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreFunctionEstimator(Estimator):
    r"""REINFORCE: several masks an image, a loss for each, gradients by `surrogate`.

    Args:
        samples: masks an image, S >= 2.
        sweeps: sweeps from a random start before a mask is taken, at least 1. With a budget a sweep
            takes some twenty times longer.

    Reference:
        Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement
        learning", 1992; Kool, van Hoof and Welling, "Buy 4 REINFORCE samples, get a baseline for
        free!", 2019.
    """

    samples: int = 4
    sweeps: int = 100

    name: ClassVar = "score_function"
    random: ClassVar = True
    bias: ClassVar = ""

    def __post_init__(self) -> None:
        check_count("samples", self.samples, least=2)
        check_count("sweeps", self.sweeps, least=1)

    def masks(self, model: IsingGrid, draw: Draw) -> Float[Tensor, "batch samples height width"]:
        """Masks of 0 and 1 without gradient, (batch, samples, height, width)."""
        return sampled_masks(model, draw, self.samples, self.sweeps).to(model.dtype)


def surrogate(
    model: IsingGrid,
    masks: Bool[Tensor, "batch samples height width"],
    losses: Float[Tensor, "batch samples"],
    beta: float,
) -> Float[Tensor, ""]:
    r"""``losses.mean()``, with the gradient of the *expected* loss, potentials included.

    The gradient is that of the losses plus, for image b, ``1/S sum_s (loss_s - baseline_s) grad log
    p(x_s)`` with ``baseline_s`` the mean loss of the image's other samples, which does not depend
    on x_s and so leaves the expectation as it is. ``grad log p(x) = beta (phi(x) - E[phi])``, and
    E[phi] drops out: ``sum_s (loss_s - baseline_s) = sum_s loss_s - 1/(S-1) sum_s sum_{t != s}
    loss_t = 0``. The same holds for p(x | k pixels on) with its E[phi | k]; so neither needs an
    estimate, and gradients are unbiased as far as the samples are independent draws.
    """
    samples = losses.shape[1]
    fixed = losses.detach().to(torch.float64)
    others = (fixed.sum(dim=1, keepdim=True) - fixed) / (samples - 1)
    energy = model.energy(masks)
    if bool(energy.isinf().any()):
        b, sample = energy.isinf().nonzero()[0].tolist()
        raise ValueError(
            f"masks must honour the clamps of the model; got sample {sample} of image {b}. Pass "
            "the model that they were drawn from."
        )
    likelihood = -beta * (energy - energy.detach())
    return losses.mean() + ((fixed - others) * likelihood).mean().to(losses.dtype)

"""Means of sampled masks, with sample covariances as derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from mrfmask.inference.method import check_count
from mrfmask.model import IsingGrid
from mrfmask.nn.estimators.estimator import Draw, Estimator
from mrfmask.nn.estimators.sampled_masks import sampled_masks


@dataclass(frozen=True, kw_only=True, eq=False)
class CovarianceEstimator(Estimator):
    """Sample means for probabilities; backward ``beta Cov[mask, phi]`` of the same samples.

    Both are unbiased as far as the samples are independent draws, so gradients are, too, where what
    follows is linear in the mask. Where it is not, the expected gradient is that of ``E[f(sample
    mean)]`` only in the limit of many samples.

    Args:
        samples: masks an image, S >= 2; covariances are sums over S - 1.
        sweeps: sweeps from a random start before a mask is taken, at least 1. With a budget a sweep
            takes some twenty times longer.

    Reference:
        Wainwright and Jordan, "Graphical models, exponential families, and variational inference",
        2008, section 3.5.
    """

    samples: int = 16
    sweeps: int = 100

    name: ClassVar = "covariance"
    random: ClassVar = True
    bias: ClassVar = "none if what follows is linear in the mask"

    def __post_init__(self) -> None:
        check_count("samples", self.samples, least=2)
        check_count("sweeps", self.sweeps, least=1)

    def masks(self, model: IsingGrid, draw: Draw) -> Float[Tensor, "batch height width"]:
        """The share of samples in which a pixel is on."""
        drawn = sampled_masks(model, draw, self.samples, self.sweeps)
        return mean_of_masks(model, drawn, draw.beta)


def mean_of_masks(
    model: IsingGrid, drawn: Tensor, beta: float
) -> Float[Tensor, "batch height width"]:
    """The mean of sampled masks (batch, samples, height, width), differentiable as E[mask] is.

    To it is added ``beta / (S - 1) sum_s (mask_s - mean) (score_s - its value)``, which is 0 and
    has the derivative ``beta Cov[mask, phi]``, phi being that of the score ``-E(x)``.
    """
    masks = drawn.to(model.dtype)
    mean = masks.mean(dim=1)
    score = -model.energy(drawn)
    change = (beta / (drawn.shape[1] - 1) * (score - score.detach())).to(model.dtype)
    return mean + ((masks - mean[:, None]) * change[..., None, None]).sum(dim=1)

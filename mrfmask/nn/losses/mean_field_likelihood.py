"""Likelihood of the target under the mean-field approximation of the model."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.inference.mean_field import MeanField
from mrfmask.model import IsingGrid
from mrfmask.nn.losses.loss import Loss, LossDetails, check_example
from mrfmask.nn.losses.pseudo_likelihood import log_loss
from mrfmask.nn.mean_field import mean_field_logits


class MeanFieldLikelihood(Loss):
    """``-sum_i weight_i log q_i(target_i)``, in nats, q the mean-field fixed point of the model.

    What is trained is what mean-field inference will return, not the likelihood of the model. The
    gradient goes through the fixed point by implicit differentiation (`mean_field_logits`). Pixels
    of weight 0 and clamped pixels add nothing.

    Args:
        beta: inverse temperature, positive.
        max_sweeps: most sweeps, and most steps of the solver backwards.
        tolerance: of both, see `mean_field_logits`.
        reduction: "mean" or "none".

    `details` returns as `found` the probabilities q(on), (batch, height, width).

    Reference:
        Domke, "Learning graphical model parameters with approximate marginal inference", PAMI 2013.
    """

    def __init__(
        self,
        *,
        beta: float = 1.0,
        max_sweeps: int = 1000,
        tolerance: float = 1e-6,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        MeanField(beta=beta, max_sweeps=max_sweeps, tolerance=tolerance)  # checks
        self.beta, self.max_sweeps, self.tolerance = beta, max_sweeps, tolerance

    def details(
        self,
        model: IsingGrid,
        target: Bool[Tensor, "batch height width"],
        weights: Float[Tensor, "batch height width"] | None = None,
    ) -> LossDetails:
        """The loss of every image, and the probabilities as `found`."""
        weights = check_example(model, target, weights)
        logits = mean_field_logits(
            model, beta=self.beta, max_sweeps=self.max_sweeps, tolerance=self.tolerance
        )
        value = log_loss(logits, target, weights)
        return LossDetails(value=value, found=torch.sigmoid(logits.detach()))

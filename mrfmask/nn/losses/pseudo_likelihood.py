"""Pseudo-likelihood: every pixel predicted from its neighbours in the target."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.inference.method import check_positive
from mrfmask.inference.neighbours import neighbour_sum
from mrfmask.model import IsingGrid
from mrfmask.nn.losses.loss import Loss, LossDetails, check_example


class PseudoLikelihood(Loss):
    r"""``-sum_i weight_i log p(x_i = target_i | x_j = target_j for its neighbours j)``, in nats.

    ``p(x_i = on | rest) = sigmoid(2 beta (unary_i + sum_j pairwise_ij target_j))``. It needs no
    inference, and over many examples of a model its minimum is that of the likelihood; on few it
    overrates couplings. A pixel of weight 0 is not predicted, but its target state counts for its
    neighbours (a clamped one counts as clamped). Clamped pixels add nothing.

    Args:
        beta: inverse temperature, positive.
        reduction: "mean" or "none".

    `details` returns as `found` P(on | neighbours in the target), (batch, height, width).

    Reference:
        Besag, "Statistical analysis of non-lattice data", The Statistician 1975.
    """

    def __init__(self, *, beta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        check_positive("beta", beta)
        self.beta = beta

    def details(
        self,
        model: IsingGrid,
        target: Bool[Tensor, "batch height width"],
        weights: Float[Tensor, "batch height width"] | None = None,
    ) -> LossDetails:
        """The loss of every image, and the conditional probabilities as `found`."""
        weights = check_example(model, target, weights)
        clamped = model.clamped
        state = torch.where(clamped, model.unary.detach() > 0, target)
        x = torch.where(state, 1.0, -1.0).to(model.dtype)
        unary = torch.where(clamped, 0.0, model.unary)
        logits = 2 * self.beta * (unary + neighbour_sum(model.right, model.down, x))
        value = log_loss(logits, target, torch.where(clamped, 0.0, weights))
        on = torch.where(clamped, (1 + x) / 2, torch.sigmoid(logits.detach()))
        return LossDetails(value=value, found=on)


def log_loss(
    logits: Float[Tensor, "batch height width"],
    target: Bool[Tensor, "batch height width"],
    weights: Float[Tensor, "batch height width"],
) -> Float[Tensor, " batch"]:
    """``-sum_i weight_i log p(target_i)`` of independent pixels with these log odds, in float64.

    Where the weight is 0 the logits are not looked at; elsewhere infinite ones must agree with the
    target, and add nothing.
    """
    against = torch.where(target, -logits, logits).masked_fill(weights == 0, 0.0)
    terms = torch.nn.functional.softplus(against.to(torch.float64))
    return (weights * terms).sum(dim=(1, 2))

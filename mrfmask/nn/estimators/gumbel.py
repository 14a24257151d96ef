"""Relaxed masks of independent pixels: binary concrete variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from mrfmask.inference.method import check_choice, check_positive
from mrfmask.model import IsingGrid
from mrfmask.nn.estimators.estimator import Draw, Estimator, check_bool
from mrfmask.nn.estimators.soft_masks import soft_masks
from mrfmask.nn.mean_field import mean_field_logits


@dataclass(frozen=True, kw_only=True, eq=False)
class GumbelEstimator(Estimator):
    """``sigmoid((logits + noise) / temperature)``, the noise standard logistic.

    The noise is the difference of two Gumbel variables, so a pixel is above 1/2 with probability
    ``sigmoid(logits)`` at any temperature. Logits are log odds, any real number: a probability in
    their place would confine that to [0.5, 0.73].

    Backward is the exact derivative of the relaxed mask; for hard masks, of masks that were not
    given. With a budget, the relaxed masks sum to it and hard masks are its pixels of largest
    ``logits + noise``; their law is not that of p(x | budget).

    Args:
        logits: "mean_field" (see `mean_field_logits`, default settings), or "unary": ``2 beta
            unary``, which looks at no coupling and gives them no gradient.
        temperature: positive, dimensionless; lower is nearer to 0 and 1, with steeper gradients. It
            can be changed by `MaskLayer.temperature`.
        hard: straight-through: forward 0 and 1, backward the gradient of the relaxed mask.

    Reference:
        Maddison, Mnih and Teh, "The concrete distribution", ICLR 2017; Jang, Gu and Poole,
        "Categorical reparameterization with Gumbel-softmax", ICLR 2017.
    """

    logits: str = "mean_field"
    temperature: float = 0.5
    hard: bool = False

    name: ClassVar = "gumbel"
    random: ClassVar = True
    bias: ClassVar = "independent pixels, relaxed; more at high temperatures"

    def __post_init__(self) -> None:
        check_choice("logits", self.logits, ("mean_field", "unary"))
        check_positive("temperature", self.temperature)
        check_bool("hard", self.hard)

    def masks(self, model: IsingGrid, draw: Draw) -> Float[Tensor, "batch height width"]:
        """Relaxed masks, or their hard stand-ins."""
        if self.logits == "mean_field":
            logits = mean_field_logits(model, beta=draw.beta)
        else:
            # `where` keeps the gradient of a clamped pixel 0.
            clamp = torch.where(model.unary.detach() > 0, torch.inf, -torch.inf).to(model.dtype)
            logits = torch.where(model.clamped, clamp, 2 * draw.beta * model.unary)
        noisy = logits + draw.logistic_noise(model).to(model.dtype)
        return soft_masks(noisy, draw.counts, draw.temperature, self.hard)

"""What every loss is: a module that compares a model with target masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.checks import check_mask
from mrfmask.inference.method import check_choice, check_grid
from mrfmask.model import IsingGrid


@dataclass(frozen=True, kw_only=True, eq=False)
class LossDetails:
    """The loss of every image, and what was found on the way to it.

    Attributes:
        value: (batch,) float64, differentiable in the potentials.
        found: what inference returned; each loss says what that is.
    """

    value: Float[Tensor, " batch"]
    found: Any


class Loss(torch.nn.Module):
    """Base of the losses: ``loss(model, target, weights)`` and ``loss.details(...)``.

    A loss is a sum over the pixels of an image, not divided by their number, in float64 whatever
    the model's dtype; the gradients have the model's dtype. Potentials are float32 or float64 under
    autocast, too: convert the output of a network with ``.float()``. All losses honour clamps:
    a target must agree with them where its weight is not 0. Only first derivatives are supported.

    Args:
        reduction: "mean" over the images of the batch, or "none": one value an image.
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        check_choice("reduction", reduction, ("mean", "none"))
        self.reduction = reduction

    def forward(
        self,
        model: IsingGrid,
        target: Bool[Tensor, "batch height width"],
        weights: Float[Tensor, "batch height width"] | None = None,
    ) -> Float[Tensor, ""] | Float[Tensor, " batch"]:
        """The loss, reduced.

        Args:
            model: a batch of models; gradients go to `unary`, `right` and `down`.
            target: bool, the masks that the models should give.
            weights: what a pixel counts, at least 0; 0 is a pixel whose target is not known. None
                counts every pixel once.

        Raises:
            TypeError: an argument of another kind or dtype.
            ValueError: shapes or devices that do not fit, weights out of range, or a target that a
                clamp forbids.
        """
        return self._reduced(self.details(model, target, weights).value)

    def details(
        self,
        model: IsingGrid,
        target: Bool[Tensor, "batch height width"],
        weights: Float[Tensor, "batch height width"] | None = None,
    ) -> LossDetails:
        """The loss of every image, not reduced, with what was found; arguments as in a call."""
        raise NotImplementedError

    def _reduced(self, value: Float[Tensor, " batch"]) -> Tensor:
        return value.mean() if self.reduction == "mean" else value


def check_example(
    model: IsingGrid, target: Tensor, weights: Tensor | None
) -> Float[Tensor, "batch height width"]:
    """The weights in float64, ones if None, if model, target and weights fit; else raises."""
    check_grid(model, "losses")
    if len(model) == 0:
        raise ValueError("model must hold at least one image; got an empty batch. Leave it out.")
    check_mask("target", target, model.shape, model.device)
    if weights is None:
        weights = torch.ones(model.shape, dtype=torch.float64, device=model.device)
    else:
        _check_weights(weights, model)
        weights = weights.detach().to(torch.float64)
    unary = model.unary.detach()
    wrong = (weights > 0) & model.clamped & ((unary > 0) != target)
    if bool(wrong.any()):
        b, y, x = wrong.nonzero()[0].tolist()
        clamp, state = ("off", "on") if target[b, y, x] else ("on", "off")
        raise ValueError(
            f"target must honour the clamps; got pixel ({y}, {x}) of image {b} {state}, clamped "
            f"{clamp} in the model. Correct one, or give the pixel weight 0."
        )
    return weights


def _check_weights(weights: Tensor, model: IsingGrid) -> None:
    if not isinstance(weights, Tensor) or not weights.is_floating_point():
        got = getattr(weights, "dtype", type(weights).__name__)
        raise TypeError(f"weights must be a floating-point tensor; got {got}. Call .float().")
    if weights.shape != model.unary.shape:
        raise ValueError(
            f"weights must have shape {model.shape}; got {tuple(weights.shape)}. One value a pixel."
        )
    if weights.device != model.device:
        raise ValueError(
            f"weights must be on the model's device {model.device}; got {weights.device}. "
            "Call .to(device)."
        )
    bad = ~((weights >= 0) & (weights < torch.inf))
    if bool(bad.any()):
        where = tuple(bad.nonzero()[0].tolist())
        raise ValueError(
            f"weights must be at least 0 and finite; got {weights[where].item()} at {where}. "
            "Use 0 for pixels to ignore."
        )


def check_zero_or_one(weights: Float[Tensor, "batch height width"], loss: str) -> None:
    """Raises unless every weight is 0 or 1, for losses of whole masks."""
    bad = (weights != 0) & (weights != 1)
    if bool(bad.any()):
        where = tuple(bad.nonzero()[0].tolist())
        raise ValueError(
            f"weights must be 0 or 1 for {loss}; got {weights[where].item()} at {where}. It "
            "compares whole masks: a pixel is known or not."
        )

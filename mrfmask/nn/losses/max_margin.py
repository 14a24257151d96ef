"""Max-margin losses: the target must have the least energy, by a margin or just so."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.inference import find_map
from mrfmask.inference.method import check_choice
from mrfmask.model import IsingGrid
from mrfmask.nn.losses.loss import Loss, LossDetails, check_example, check_zero_or_one
from mrfmask.nn.losses.statistics import score, statistics_of


class StructuredHinge(Loss):
    r"""Margin-rescaled hinge: ``max_y [L(y, target) - E(y)] + E(target) >= 0``.

    ``L(y, target) = sum_i weight_i cost_i 1[y_i != target_i]``, with the cost `false_positive`
    where the target is off and `false_negative` where it is on; L and E are sums over pixels,
    neither is divided by their number. The loss is an upper bound on L of the MAP mask, and 0 if
    and only if the target's energy is below that of every other mask y by at least L(y, target).

    L is a sum over pixels, so the worst mask is the MAP mask of a model with other unaries, found
    by `find_map`: exactly for images whose couplings all have one sign, and for narrow ones. For
    others the value is computed from the lower bound, never from the mask's energy: it remains an
    upper bound of the hinge, by ``details(...).found.gap`` at most. The gradient is the difference
    of the statistics of target and worst mask: an exact subgradient where the gap is 0.

    Pixels of weight 0 are not known: L ignores them, and the target takes the states there that
    give it the least energy, which is a second MAP problem (convex in the potentials only without
    such pixels).

    Args:
        false_positive: cost of a pixel that is on and should be off, at least 0.
        false_negative: cost of a pixel that is off and should be on, at least 0.
        balance: "none"; "image" or "batch" multiplies the costs so that the pixels whose target is
            on weigh as much as those whose target is off, in every image or over the batch (that of
            this process), with the sum of all weights kept. Clamped pixels do not count. Where one
            class is missing, nothing changes.
        reduction: "mean" or "none".

    `details` returns as `found` the MapResult of the loss-augmented model, ``E(y) - L(y, target)``:
    the worst mask, its energy, lower bound, gap and status.

    Example:
        >>> import torch, mrfmask as mm
        >>> from mrfmask.nn.losses import StructuredHinge
        >>> unary = torch.tensor([[[0.25, -2.0]]], requires_grad=True)
        >>> model = mm.IsingGrid(unary, torch.zeros(1, 1, 1), torch.zeros(1, 0, 2))
        >>> loss = StructuredHinge()(model, torch.tensor([[[True, False]]]))
        >>> loss.backward()
        >>> loss.item(), unary.grad
        (0.5, tensor([[[-2.,  0.]]]))

    Reference:
        Taskar, Chatalbashev and Koller, "Learning associative Markov networks", ICML 2004;
        Tsochantaridis et al., "Large margin methods for structured and interdependent output
        variables", JMLR 2005; Yu and Joachims, "Learning structural SVMs with latent variables",
        ICML 2009 (pixels that are not known).
    """

    def __init__(
        self,
        *,
        false_positive: float = 1.0,
        false_negative: float = 1.0,
        balance: str = "none",
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        _check_cost("false_positive", false_positive)
        _check_cost("false_negative", false_negative)
        check_choice("balance", balance, ("none", "image", "batch"))
        self.false_positive = float(false_positive)
        self.false_negative = float(false_negative)
        self.balance = balance

    def details(
        self,
        model: IsingGrid,
        target: Bool[Tensor, "batch height width"],
        weights: Float[Tensor, "batch height width"] | None = None,
    ) -> LossDetails:
        """The hinge of every image, and the loss-augmented MAP as `found`."""
        weights = check_example(model, target, weights)
        free = weights.masked_fill(model.clamped, 0.0)
        return _margin(model, target, weights > 0, self._costs(target, free))

    def _costs(self, target: Tensor, weights: Tensor) -> Tensor:
        if self.balance != "none":
            dims = (1, 2) if self.balance == "image" else (0, 1, 2)
            weights = weights * _class_balance(target, weights, dims)
        return weights * torch.where(target, self.false_negative, self.false_positive)


class Perceptron(Loss):
    """Structured perceptron: ``E(target) - min_y E(y) >= 0``, 0 if the target is a MAP mask.

    The hinge without a margin: all potentials 0 are a minimum, so stop early or average. For models
    that no exact method takes, the lower bound stands for the minimum, as in `StructuredHinge`.
    Weights must be 0 or 1; pixels of weight 0 take the states that give the target the least
    energy.

    Args:
        reduction: "mean" or "none".

    `details` returns the MapResult of the model as `found`.

    Reference:
        Collins, "Discriminative training methods for hidden Markov models", EMNLP 2002.
    """

    def details(
        self,
        model: IsingGrid,
        target: Bool[Tensor, "batch height width"],
        weights: Float[Tensor, "batch height width"] | None = None,
    ) -> LossDetails:
        """The loss of every image, and the MAP as `found`."""
        weights = check_example(model, target, weights)
        check_zero_or_one(weights, "Perceptron")
        return _margin(model, target, weights > 0, torch.zeros_like(weights))


def _margin(model: IsingGrid, target: Tensor, known: Tensor, costs: Tensor) -> LossDetails:
    """``E(target) - min_y [E(y) - L(y, target)]``, the minimum by its lower bound.

    Costs are float64, and 0 at clamped pixels.
    """
    exact = _detached(model)
    if not bool(known.all()):
        target = find_map(exact.clamp(on=target & known, off=~target & known)).mask
    # E(y) - L(y) with 1[y != t] = (1 - t y) / 2; in float64, where the new unaries do not round.
    unary = exact.unary - torch.where(target, 0.5, -0.5) * costs
    constant = exact.constant - costs.sum(dim=(1, 2)) / 2
    found = find_map(replace(exact, unary=unary, constant=constant))
    lost = torch.where(found.mask != target, costs, 0.0).sum(dim=(1, 2))
    moved = statistics_of(found.mask, model).minus(statistics_of(target, model))
    # Negative only by rounding, where the worst mask is the target.
    value = (score(model, moved) + (lost + found.gap)).clamp(min=0.0)
    return LossDetails(value=value, found=found)


def _detached(model: IsingGrid) -> IsingGrid:
    """The model in float64, without gradients."""
    parts = (model.unary, model.right, model.down, model.constant)
    return IsingGrid(*(t.detach().to(torch.float64) for t in parts), model.periodic)


def _class_balance(target: Tensor, weights: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Factors that give pixels on and pixels off the same sum of weights."""
    total = weights.sum(dim=dims, keepdim=True)
    on = torch.where(target, weights, 0.0).sum(dim=dims, keepdim=True)
    off = total - on
    both = (on > 0) & (off > 0)
    own = torch.where(target, on, off)
    return torch.where(both, total / (2 * own), 1.0)


def _check_cost(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number; got {type(value).__name__}. Use a float.")
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name} must be at least 0 and finite; got {value}. Use 1 if in doubt.")

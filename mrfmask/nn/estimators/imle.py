"""MAP masks of perturbed potentials, with the gradient of implicit maximum likelihood."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from mrfmask.inference import find_map
from mrfmask.inference.method import check_positive
from mrfmask.model import IsingGrid
from mrfmask.nn.estimators.estimator import Draw, Estimator
from mrfmask.nn.losses.statistics import statistics_of


@dataclass(frozen=True, kw_only=True, eq=False)
class ImleEstimator(Estimator):
    r"""The MAP mask x of ``unary + noise``, and the difference to that of a shifted target.

    The noise of a pixel is logistic, divided by ``2 beta``: without couplings x is a draw from
    p(x). For a gradient g of the mask, the target x' is the MAP mask of ``unary + noise - lambda
    g / 2`` with the same noise, and the potentials get ``(phi(x) - phi(x')) / lambda``. That is,
    exactly, the gradient of ``(A(theta) - A(theta - lambda g / 2)) / lambda`` where ``A(theta) =
    E[max_x -E(x; theta + noise)]``, a finite difference in the place of the derivative of E[x].

    ``lambda = 2 step / max_i |g_i|`` in each image, so that no unary of the target moves by more
    than `step`: gradients scale with g, and the size of the loss does not matter. With small steps
    the gradient is nearly that of E[x] (for losses linear in the mask), but of high variance, as
    few masks change; large steps have more bias and less variance.

    MAP masks are those of `find_map`: exact for couplings of one sign; with a budget or mixed signs
    often the best that was found. Both masks have exactly as many pixels on as the budget says.

    Args:
        step: largest change of a unary on the way to the target, positive, in units of `unary`.

    Reference:
        Niepert, Minervini and Franceschi, "Implicit MLE: backpropagating through discrete
        exponential family distributions", NeurIPS 2021; Papandreou and Yuille, "Perturb-and-MAP
        random fields", ICCV 2011.
    """

    step: float = 1.0

    name: ClassVar = "imle"
    random: ClassVar = True
    bias: ClassVar = "perturb-and-MAP is not p(x); finite step; linear losses"

    def __post_init__(self) -> None:
        check_positive("step", self.step)

    def masks(self, model: IsingGrid, draw: Draw) -> Float[Tensor, "batch height width"]:
        """MAP masks of 0 and 1."""
        noise = draw.logistic_noise(model) / (2 * draw.beta)
        unary = model.unary.detach() + noise.to(model.dtype)
        perturbed = IsingGrid(
            unary, model.right.detach(), model.down.detach(), periodic=model.periodic
        )
        return _MapMask.apply(
            model.unary, model.right, model.down, perturbed, draw.counts, self.step
        )


class _MapMask(torch.autograd.Function):
    """The MAP mask of a perturbed model, with gradients to the potentials that were perturbed."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        unary: Tensor,
        right: Tensor,
        down: Tensor,
        perturbed: IsingGrid,
        counts: Tensor | None,
        step: float,
    ) -> Float[Tensor, "batch height width"]:
        mask = find_map(perturbed, budget=counts).mask
        ctx.save_for_backward(mask)
        ctx.arguments = perturbed, counts, step
        return mask.to(unary.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (mask,) = ctx.saved_tensors
        perturbed, counts, step = ctx.arguments
        gradient = gradient.masked_fill(perturbed.clamped, 0.0)
        largest = gradient.abs().amax(dim=(1, 2), keepdim=True)
        shift = torch.where(largest > 0, step * gradient / largest, 0.0)
        target = replace(perturbed, unary=perturbed.unary - shift)
        moved = find_map(target, budget=counts).mask
        # 1 / lambda; 0 where there is no gradient, whatever the masks are.
        rate = largest / (2 * step)
        difference = statistics_of(mask, perturbed).minus(statistics_of(moved, perturbed))
        return *(rate * change for change in difference), None, None, None

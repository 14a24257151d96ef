"""Soft masks with a budget from the path of all minimum cuts, with exact derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from mrfmask.inference.budget_path import budget_path
from mrfmask.inference.method import check_positive
from mrfmask.model import IsingGrid
from mrfmask.nn.estimators.estimator import Draw, Estimator, check_bool
from mrfmask.nn.estimators.soft_masks import soft_masks


@dataclass(frozen=True, kw_only=True, eq=False)
class TvProxEstimator(Estimator):
    """``sigmoid((entry - tau) / temperature)`` of the entry map of `budget_path`.

    Pixels above a threshold of that map are the best masks for all budgets that a minimum cut can
    meet. With a budget tau gives the mask the sum that it asks for, without one tau is 0, the
    threshold of the MAP mask. Derivatives are exact; those of hard masks are the soft ones'.
    Hard masks of a budget that no cut meets are not always optimal.

    Args:
        temperature: positive, in units of the entry map, which are those of ``2 unary``; lower is
            nearer to 0 and 1. It can be changed by `MaskLayer.temperature`.
        hard: straight-through: forward the budget's pixels of largest entry (of equal ones those
            that come first) as 0 and 1, backward the gradient of the soft mask.

    Reference:
        Djolonga and Krause, "Differentiable learning of submodular models", NeurIPS 2017.
    """

    temperature: float = 0.5
    hard: bool = False

    name: ClassVar = "tv_prox"
    random: ClassVar = False
    bias: ClassVar = "a relaxation of MAP masks; beta plays no part"
    associative: ClassVar = True

    def __post_init__(self) -> None:
        check_positive("temperature", self.temperature)
        check_bool("hard", self.hard)

    def masks(self, model: IsingGrid, draw: Draw) -> Float[Tensor, "batch height width"]:
        """Soft masks, or their hard stand-ins."""
        if not model.is_associative:
            raise ValueError(
                "model must not have negative couplings for the estimator tv_prox; got some. Use "
                "score_function, or a head with coupling='associative'."
            )
        entry = entry_map(model)
        return soft_masks(entry, draw.counts, draw.temperature, self.hard).to(model.dtype)


def entry_map(model: IsingGrid) -> Float[Tensor, "batch height width"]:
    r"""The penalty at which each pixel leaves the best mask, float64, differentiable.

    ``v`` minimises ``1/2 |v - 2 unary|^2 + sum_ij 2 pairwise_ij |v_i - v_j|``. It is constant on
    blocks B of connected pixels, and there ``v_B = mean_B(2 unary) + sum 2 pairwise_ij sign(v_j -
    v_B) / |B|`` over the couplings from i in B to j outside. So for a gradient g of v, averaged
    over blocks to G (0 at clamped pixels), ``unary_i`` gets ``2 G_i`` and ``pairwise_ij`` gets
    ``-2 sign(v_i - v_j) (G_i - G_j)``.

    Args:
        model: no negative couplings.

    Returns:
        (batch, height, width); +inf and -inf at clamped pixels.
    """
    return _EntryMap.apply(model.unary, model.right, model.down, model)


class _EntryMap(torch.autograd.Function):
    """The entry map, with gradients to the potentials by averages over blocks."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, unary: Tensor, right: Tensor, down: Tensor, model: IsingGrid
    ) -> Tensor:
        path = budget_path(model.to("cpu"))
        entry, block = path.entry.to(model.device), path.block.to(model.device)
        ctx.save_for_backward(entry, block)
        ctx.columns, ctx.rows, ctx.dtype = right.shape[2], down.shape[1], unary.dtype
        return entry

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        entry, block = ctx.saved_tensors
        # The last place of an image is for clamped pixels, of block -1.
        pixels = block.shape[1] * block.shape[2]
        index = torch.where(block < 0, pixels, block).long().flatten(1)
        sums = gradient.new_zeros(len(block), pixels + 1)
        sizes = sums.scatter_add(1, index, torch.ones_like(sums[:, :pixels]))
        sums = sums.scatter_add(1, index, gradient.flatten(1))
        mean = (sums / sizes.clamp(min=1)).gather(1, index).reshape(block.shape)
        mean = mean.masked_fill(block < 0, 0.0)
        couplings = []
        for dim, size in ((2, ctx.columns), (1, ctx.rows)):
            v, other = entry.narrow(dim, 0, size), entry.roll(-1, dim).narrow(dim, 0, size)
            here, there = mean.narrow(dim, 0, size), mean.roll(-1, dim).narrow(dim, 0, size)
            sign = (v > other).to(mean.dtype) - (v < other).to(mean.dtype)
            couplings.append((-2 * sign * (here - there)).to(ctx.dtype))
        return (2 * mean).to(ctx.dtype), *couplings, None

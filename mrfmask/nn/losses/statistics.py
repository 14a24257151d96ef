"""Sufficient statistics of masks, and scores that are linear in the potentials."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.model import IsingGrid


class Statistics(NamedTuple):
    """``x_i`` of every pixel and ``x_i x_j`` of every coupling: a mask's, or means over masks."""

    unary: Float[Tensor, "*masks height width"]
    right: Float[Tensor, "*masks height width-1"]
    down: Float[Tensor, "*masks height-1 width"]

    def minus(self, other: Statistics) -> Statistics:
        """The difference, term by term."""
        return Statistics(*(a - b for a, b in zip(self, other, strict=True)))


def statistics_of(
    mask: Bool[Tensor, "*masks height width"], model: IsingGrid, dtype: torch.dtype | None = None
) -> Statistics:
    """The statistics of masks, of any number of leading dimensions, in the model's dtype."""
    x = torch.where(mask, 1.0, -1.0).to(dtype or model.dtype)
    columns, rows = model.right.shape[2], model.down.shape[1]
    right = x[..., :columns] * x.roll(-1, -1)[..., :columns]
    return Statistics(x, right, x[..., :rows, :] * x.roll(-1, -2)[..., :rows, :])


def score(model: IsingGrid, statistics: Statistics) -> Float[Tensor, " batch"]:
    """``sum_i unary_i phi_i + sum_ij pairwise_ij phi_ij`` in float64; clamped pixels count 0.

    Differentiable in the potentials: the gradient is `statistics` itself. The score of a mask is
    minus its energy without the constant.
    """
    unary = torch.where(model.clamped, 0.0, model.unary)
    terms = zip((unary, model.right, model.down), statistics, strict=True)
    return sum((t * phi).sum(dim=(1, 2), dtype=torch.float64) for t, phi in terms)

"""A lower bound for masks that were found without one."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from mrfmask.inference.strips import strip_bound
from mrfmask.ising import IsingModel
from mrfmask.model import IsingGrid


def quick_bound(model: IsingModel) -> Float[Tensor, " batch"]:
    """No mask has less energy, (batch,) float64: of a grid by strips; of a graph all terms pleased.

    For a graph it is ``constant - sum |unary| - sum |pairwise|``.
    """
    if isinstance(model, IsingGrid):
        return strip_bound(model)
    unary = torch.where(model.clamped, 0.0, model.unary.detach())
    sizes = unary.abs().sum(dim=1, dtype=torch.float64)
    sizes = sizes + model.pairwise.detach().abs().sum(dim=1, dtype=torch.float64)
    return model.constant.detach() - sizes

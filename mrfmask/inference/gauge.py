"""Models of both signs that are associative once some sites are turned round."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask import ops
from mrfmask.ising import IsingModel


def gauge(model: IsingModel) -> tuple[Bool[Tensor, "batch ..."], Bool[Tensor, " batch"]]:
    """The sites to turn, and whether all couplings of free sites are then associative.

    A model is balanced if every cycle of its couplings, those of 0 and of clamped sites left out,
    has an even number of repulsive ones. The lowest site of each component stays as it is, and so
    do clamped sites. What to turn of a model that is not balanced means nothing.

    Reference:
        Harary, "On the notion of balance of a signed graph", Michigan Math. J. 1953.
    """
    if model.is_associative:
        balanced = torch.ones(len(model), dtype=torch.bool, device=model.device)
        return torch.zeros_like(model.clamped), balanced
    edges, clamped = model.edges, model.clamped.flatten(1)
    joins = ~(clamped[:, edges[:, 0]] | clamped[:, edges[:, 1]])
    pairwise = torch.where(joins, model.pairwise.detach(), 0.0)
    turn, balanced = ops.gauge(model.unary.detach().flatten(1), edges, pairwise)
    return turn.reshape(model.shape), balanced


def turned(model: IsingModel, turn: Bool[Tensor, "batch ..."]) -> IsingModel:
    """The same energies with the states of some sites turned round."""
    if not bool(turn.any()):
        return model
    changed = {
        name: torch.where(one != other, -model.couplings[name], model.couplings[name])
        for name, (one, other) in model.pairs(turn).items()
    }
    return replace(model, unary=torch.where(turn, -model.unary, model.unary), **changed)

"""Models of both signs that are associative once some sites are turned round."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from mrfmask.ising import IsingModel


def gauge(model: IsingModel) -> tuple[Bool[Tensor, "batch ..."], Bool[Tensor, " batch"]]:
    """The sites to turn, and whether all couplings of free sites are then associative.

    A model is balanced if every cycle of its couplings, those of 0 and of clamped sites left out,
    has an even number of repulsive ones. In the double cover of the graph, where repulsive
    couplings lead to the other copy, a site and its copy then never hang together. The lowest site
    of each component stays as it is, and so do clamped sites.

    Reference:
        Harary, "On the notion of balance of a signed graph", Michigan Math. J. 1953.
    """
    batch = len(model)
    turn = torch.zeros(model.shape, dtype=torch.bool)
    balanced = torch.ones(batch, dtype=torch.bool)
    if model.is_associative:
        return turn.to(model.device), balanced.to(model.device)
    first, second = model.edges.cpu().numpy().T
    pairwise = model.pairwise.detach().cpu().numpy()
    clamped = model.clamped.flatten(1).cpu().numpy()
    sites = clamped.shape[1]
    for b in range(batch):
        joins = (pairwise[b] != 0) & ~clamped[b, first] & ~clamped[b, second]
        one, other, crosses = first[joins], second[joins], pairwise[b, joins] < 0
        ends = np.r_[one, one + sites], np.r_[other + sites * crosses, other + sites * ~crosses]
        cover = coo_array((np.ones(len(ends[0])), ends), shape=(2 * sites, 2 * sites))
        component = connected_components(cover, directed=False)[1]
        here, copy = component[:sites], component[sites:]
        balanced[b] = bool((here != copy).all())
        turn[b] = torch.from_numpy(here > copy).reshape(turn.shape[1:])
    return turn.to(model.device), balanced.to(model.device)


def turned(model: IsingModel, turn: Bool[Tensor, "batch ..."]) -> IsingModel:
    """The same energies with the states of some sites turned round."""
    if not bool(turn.any()):
        return model
    changed = {
        name: torch.where(one != other, -model.couplings[name], model.couplings[name])
        for name, (one, other) in model.pairs(turn).items()
    }
    return replace(model, unary=torch.where(turn, -model.unary, model.unary), **changed)

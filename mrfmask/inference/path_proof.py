"""Whether a budget path is right: what it says of itself, its energies, and cuts that prove it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mrfmask.inference.budget import Limit, penalised
from mrfmask.inference.graph_cut import GraphCut
from mrfmask.model import IsingGrid
from mrfmask.result import ROUNDING, BudgetPath


@dataclass(frozen=True)
class PathProof:
    r"""Checks a path against its model, without the solver that made it.

    At a penalty where mask m takes over from mask m - 1, both minimise ``E(x) + penalty * (pixels
    on)``: the line through their points (count, energy) is below all masks. A minimum cut of the
    single model at that penalty proves it, by a flow that is itself checked. If all breakpoints
    are proven, so is the whole envelope.
    """

    def proves(self, model: IsingGrid, path: BudgetPath, cuts: int) -> bool:
        """True if all that `BudgetPath.verify` checks is right."""
        first = model.energy(path.order == 0).detach()
        slack = ROUNDING * _sizes(model)
        for b in range(len(model)):
            rounding = _rounding(model[b], int(path.stats["exponent"][b]))
            if not math.isclose(rounding, path.stats["rounding"][b], rel_tol=1e-6):
                return False
            fits = _is_consistent(model[b], path, b)
            if not fits or not _has_energies(model[b], path, b, first[b], slack[b]):
                return False
            slack[b] += 4 * rounding
            if not _has_slopes(path, b, slack[b]):
                return False
        return all(_cut_proves(model, path, masks, slack) for masks in _breakpoints(path, cuts))


def _is_consistent(model: IsingGrid, path: BudgetPath, b: int) -> bool:
    """Whether the parts of a path agree with each other and with the clamps."""
    masks = len(path.count[b])
    values = (path.penalty[b], path.count[b], path.energy[b], path.lower_bound[b])
    if any(v.shape != (masks,) or v.isnan().any() for v in values) or masks == 0:
        return False
    order, penalty = path.order[b].long(), path.penalty[b]
    if order.min() < 0 or order.max() > masks:
        return False
    sizes = torch.bincount(order.flatten(), minlength=masks + 1)
    entry = torch.cat([penalty, penalty.new_full((1,), -torch.inf)])[order]
    return bool(
        torch.equal(order == 0, model.unary[0].isposinf())
        and torch.equal(order == masks, model.unary[0].isneginf())
        and torch.equal(path.count[b], sizes[:masks].cumsum(0))
        and (sizes[1:masks] > 0).all()
        and torch.equal(path.entry[b], entry)
        and penalty[0] == torch.inf
        and (penalty[1:].isfinite()).all()
        and (penalty[1:] <= penalty[:-1]).all()
        and (path.lower_bound[b] <= path.energy[b]).all()
        and _has_blocks(model, path, b)
    )


def _has_blocks(model: IsingGrid, path: BudgetPath, b: int) -> bool:
    """Whether blocks are the connected components of equal order, in reading order."""
    # Imported late: `import mrfmask` stays light.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    order, block = (t[b].flatten().cpu().numpy() for t in (path.order, path.block))
    (first, second), pairwise = model.edges.T, model.pairwise
    first, second = first.cpu().numpy(), second.cpu().numpy()
    joined = (order[first] == order[second]) & (pairwise[0].detach().cpu().numpy() != 0)
    links = coo_array(
        (np.ones(joined.sum(), dtype=bool), (first[joined], second[joined])), (order.size,) * 2
    )
    labels = connected_components(links, directed=False)[1]
    free = ~model.clamped[0].flatten().cpu().numpy()
    known, begin, inverse = np.unique(labels[free], return_index=True, return_inverse=True)
    number = np.empty(len(known), dtype=np.int64)
    number[np.argsort(begin)] = np.arange(len(known))
    return bool((block[~free] == -1).all() and np.array_equal(block[free], number[inverse]))


def _has_energies(
    model: IsingGrid, path: BudgetPath, b: int, first: Float[Tensor, ""], slack: Float[Tensor, ""]
) -> bool:
    """Whether energies are the model's: pixels turn on at their order, couplings part and meet."""
    order, masks = path.order[b].flatten().long().cpu().numpy(), len(path.count[b])
    unary = model.unary[0].detach().double().flatten().cpu().numpy()
    (one, other), pairwise = model.edges.T, model.pairwise
    ends = np.stack([order[one.cpu().numpy()], order[other.cpu().numpy()]])
    change = 2 * pairwise[0].detach().double().cpu().numpy()
    steps = np.bincount(order, np.where(np.isinf(unary), 0.0, -2 * unary), masks + 1)
    steps += np.bincount(ends.min(axis=0), change, masks + 1)
    steps -= np.bincount(ends.max(axis=0), change, masks + 1)
    energies = first.item() + np.concatenate([[0.0], steps[1:masks].cumsum()])
    return bool((np.abs(path.energy[b].cpu().numpy() - energies) <= slack.item()).all())


def _has_slopes(path: BudgetPath, b: int, slack: Float[Tensor, ""]) -> bool:
    """Whether penalties are what the next pixels save, and bounds are no further off than that."""
    added = path.count[b].diff()
    saved = -path.energy[b].diff()
    off = (path.penalty[b][1:] * added - saved).abs()
    return bool((off <= slack).all() and (path.energy[b] - path.lower_bound[b] <= slack).all())


def _breakpoints(path: BudgetPath, cuts: int) -> list[Int[Tensor, " batch"]]:
    """Numbers of masks, one an image, evenly from 1 to the last; 0 where there are none."""
    last = torch.tensor([len(count) - 1 for count in path.count], device=path.order.device)
    number = min(cuts, int(last.max())) if len(last) else 0
    return [(1 + (last - 1) * k // max(number - 1, 1)).clamp(max=last) for k in range(number)]


def _cut_proves(
    model: IsingGrid,
    path: BudgetPath,
    masks: Int[Tensor, " batch"],
    slack: Float[Tensor, " batch"],
) -> bool:
    """Whether no mask of an image is below the line through mask `masks` and the one before."""
    images = masks.nonzero().flatten()
    at = [(b, int(masks[b])) for b in images.tolist()]
    penalty = torch.stack([path.penalty[b][m] for b, m in at])
    count = torch.stack([path.count[b][m] for b, m in at])
    charged = penalised(model[images], penalty, Limit(amount=count))
    cut = GraphCut(lossless=True).find_map(charged)
    energy = torch.stack([path.energy[b][m] for b, m in at])
    least = cut.lower_bound + 2 * cut.stats["rounding"]
    # The path's own rounding excuses its energies, never its bounds.
    bound = torch.stack([path.lower_bound[b][m] for b, m in at])
    honest = bound <= least + ROUNDING * _sizes(charged)
    near = energy <= least + slack[images]
    return bool(cut.verify(charged) and near.all() and honest.all())


def _sizes(model: IsingGrid) -> Float[Tensor, " batch"]:
    """Sums of the sizes of all terms, (batch,)."""
    unary = torch.where(model.clamped, 0.0, model.unary.detach())
    terms = (unary, model.right.detach(), model.down.detach())
    return model.constant.detach().abs() + sum(
        t.abs().sum(dim=(1, 2), dtype=torch.float64) for t in terms
    )


def _rounding(model: IsingGrid, exponent: int) -> float:
    """What the integers of a scale are off by, summed, in energy."""
    unary = torch.where(model.clamped, 0.0, model.unary.detach())
    terms = [t.detach().double() * 2.0 ** (exponent + 1) for t in (unary, model.right, model.down)]
    return sum(float((t - t.round()).abs().sum()) for t in terms) / 2.0**exponent

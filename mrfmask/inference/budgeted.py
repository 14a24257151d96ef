"""The best mask within a limit on its pixels: a bound by penalties, repair, and proof."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask import ops
from mrfmask.graph import IsingGraph
from mrfmask.inference.annealing import Annealing
from mrfmask.inference.auto import find_map_auto, merge_results
from mrfmask.inference.budget import Limit, penalised
from mrfmask.inference.budgeted_graph import find_graph_map_at_limit
from mrfmask.inference.graph_cut import cuttable_images
from mrfmask.inference.lagrange import (
    Dual,
    dual_by_cuts,
    dual_by_path,
    dual_by_strips,
)
from mrfmask.inference.strips import proven_status
from mrfmask.ising import IsingModel
from mrfmask.model import IsingGrid
from mrfmask.result import MapResult, Status


def find_map_in_limit(model: IsingModel, limit: Limit) -> MapResult:
    r"""A mask of low energy within the limit, and a bound on all such masks.

    With `at_most`, images whose best mask keeps the limit keep that mask. For the others its
    penalty is not negative, so that bounds for just the amount hold for less, too.
    """
    graph = isinstance(model, IsingGraph)
    find_map_at_limit = find_graph_map_at_limit if graph else _find_map_at_limit
    if not limit.at_most and len(model):
        return find_map_at_limit(model, limit)
    best = find_map_auto(model, None)
    enough = limit.allows(best.mask)
    if enough.all():
        return best
    parts = []
    for images, solve in (
        (enough, lambda part, _: find_map_auto(part, None)),
        (~enough, find_map_at_limit),
    ):
        index = images.nonzero().flatten()
        if len(index):
            parts.append((index, solve(model[index], limit[index])))
    return parts[0][1] if len(parts) == 1 else merge_results(parts)


def _find_map_at_limit(model: IsingGrid, limit: Limit) -> MapResult:
    r"""A mask of low energy that comes to the amount, and a bound on all such masks.

    ``min {E(x): x comes to k} >= max over penalties of min E(x) + penalty (what x comes to - k)``.
    Where couplings have one sign, cuts find the best penalty exactly, and a cut that hits k is
    optimal; strips do the same for others, often as well. Otherwise masks near k are repaired. For
    a number of pixels the cheapest are turned one by one, then pairs are swapped as long as that
    lowers the energy. For costs, where no mask may come to just k, those are turned that change the
    energy least for their cost, and exchanged as long as what they come to is at most k and the
    energy falls.

    Args:
        model: any signs.
        limit: possible for the clamps, see `budget_limit`; with `at_most` exceeded by the MAP.

    Returns:
        status OPTIMAL where the gap is rounding, else HEURISTIC.
    """
    cuttable = cuttable_images(model)
    associative = (model.right >= 0).flatten(1).all(dim=1) & (model.down >= 0).flatten(1).all(dim=1)
    by_path = associative if limit.cost is None else torch.zeros_like(associative)
    parts = []
    for images, dual_of in (
        (by_path, dual_by_path),
        (cuttable & ~by_path, dual_by_cuts),
        (~cuttable, dual_by_strips),
    ):
        index = images.nonzero().flatten()
        if len(index):
            part, goal = (
                (model, limit) if len(index) == len(model) else (model[index], limit[index])
            )
            dual = dual_of(part, goal)
            starts = [dual.fewer, dual.more, part.unary > 0]
            result = _repaired(part, goal, dual, starts)
            if dual_of is dual_by_strips and Status.HEURISTIC in result.status:
                charged = penalised(part, dual.penalty, goal)
                starts.append(Annealing().find_map(charged).mask)
                result = _repaired(part, goal, dual, starts)
            parts.append((index, result))
    return parts[0][1] if len(parts) == 1 else merge_results(parts)


def _repaired(
    model: IsingGrid,
    limit: Limit,
    dual: Dual,
    starts: list[Bool[Tensor, "batch height width"]],
) -> MapResult:
    """The best of several masks brought within the limit, with the bound of the dual."""
    potentials = (model.unary.detach(), model.right.detach(), model.down.detach(), model.periodic)
    masks = []
    for start in starts:
        mask = torch.where(model.clamped, model.unary > 0, start)
        if limit.cost is None:
            masks.append(ops.reach_count(*potentials, limit.amount, mask))
            if limit.at_most:
                each = torch.ones_like(mask, dtype=torch.int64)
                masks.append(ops.keep_limit(*potentials, each, limit.amount, mask))
        else:
            masks.append(ops.keep_limit(*potentials, limit.cost, limit.amount, mask))
    energies = model.energy(torch.stack(masks, dim=1)).detach()
    energy, best = energies.min(dim=1)
    mask = torch.stack(masks, dim=1)[torch.arange(len(model), device=model.device), best]
    return MapResult(
        mask=mask,
        energy=energy,
        lower_bound=dual.lower_bound,
        status=proven_status(model, energy, dual.lower_bound),
        method="lagrange",
        stats={"penalty": dual.penalty, "amount": limit.amount},
        certificate=dual.certificate,
    )

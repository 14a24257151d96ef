"""The best mask of a graph that comes to a limit: a bound by penalties, and repair."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask.graph import IsingGraph
from mrfmask.inference.annealing import Annealing
from mrfmask.inference.auto import merge_results
from mrfmask.inference.budget import Limit, penalised
from mrfmask.inference.eliminations import quick_graphs
from mrfmask.inference.graph_cut import cuttable_images
from mrfmask.inference.lagrange import Dual
from mrfmask.inference.lagrange_graph import by_cut, by_elimination, by_roof, dual_on_graph
from mrfmask.inference.strips import proven_status
from mrfmask.result import MapResult, Status


def find_graph_map_at_limit(model: IsingGraph, limit: Limit) -> MapResult:
    r"""A mask of low energy that comes to the amount, and a bound on all such masks.

    As for grids: the bound is the maximum over penalties of ``min E(x) + penalty * (what x comes to
    - amount)``. Its minima are cuts where signs are balanced and eliminations where those are
    quick, and a mask among them that comes to the amount is optimal; for other models roof duality
    bounds them. Masks near the best penalty are repaired.

    Args:
        model: any signs.
        limit: possible for the clamps, see `budget_limit`; with `at_most` exceeded by the best mask
            known.

    Returns:
        status OPTIMAL where the gap is rounding, else HEURISTIC.
    """
    cuttable = cuttable_images(model)
    quick = torch.zeros_like(cuttable) if cuttable.all() else quick_graphs(model) & ~cuttable
    parts = []
    for models, solve in (
        (cuttable, by_cut),
        (quick, by_elimination),
        (~(cuttable | quick), by_roof),
    ):
        index = models.nonzero().flatten()
        if len(index):
            part, goal = model[index], limit[index]
            dual = dual_on_graph(part, goal, solve)
            starts = [dual.fewer, dual.more, part.unary > 0]
            result = _repaired(part, goal, dual, starts)
            if solve is by_roof and Status.HEURISTIC in result.status:
                charged = penalised(part, dual.penalty, goal).to("cpu")
                starts.append(Annealing().find_map(charged).mask.to(part.device))
                result = _repaired(part, goal, dual, starts)
            parts.append((index, result))
    return parts[0][1] if len(parts) == 1 else merge_results(parts)


def _repaired(
    model: IsingGraph, limit: Limit, dual: Dual, starts: list[Bool[Tensor, "batch nodes"]]
) -> MapResult:
    """The best of several masks brought within the limit, with the bound of the dual."""
    masks = torch.stack([reach_limit(model, limit, start) for start in starts], dim=1)
    energy, best = model.energy(masks).detach().min(dim=1)
    return MapResult(
        mask=masks[torch.arange(len(model), device=model.device), best],
        energy=energy,
        lower_bound=dual.lower_bound,
        status=proven_status(model, energy, dual.lower_bound),
        method="lagrange",
        stats={"penalty": dual.penalty, "amount": limit.amount},
        certificate=dual.certificate,
    )


def reach_limit(
    model: IsingGraph, limit: Limit, start: Bool[Tensor, "batch nodes"]
) -> Bool[Tensor, "batch nodes"]:
    """Masks within a limit that no exchange of two nodes betters, see `keep_limit`."""
    from mrfmask.graphs.adjacency import adjacency
    from mrfmask.graphs.keep_limit import keep_limit
    from mrfmask.graphs.threads import each_item

    rows = adjacency(model.edges, model.shape[1])
    unary, pairwise = (t.detach().cpu().double().numpy() for t in (model.unary, model.pairwise))
    mask = torch.where(model.clamped, model.unary > 0, start).to("cpu", copy=True)
    cost = torch.ones(model.shape, dtype=torch.int64) if limit.cost is None else limit.cost.cpu()
    price, amount, y = cost.numpy(), limit.amount.tolist(), mask.numpy()

    def run(b: int) -> None:
        keep_limit(*rows, unary[b], pairwise[b], price[b], amount[b], not limit.at_most, y[b])

    each_item(run, len(model))
    return mask.to(model.device)

"""The best penalty per node on for a limit, on a graph: by cuts, elimination or roof duality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.graph import IsingGraph
from mrfmask.inference.budget import Limit, penalised
from mrfmask.inference.exact import Exact
from mrfmask.inference.graph_cut import GraphCut, cuttable_images
from mrfmask.inference.lagrange import MOST_CUTS, Dual, PenaltyCertificate, extreme_masks
from mrfmask.inference.min_marginals import min_marginals
from mrfmask.inference.qpbo import Qpbo
from mrfmask.result import MapResult

# Bounds a penalised model; the second is what was found for one of another penalty.
Solve = Callable[[IsingGraph, MapResult | None], MapResult]


def by_cut(model: IsingGraph, last: MapResult | None) -> MapResult:
    """The minimum of balanced models, from the flow of the last one."""
    return GraphCut(lossless=True, start=last).find_map(model)


def by_elimination(model: IsingGraph, last: MapResult | None) -> MapResult:
    """The minimum of models with an order of small tables."""
    return Exact().find_map(model)


def by_roof(model: IsingGraph, last: MapResult | None) -> MapResult:
    """A bound for any model."""
    return Qpbo().find_map(model)


@dataclass
class _Lines:
    """One line above the dual for each model, ``value + penalty * (spent - amount)``.

    It is that of a mask, or of a solution of roof duality, in which nodes without a label are half
    on; `mask` is then near it.
    """

    mask: Bool[Tensor, "batch nodes"]
    spent: Float[Tensor, " batch"]
    value: Float[Tensor, " batch"]

    def __getitem__(self, models: Tensor) -> _Lines:
        return _Lines(self.mask[models], self.spent[models], self.value[models])

    def put(self, models: Tensor, lines: _Lines, where: Bool[Tensor, " models"]) -> None:
        """Takes some of the lines as those of the models with these numbers."""
        for own, new in (
            (self.mask, lines.mask),
            (self.spent, lines.spent),
            (self.value, lines.value),
        ):
            own[models[where]] = new[where]


def dual_on_graph(model: IsingGraph, limit: Limit, solve: Solve) -> Dual:
    """The maximum over penalties of a bound on ``E(x) + penalty * (what x comes to - amount)``.

    The bound of `solve` is concave and piecewise linear in the penalty, and each result a line
    above it. Where two lines cross, one that comes to less and one that comes to more than wanted,
    the next result is either a line below both or proves the crossing the maximum.

    Args:
        model: one that `solve` takes, whatever the unaries.
        limit: a possible one, see budget_limit; with `at_most` penalties are not negative.
        solve: by_cut or by_elimination, then the bound is that of the Lagrangian dual; by_roof.

    Reference:
        Dinkelbach, "On nonlinear fractional programming", 1967, for the iteration; Boros and
        Hammer, "Pseudo-Boolean optimization", 2002, for the half of nodes without a label.
    """
    model = model.to(torch.float64)
    fewer, more = (
        _Lines(mask, limit.spent(mask).double(), model.energy(mask).detach())
        for mask in extreme_masks(model)
    )
    steepest = _steepest(model)
    # The extreme amounts have one mask each, which a large enough penalty makes the minimum.
    penalty = torch.where(limit.amount == more.spent, -steepest, steepest)
    wanted_by_all = limit.amount.double()
    inside = (wanted_by_all != fewer.spent) & (wanted_by_all != more.spent)
    open_models, last = inside.nonzero().flatten(), None
    for _ in range(MOST_CUTS):
        if not len(open_models):
            break
        wanted, few, many = limit[open_models], fewer[open_models], more[open_models]
        crossing = (few.value - many.value) / (many.spent - few.spent)
        penalty[open_models] = crossing
        # A flow of other models is no start.
        last = last if last is not None and len(last.mask) == len(open_models) else None
        found = last = solve(penalised(model[open_models], crossing, wanted), last)
        chord = few.value + crossing * (few.spent - wanted.amount)
        spent = _spent(found, wanted)
        value = found.lower_bound - crossing * (spent - wanted.amount)
        line = _Lines(found.mask, spent, value)
        # Below the chord by more than may have been rounded away.
        rounding = 2 * found.stats.get("rounding", 0.0)
        rounding = rounding + 1e-13 * (steepest[open_models] + chord.abs())
        better = found.lower_bound < chord - rounding
        hit = spent == wanted.amount
        fewer.put(open_models, line, (better & (spent <= wanted.amount)) | hit)
        more.put(open_models, line, (better & (spent >= wanted.amount)) | hit)
        open_models = open_models[better & ~hit]
    if limit.at_most:
        penalty = penalty.clamp(min=0.0)  # the best of those allowed, as the bound is concave
    best = solve(penalised(model, penalty, limit), None)
    certificate = None
    if best.certificate is not None:
        certificate = PenaltyCertificate(
            penalty=penalty, limit=limit, cut=best.certificate, cut_mask=best.mask
        )
    return Dual(
        penalty=penalty,
        lower_bound=best.lower_bound,
        fewer=fewer.mask,
        more=more.mask,
        certificate=certificate,
    )


def advantage_in_limit(
    model: IsingGraph, limit: Limit
) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch nodes"]]:
    """What min-marginals at the best penalty prove of each node, for models that a cut can take.

    Returns:
        A lower bound, (batch,), -inf for other models; and what masks in the limit have more energy
        than that, at least, that have a node off where it is positive, or on where negative.
    """
    bound = torch.full((len(model),), -torch.inf, dtype=torch.float64, device=model.device)
    advantage = bound.new_zeros(model.shape)
    index = cuttable_images(model).nonzero().flatten()
    if len(index):
        part, goal = model[index], limit[index]
        dual = dual_on_graph(part, goal, by_cut)
        found = min_marginals(penalised(part, dual.penalty, goal))
        bound[index] = torch.minimum(dual.lower_bound, found.lower_bound)
        more = found.energies - (bound[index] + found.rounding)[:, None, None]
        off, on = more.unbind(dim=2)
        advantage[index] = torch.where(off > on, off, -on).where(~part.clamped, 0.0)
    return bound, advantage


def _spent(found: MapResult, limit: Limit) -> Float[Tensor, " batch"]:
    """What a result comes to, nodes without a label half on."""
    settled = found.stats.get("persistent", torch.ones_like(found.mask))
    return limit.spent(found.mask & settled) + limit.spent(~settled).double() / 2


def _steepest(model: IsingGraph) -> Float[Tensor, " batch"]:
    """More than any single node can change the energy by, (batch,) float64."""
    around = torch.where(model.clamped, 0.0, model.unary.detach()).abs()
    for end in (0, 1):
        around.index_add_(1, model.edges[:, end], model.pairwise.detach().abs())
    return 4 * around.amax(dim=1) + 1e-30

"""The best mask within a limit on its pixels: a bound by penalties, repair, and proof."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask import ops
from mrfmask.inference.annealing import Annealing
from mrfmask.inference.auto import find_map_auto, merge_results
from mrfmask.inference.budget import Limit, penalised
from mrfmask.inference.graph_cut import cuttable_images
from mrfmask.inference.ilp import Ilp
from mrfmask.inference.lagrange import (
    Dual,
    PenaltyCertificate,
    dual_by_cuts,
    dual_by_forests,
    dual_by_path,
)
from mrfmask.model import IsingGrid
from mrfmask.result import MapResult, Status

# A bound this close to the energy, relative to its size, is the minimum but for rounding.
PROVEN = 1e-9


def find_map_in_limit(model: IsingGrid, limit: Limit) -> MapResult:
    r"""A mask of low energy within the limit, and a bound on all such masks.

    With `at_most`, images whose best mask keeps the limit keep that mask. For the others its
    penalty is not negative, so that bounds for just the amount hold for less, too.
    """
    if not limit.at_most and len(model):
        return _find_map_at_limit(model, limit)
    best = find_map_auto(model, None)
    enough = limit.allows(best.mask)
    if enough.all():
        return best
    parts = []
    for images, solve in (
        (enough, lambda part, _: find_map_auto(part, None)),
        (~enough, _find_map_at_limit),
    ):
        index = images.nonzero().flatten()
        if len(index):
            parts.append((index, solve(model[index], limit[index])))
    return parts[0][1] if len(parts) == 1 else merge_results(parts)


def _find_map_at_limit(model: IsingGrid, limit: Limit) -> MapResult:
    r"""A mask of low energy that comes to the amount, and a bound on all such masks.

    ``min {E(x): x comes to k} >= max over penalties of min E(x) + penalty (what x comes to - k)``.
    Where couplings have one sign, cuts find the best penalty exactly, and a cut that hits k is
    optimal. Otherwise masks near k are repaired. For a number of pixels the cheapest are turned one
    by one, then pairs are swapped as long as that lowers the energy. For costs, where no mask may
    come to just k, those are turned that change the energy least for their cost, and exchanged as
    long as what they come to is at most k and the energy falls.

    Args:
        model: any signs; couplings of both signs get a weaker bound (`forest_bound`).
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
        (~cuttable, dual_by_forests),
    ):
        index = images.nonzero().flatten()
        if len(index):
            part, goal = (
                (model, limit) if len(index) == len(model) else (model[index], limit[index])
            )
            dual = dual_of(part, goal)
            starts = [dual.fewer, dual.more, part.unary > 0]
            if dual_of is dual_by_forests:
                charged = penalised(part, dual.penalty, goal)
                starts.append(Annealing().find_map(charged).mask)
            parts.append((index, _repaired(part, goal, dual, starts)))
    return parts[0][1] if len(parts) == 1 else merge_results(parts)


def close_by_ilp(
    model: IsingGrid,
    found: MapResult,
    limit: Limit,
    time_limit_s: float | None,
    solver: str,
) -> MapResult:
    """Goes on from `find_map_in_limit` with an integer program, for images not yet proven.

    Pixels that no better mask can have otherwise are taken out first. The program starts from the
    mask; the better of both bounds stays.
    """
    began = time.monotonic()
    open_images = [b for b, s in enumerate(found.status) if s is not Status.OPTIMAL]
    mask, bound = found.mask.clone(), found.lower_bound.clone()
    status = list(found.status)
    settled = torch.zeros_like(mask)
    if isinstance(found.certificate, PenaltyCertificate):
        cut = found.certificate.cut_mask
        settled = found.certificate.settled(model, found.gap) & ~model.clamped
        settled &= found.mask == cut  # or the rise is the gap itself, but for rounding
    for done, b in enumerate(open_images):
        one = slice(b, b + 1)
        part = model[one]
        if settled[one].any():
            part = part.clamp(on=settled[one] & cut[one], off=settled[one] & ~cut[one])
        seconds = None
        if time_limit_s is not None:
            left = time_limit_s - (time.monotonic() - began)
            seconds = max(left, 1e-3) / (len(open_images) - done)
        program = Ilp(solver=solver, time_limit_s=seconds, start=mask[one], limit=limit[one])
        result = program.find_map(part)
        mask[one] = result.mask
        # Masks that were taken out have more energy than the one at hand.
        proven = torch.minimum(result.lower_bound, found.energy[one])
        bound[one] = torch.maximum(bound[one], proven)
        status[b] = result.status[0]
    energy = model.energy(mask).detach()
    return replace(
        found,
        mask=mask,
        energy=energy,
        lower_bound=torch.minimum(bound, energy),
        status=tuple(status),
        method="ilp",
        certificate=None,
        stats={**found.stats, "settled": settled.sum(dim=(1, 2))},
    )


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
        else:
            masks.append(ops.keep_limit(*potentials, limit.cost, limit.amount, mask))
    energies = model.energy(torch.stack(masks, dim=1)).detach()
    energy, best = energies.min(dim=1)
    mask = torch.stack(masks, dim=1)[torch.arange(len(model), device=model.device), best]
    slack = PROVEN * (1.0 + energy.abs())
    proven = (energy - dual.lower_bound <= slack).tolist()
    return MapResult(
        mask=mask,
        energy=energy,
        lower_bound=dual.lower_bound,
        status=tuple(Status.OPTIMAL if p else Status.HEURISTIC for p in proven),
        method="lagrange",
        stats={"penalty": dual.penalty, "amount": limit.amount},
        certificate=dual.certificate,
    )

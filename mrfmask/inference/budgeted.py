"""The best mask with a given number of pixels on: a bound by penalties, repair, and proof."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mrfmask import ops
from mrfmask.inference.annealing import Annealing
from mrfmask.inference.auto import find_map_auto, merge_results
from mrfmask.inference.budget import penalised
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


def find_map_with_count(model: IsingGrid, counts: Int[Tensor, " batch"]) -> MapResult:
    r"""A mask of low energy with exactly `counts` pixels on, and a bound on all such masks.

    ``min {E(x): pixels on = k} >= max over penalties of min E(x) + penalty (pixels on - k)``. Where
    couplings have one sign, cuts find the best penalty exactly, and a cut that hits k is optimal.
    Otherwise masks near k are repaired: the cheapest pixels are turned one by one, then pairs are
    swapped as long as that lowers the energy.

    Args:
        model: any signs; couplings of both signs get a weaker bound (`forest_bound`).
        counts: (batch,) int64, possible for the clamps, see `budget_counts`.

    Returns:
        status OPTIMAL where the gap is rounding, else HEURISTIC.
    """
    cuttable = cuttable_images(model)
    associative = (model.right >= 0).flatten(1).all(dim=1) & (model.down >= 0).flatten(1).all(dim=1)
    parts = []
    for images, dual_of in (
        (associative, dual_by_path),
        (cuttable & ~associative, dual_by_cuts),
        (~cuttable, dual_by_forests),
    ):
        index = images.nonzero().flatten()
        if len(index):
            part = model if len(index) == len(model) else model[index]
            dual = dual_of(part, counts[index])
            starts = [dual.fewer, dual.more, part.unary > 0]
            if dual_of is dual_by_forests:
                charged = penalised(part, dual.penalty, counts[index])
                starts.append(Annealing().find_map(charged).mask)
            parts.append((index, _repaired(part, counts[index], dual, starts)))
    return parts[0][1] if len(parts) == 1 else merge_results(parts)


def find_map_at_most(model: IsingGrid, counts: Int[Tensor, " batch"]) -> MapResult:
    """A mask of low energy with at most `counts` pixels on, and a bound on all such masks.

    Images whose best mask has no more keep it. For the others the best penalty is positive, so the
    bound of `find_map_with_count` holds for fewer pixels, too; masks with fewer pixels are not
    looked for.
    """
    best = find_map_auto(model, None)
    enough = best.mask.sum(dim=(1, 2)) <= counts
    if enough.all():
        return best
    parts = []
    for images, solve in (
        (enough, lambda part, _: find_map_auto(part, None)),
        (~enough, find_map_with_count),
    ):
        index = images.nonzero().flatten()
        if len(index):
            parts.append((index, solve(model[index], counts[index])))
    return parts[0][1] if len(parts) == 1 else merge_results(parts)


def close_by_ilp(
    model: IsingGrid,
    found: MapResult,
    counts: Int[Tensor, " batch"],
    time_limit_s: float | None,
    solver: str,
) -> MapResult:
    """Goes on from `find_map_with_count` with an integer program, for images not yet proven.

    Pixels that no better mask can have otherwise are taken out first. The program starts from the
    mask; the better of both bounds stays.
    """
    began = time.monotonic()
    open_images = [b for b, s in enumerate(found.status) if s is not Status.OPTIMAL]
    mask, bound = found.mask.clone(), found.lower_bound.clone()
    status = list(found.status)
    settled = torch.zeros_like(mask)
    if isinstance(found.certificate, PenaltyCertificate):
        settled = found.certificate.settled(model, found.gap) & ~model.clamped
        cut = found.certificate.cut_mask
    for done, b in enumerate(open_images):
        one = slice(b, b + 1)
        part = model[one]
        if settled[one].any():
            part = part.clamp(on=settled[one] & cut[one], off=settled[one] & ~cut[one])
        seconds = None
        if time_limit_s is not None:
            left = time_limit_s - (time.monotonic() - began)
            seconds = max(left, 1e-3) / (len(open_images) - done)
        program = Ilp(solver=solver, time_limit_s=seconds, start=mask[one], count=[int(counts[b])])
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
    counts: Int[Tensor, " batch"],
    dual: Dual,
    starts: list[Bool[Tensor, "batch height width"]],
) -> MapResult:
    """The best of several masks brought to the count, with the bound of the dual."""
    masks = [
        ops.reach_count(
            model.unary.detach(),
            model.right.detach(),
            model.down.detach(),
            model.periodic,
            counts,
            torch.where(model.clamped, model.unary > 0, start),
        )
        for start in starts
    ]
    energies = model.energy(torch.stack(masks, dim=1)).detach()
    energy, best = energies.min(dim=1)
    mask = torch.stack(masks, dim=1)[torch.arange(len(model)), best]
    slack = PROVEN * (1.0 + energy.abs())
    proven = (energy - dual.lower_bound <= slack).tolist()
    return MapResult(
        mask=mask,
        energy=energy,
        lower_bound=dual.lower_bound,
        status=tuple(Status.OPTIMAL if p else Status.HEURISTIC for p in proven),
        method="lagrange",
        stats={"penalty": dual.penalty, "count": counts},
        certificate=dual.certificate,
    )

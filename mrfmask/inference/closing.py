"""From a mask and a bound to a proof: an integer program over the pixels that are not settled."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from mrfmask.graph import IsingGraph
from mrfmask.inference.budget import Limit
from mrfmask.inference.ilp import Ilp
from mrfmask.inference.lagrange_graph import advantage_in_limit
from mrfmask.inference.strips import strip_dual, sweeps_within
from mrfmask.ising import IsingModel
from mrfmask.result import MapResult, Status


def close_by_ilp(
    model: IsingModel,
    found: MapResult,
    limit: Limit | None,
    time_limit_s: float | None,
    solver: str = "HiGHS",
) -> MapResult:
    """Goes on from a mask and a bound with an integer program, for images not yet proven.

    Sites that no better mask can have otherwise, by `strip_dual`, or on a graph by
    `advantage_in_limit`, are taken out first. The program starts from the mask; the best of all
    bounds stays.
    """
    began = time.monotonic()
    open_images = [b for b, s in enumerate(found.status) if s is not Status.OPTIMAL]
    mask, bound = found.mask.clone(), found.lower_bound.clone()
    status = list(found.status)
    settled = torch.zeros_like(mask)
    if open_images:
        index = torch.tensor(open_images, device=model.device)
        wanted = None if limit is None else limit[index]
        proven, advantage = _advantage(model[index], wanted, time_limit_s)
        gap = (found.energy[index] - proven).reshape(-1, *[1] * (mask.dim() - 1))
        settled[index] = (advantage.abs() > gap) & ~model.clamped[index]
        bound[index] = torch.maximum(bound[index], proven)
    for done, b in enumerate(open_images):
        one = slice(b, b + 1)
        part = model[one]
        if settled[one].any():
            # Masks with other states there have more energy than this one, which has these.
            part = part.clamp(on=settled[one] & mask[one], off=settled[one] & ~mask[one])
            # Clamped pixels have no unaries; the bound is to be one of the model's energy.
            missing = found.energy[one] - part.energy(mask[one]).detach()
            part = replace(part, constant=part.constant + missing)
        seconds = None
        if time_limit_s is not None:
            left = time_limit_s - (time.monotonic() - began)
            seconds = max(left, 1e-3) / (len(open_images) - done)
        wanted = None if limit is None else limit[one]
        program = Ilp(solver=solver, time_limit_s=seconds, start=mask[one], limit=wanted)
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
        stats={**found.stats, "settled": settled.flatten(1).sum(dim=1)},
    )


def _advantage(
    model: IsingModel, limit: Limit | None, time_limit_s: float | None
) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch ..."]]:
    """A lower bound, and what masks with another state of a site have more, as in StripDual."""
    if isinstance(model, IsingGraph):
        return advantage_in_limit(model, limit)
    dual = strip_dual(model, limit, sweeps=sweeps_within(time_limit_s, model))
    return dual.lower_bound, dual.advantage

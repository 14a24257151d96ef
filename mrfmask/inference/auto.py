"""The method for each image of a batch: what is exact for it, else what gives a good mask."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Int
from torch import Tensor

from mrfmask.graph import IsingGraph
from mrfmask.inference.annealing import Annealing
from mrfmask.inference.auto_graph import find_map_frustrated
from mrfmask.inference.closing import close_by_ilp
from mrfmask.inference.exact import Exact, solvable_images
from mrfmask.inference.graph_cut import GraphCut, cuttable_images
from mrfmask.inference.on_graph import map_on_graph
from mrfmask.inference.part_certificates import PartCertificates
from mrfmask.inference.strips import Strips, proven_status, sweeps_within
from mrfmask.ising import IsingModel
from mrfmask.model import IsingGrid
from mrfmask.result import MapResult, Status


def find_map_auto(model: IsingModel, time_limit_s: float | None) -> MapResult:
    """The MAP of every image by the method that suits it; each image as if it came alone."""
    if isinstance(model, IsingGrid) and model.has_diagonals:
        return map_on_graph(partial(find_map_auto, time_limit_s=time_limit_s), model)
    GraphCut().check_model(model)
    cuttable = cuttable_images(model)
    solvable = solvable_images(model) & ~cuttable
    rest = ~(cuttable | solvable)
    if isinstance(model, IsingGraph):
        balanced = "turning nodes round makes all couplings associative, so a minimum cut is exact"
        small = "tables over few nodes at a time go through all states"
        any_signs, frustrated = find_map_frustrated, "no cut is exact, and tables would be large"
    else:
        balanced = "its couplings have one sign, so a minimum cut is exact"
        small = "narrow enough, or few enough free pixels, to go through all states"
        any_signs, frustrated = _find_map_any, "couplings of both signs, many pixels"
    parts = []
    for solve, images, reason in (
        (GraphCut(), cuttable, balanced),
        (Exact(), solvable, small),
        (partial(any_signs, time_limit_s=time_limit_s), rest, frustrated),
    ):
        index = images.nonzero().flatten()
        if len(index) == len(model):
            return replace(solve(model), reason=reason)
        if len(index):
            parts.append((index, replace(solve(model[index]), reason=reason)))
    return merge_results(parts)


def _find_map_any(model: IsingGrid, time_limit_s: float | None) -> MapResult:
    """Strips; where they prove no mask optimal, annealing and, with a time limit, ilp go on."""
    began = time.monotonic()
    found = Strips(sweeps=sweeps_within(time_limit_s, model)).find_map(model)
    if Status.HEURISTIC not in found.status:
        return found
    unproven = [b for b, status in enumerate(found.status) if status is Status.HEURISTIC]
    other = Annealing().find_map(model[torch.tensor(unproven, device=model.device)])
    mask, energy = found.mask.clone(), found.energy.clone()
    for b, other_mask, other_energy in zip(unproven, other.mask, other.energy, strict=True):
        if other_energy < energy[b]:
            mask[b], energy[b] = other_mask, other_energy
    status = proven_status(model, energy, found.lower_bound)
    found = replace(found, mask=mask, energy=energy, status=status)
    if time_limit_s is None:
        return found
    left = time_limit_s - (time.monotonic() - began)
    return close_by_ilp(model, found, None, max(left, 1e-3))


def merge_results(parts: list[tuple[Int[Tensor, " images"], MapResult]]) -> MapResult:
    """One result from those of several sets of images, (their numbers, their result)."""
    order = torch.cat([index for index, _ in parts]).argsort()
    status = [one for _, result in parts for one in result.status]
    methods = [result.method for index, result in parts for _ in index]
    return MapResult(
        mask=torch.cat([result.mask for _, result in parts])[order],
        energy=torch.cat([result.energy for _, result in parts])[order],
        lower_bound=torch.cat([result.lower_bound for _, result in parts])[order],
        status=tuple(status[i] for i in order.tolist()),
        method=", ".join(result.method for _, result in parts),
        reason="; ".join(
            f"{result.method} for {len(index)} images: {result.reason}" for index, result in parts
        ),
        stats={
            "methods": tuple(methods[i] for i in order.tolist()),
            **{result.method: result.stats for _, result in parts},
        },
        certificate=PartCertificates([(index, result.certificate) for index, result in parts]),
    )

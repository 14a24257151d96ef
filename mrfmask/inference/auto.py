"""The method for each image of a batch: what is exact for it, else what gives a good mask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.inference.annealing import Annealing
from mrfmask.inference.exact import Exact, solvable_images
from mrfmask.inference.graph_cut import GraphCut, cuttable_images
from mrfmask.inference.ilp import Ilp
from mrfmask.inference.method import Method
from mrfmask.model import IsingGrid
from mrfmask.result import Certificate, MapResult


def find_map_auto(model: IsingGrid, time_limit_s: float | None) -> MapResult:
    """The MAP of every image by the method that suits it; each image as if it came alone."""
    GraphCut().check_model(model)
    cuttable = cuttable_images(model)
    solvable = solvable_images(model) & ~cuttable
    rest = ~(cuttable | solvable)
    fallback, why = _fallback(time_limit_s)
    parts = []
    for method, images, reason in (
        (GraphCut(), cuttable, "its couplings have one sign, so a minimum cut is exact"),
        (Exact(), solvable, "narrow enough, or few enough free pixels, to go through all states"),
        (fallback, rest, why),
    ):
        index = images.nonzero().flatten()
        if len(index) == len(model):
            return replace(method.find_map(model), reason=reason)
        if len(index):
            parts.append((index, replace(method.find_map(model[index]), reason=reason)))
    return merge_results(parts)


def _fallback(time_limit_s: float | None) -> tuple[Method, str]:
    """What takes couplings of both signs, and why it was chosen."""
    if time_limit_s is not None:
        return Ilp(time_limit_s=time_limit_s), "couplings of both signs, and a time limit was given"
    return Annealing(), "couplings of both signs and too many pixels for exact: no proof"


@dataclass(frozen=True)
class _Certificates:
    """The certificates of parts of a batch; parts without one count as proven."""

    parts: list[tuple[Int[Tensor, " images"], Certificate | None]]

    def proves(
        self,
        model: Any,
        mask: Bool[Tensor, "batch height width"],
        lower_bound: Float[Tensor, " batch"],
    ) -> bool:
        return all(
            certificate is None or certificate.proves(model[i], mask[i], lower_bound[i])
            for i, certificate in self.parts
        )


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
        certificate=_Certificates([(index, result.certificate) for index, result in parts]),
    )

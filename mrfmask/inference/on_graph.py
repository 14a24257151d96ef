"""Answers for a grid from those for the same model as a graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.graph import IsingGraph
from mrfmask.model import IsingGrid
from mrfmask.result import Certificate, MapResult, Marginals, Samples


@dataclass(frozen=True)
class _GraphCertificate:
    """The certificate of a graph, for the grid that the graph was made of."""

    certificate: Certificate

    def proves(
        self,
        model: Any,
        mask: Bool[Tensor, "batch height width"],
        lower_bound: Float[Tensor, " batch"],
    ) -> bool:
        return self.certificate.proves(model.as_graph(), mask.flatten(1), lower_bound)


def map_on_graph(find_map: Callable[[IsingGraph], MapResult], grid: IsingGrid) -> MapResult:
    """What `find_map` finds for the grid as a graph, as a result for the grid."""
    found = find_map(grid.as_graph())
    certificate = found.certificate and _GraphCertificate(found.certificate)
    mask = found.mask.reshape(grid.shape)
    # In the grid's order of summation, to the last bit.
    return replace(found, mask=mask, energy=grid.energy(mask).detach(), certificate=certificate)


def marginals_on_graph(marginals: Callable[[IsingGraph], Marginals], grid: IsingGrid) -> Marginals:
    """What `marginals` gives for the grid as a graph, as marginals of the grid."""
    found = marginals(grid.as_graph())
    couplings = grid.couplings
    pairs = found.pairwise.split([values.shape[1:].numel() for values in couplings.values()], dim=1)
    named = {
        name: part.reshape(values.shape)
        for (name, values), part in zip(couplings.items(), pairs, strict=True)
    }
    return replace(found, probability=found.probability.reshape(grid.shape), pairwise=None, **named)


def samples_on_graph(sample: Callable[[IsingGraph], Samples], grid: IsingGrid) -> Samples:
    """What `sample` draws for the grid as a graph, as samples of the grid."""
    found = sample(grid.as_graph())
    chains = (*found.masks.shape[:2], *grid.shape[1:])
    return replace(
        found,
        masks=found.masks.reshape(chains),
        counts=found.counts.reshape(chains),
        mean=found.mean.reshape(grid.shape),
    )

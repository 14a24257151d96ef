"""Answers for a grid from those for the same model as a graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.graph import IsingGraph
from mrfmask.model import IsingGrid
from mrfmask.result import Certificate, MapResult, Marginals


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
    # Sums in another order differ in their last digits.
    return replace(found, mask=mask, energy=grid.energy(mask).detach(), certificate=certificate)


def marginals_on_graph(marginals: Callable[[IsingGraph], Marginals], grid: IsingGrid) -> Marginals:
    """What `marginals` gives for the grid as a graph, as marginals of the grid."""
    found = marginals(grid.as_graph())
    pairs = found.pairwise.split([grid.right.shape[1:].numel(), grid.down.shape[1:].numel()], dim=1)
    return replace(
        found,
        probability=found.probability.reshape(grid.shape),
        right=pairs[0].reshape(grid.right.shape),
        down=pairs[1].reshape(grid.down.shape),
        pairwise=None,
    )

"""Masking methods by name: from pictures, and the depths bought so far, to the next to buy."""

from __future__ import annotations

from mrfmask.depth.masking.density import IsingDensity, Prior
from mrfmask.depth.masking.fixed import Everything, Nothing
from mrfmask.depth.masking.grid import GRIDS
from mrfmask.depth.masking.masking import Masking, View, first_view
from mrfmask.depth.masking.selected import SELECTED

# The one registry: training, commands, tests and benchmarks read it.
MASKINGS: dict[str, type[Masking]] = {
    masking.name: masking
    for masking in (Nothing, Everything, *SELECTED, Prior, *GRIDS, IsingDensity)
}

__all__ = ["MASKINGS", "Masking", "View", "first_view"]

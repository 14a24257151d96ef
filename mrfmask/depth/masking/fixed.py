"""Masking methods that are the bounds of all others: nothing bought, everything bought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool
from torch import Tensor

from mrfmask.depth.masking.masking import Masking, View


@dataclass(frozen=True, kw_only=True)
class Nothing(Masking):
    """Buys nothing, whatever the budget; what was taken stays."""

    name: ClassVar = "none"
    budgeted: ClassVar = False

    def _choose(self, view: View, count: int) -> Bool[Tensor, "batch height width"]:
        return view.taken


@dataclass(frozen=True, kw_only=True)
class Everything(Masking):
    """Buys all that is valid, whatever the budget."""

    name: ClassVar = "full"
    budgeted: ClassVar = False

    def _choose(self, view: View, count: int) -> Bool[Tensor, "batch height width"]:
        return view.valid

"""The pixels of highest score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool

from mrfmask.select.budget import Request
from mrfmask.select.selector import Selector, take_in_order


@dataclass(frozen=True, kw_only=True, eq=False)
class TopK(Selector):
    """The highest scores; of equal ones the first in reading order. Nothing keeps picks apart.

    With costs, each pixel in order of its score that still fits.

    Example:
        >>> import torch, mrfmask as mm
        >>> mm.select(torch.tensor([[[0.1, 0.7, 0.3]]]), "top_k", budget=2)
        tensor([[[False,  True,  True]]])
    """

    name: ClassVar = "top_k"
    uses: ClassVar = frozenset({"scores", "cost"})

    def _choose_one(self, request: Request) -> Bool[np.ndarray, "height width"]:
        pixels = np.flatnonzero(request.free)
        order = np.argsort(-request.scores.reshape(-1)[pixels], kind="stable")
        return take_in_order(request, pixels[order])

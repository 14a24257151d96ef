"""A flow on a grid as a proof of a lower bound, checked as one on its graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.inference.graph_flow_certificate import GraphFlowCertificate


@dataclass(frozen=True, kw_only=True, eq=False)
class FlowCertificate:
    r"""Flows on the couplings that prove a cut minimal, on the integers that the solver used.

    For flows within the capacities, ``|f_ij| <= c_ij``, every mask y in {0, 1} has ``sum u_i y_i +
    sum c_ij |y_i - y_j| >= sum u_i y_i + sum f_ij (y_i - y_j) >= sum_i min(0, u_i + out_i)``, where
    ``out_i`` is the net flow out of pixel i: what one pixel loses another gains, and the terminals
    take the rest. The cut is minimal if its own cost equals this value of the flow (max-flow
    min-cut). The check starts from the model's potentials and rounds them again, so nothing of the
    solver is trusted but the flow itself.

    Attributes:
        exponent: (batch,) potentials were multiplied by ``2 ** exponent`` and rounded.
        right: net flow from each pixel to its right neighbour, shaped like the model's `right`.
        down: net flow to the pixel below, shaped like the model's `down`.
        flipped: (batch,), images whose every second pixel was turned round first (repulsive).
        mask: (batch, height, width), the cut: source side on, before turning back.

    Reference:
        Ford and Fulkerson, "Maximal flow through a network", 1956.
    """

    exponent: Int[Tensor, " batch"]
    right: Int[Tensor, "batch height width-1"]
    down: Int[Tensor, "batch height-1 width"]
    flipped: Bool[Tensor, " batch"]
    mask: Bool[Tensor, "batch height width"]

    def proves(
        self,
        model: Any,
        mask: Bool[Tensor, "batch height width"],
        lower_bound: Float[Tensor, " batch"],
    ) -> bool:
        """True if flow and cut fit the model, prove the bound, and the cut is the mask."""
        _, height, width = model.shape
        rows = torch.arange(height, device=self.mask.device)[:, None]
        odd = (rows + torch.arange(width, device=self.mask.device)) % 2 == 1
        cut = GraphFlowCertificate(
            exponent=self.exponent,
            flow=torch.cat([self.right.flatten(1), self.down.flatten(1)], dim=1),
            turned=odd.flatten() & self.flipped[:, None],
            mask=self.mask.flatten(1),
        )
        return cut.proves(model.as_graph(), mask.flatten(1), lower_bound)

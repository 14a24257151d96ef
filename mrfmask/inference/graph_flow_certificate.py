"""A flow on a graph as a proof of a lower bound, checked in integers apart from the solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.inference.certificate_scale import certificate_scale


@dataclass(frozen=True, kw_only=True, eq=False)
class GraphFlowCertificate:
    r"""Flows on the edges that prove a cut minimal; the argument is that of `FlowCertificate`.

    Attributes:
        exponent: (batch,) potentials were multiplied by ``2 ** exponent`` and rounded.
        flow: net flow of every edge from its first node to its second.
        turned: nodes that were turned round first, so that no coupling is negative.
        mask: the cut, source side on, before turning back.
    """

    exponent: Int[Tensor, " batch"]
    flow: Int[Tensor, "batch edges"]
    turned: Bool[Tensor, "batch nodes"]
    mask: Bool[Tensor, "batch nodes"]

    def proves(
        self,
        model: Any,
        mask: Bool[Tensor, "batch nodes"],
        lower_bound: Float[Tensor, " batch"],
    ) -> bool:
        """True if flow and cut fit the model, prove the bound, and the cut is the mask."""
        if model.pairwise.shape != self.flow.shape or model.unary.shape != self.mask.shape:
            return False
        return all(
            self._model_proves(model[b], b, mask[b].cpu().numpy(), float(lower_bound[b]))
            for b in range(len(model))
        )

    def _model_proves(self, model: Any, b: int, mask: np.ndarray, lower_bound: float) -> bool:
        turned, on = self.turned[b].cpu().numpy(), self.mask[b].cpu().numpy()
        if not np.array_equal(mask, on ^ turned):
            return False
        first, second = model.edges.cpu().numpy().T
        signs = np.where(turned, -1.0, 1.0)
        unary = model.unary[0].detach().cpu().double().numpy() * signs
        pairwise = model.pairwise[0].detach().cpu().double().numpy()
        pairwise = pairwise * signs[first] * signs[second]
        clamped = np.isinf(unary)
        finite = np.where(clamped, 0.0, unary)
        scale = certificate_scale(int(self.exponent[b]), finite, pairwise)
        if scale is None:
            return False
        flow = self.flow[b].cpu().numpy().astype(np.int64)
        capacity = np.rint(pairwise * scale).astype(np.int64)
        # Not |flow|: the lowest integer has none.
        if ((flow > capacity) | (flow < -capacity)).any():
            return False

        cost_on = np.rint(-finite * scale).astype(np.int64)
        # A clamp is a terminal stronger than all couplings of its node together.
        around = np.zeros(len(unary), dtype=np.int64)
        np.add.at(around, first, capacity)
        np.add.at(around, second, capacity)
        cost_on = np.where(clamped, -np.sign(unary).astype(np.int64) * (around + 1), cost_on)
        reduced = cost_on.copy()
        np.add.at(reduced, first, flow)
        np.subtract.at(reduced, second, flow)
        minimum = np.minimum(reduced, 0).sum()
        cut = cost_on[on].sum() + capacity[on[first] != on[second]].sum()
        if minimum != cut or (clamped & (on != (unary > 0))).any():
            return False

        # Clamped unaries count 0 in the energy, not what their terminals made of them.
        minimum -= np.where(clamped, np.minimum(cost_on, 0), 0).sum()
        rounding = np.abs(np.where(clamped, 0, cost_on) + finite * scale).sum()
        rounding += np.abs(capacity - pairwise * scale).sum()
        base = float(model.constant[0]) + finite.sum() - pairwise.sum()
        proven = base + 2 * (float(minimum) - rounding) / scale
        size = np.abs(finite).sum() + np.abs(pairwise).sum()
        return lower_bound <= proven + 1e-12 * (1.0 + size + abs(base))

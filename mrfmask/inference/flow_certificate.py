"""A flow as a proof of a lower bound, checked in NumPy integers apart from the solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor


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
        return all(
            self._image_proves(model[b : b + 1], b, mask[b].cpu().numpy(), float(lower_bound[b]))
            for b in range(len(model))
        )

    def _image_proves(self, model: Any, b: int, mask: np.ndarray, lower_bound: float) -> bool:
        turned = -1.0 if self.flipped[b] else 1.0
        odd = np.indices(mask.shape).sum(axis=0) % 2 == 1
        on = self.mask[b].cpu().numpy()
        if not np.array_equal(mask, np.where(odd & bool(self.flipped[b]), ~on, on)):
            return False
        unary = model.unary[0].detach().cpu().double().numpy() * np.where(odd, turned, 1.0)
        right = model.right[0].detach().cpu().double().numpy() * turned
        down = model.down[0].detach().cpu().double().numpy() * turned
        scale = np.ldexp(1.0, int(self.exponent[b]))
        flow_right = self.right[b].cpu().numpy().astype(np.int64)
        flow_down = self.down[b].cpu().numpy().astype(np.int64)
        cap_right, cap_down = (np.rint(2 * c * scale).astype(np.int64) for c in (right, down))
        if (np.abs(flow_right) > cap_right).any() or (np.abs(flow_down) > cap_down).any():
            return False

        clamped = np.isinf(unary)
        cost_on = np.rint(-2 * np.where(clamped, 0.0, unary) * scale).astype(np.int64)
        # A clamp is a terminal stronger than all couplings of its pixel together.
        around = _node_sums(cap_right, cap_down)
        cost_on = np.where(clamped, -np.sign(unary).astype(np.int64) * (around + 1), cost_on)
        reduced = cost_on + _divergence(flow_right, flow_down, unary.shape)
        minimum = np.minimum(reduced, 0).sum()

        cut = cost_on[on].sum()
        cut += cap_right[on[:, : cap_right.shape[1]] != _next(on, 1, cap_right)].sum()
        cut += cap_down[on[: cap_down.shape[0]] != _next(on, 0, cap_down)].sum()
        if minimum != cut or (clamped & (on != (unary > 0))).any():
            return False

        # Clamped unaries count 0 in the energy, not what their terminals made of them.
        minimum -= np.where(clamped, np.minimum(cost_on, 0), 0).sum()
        exact = -2 * np.where(clamped, 0.0, unary) * scale
        rounding = np.abs(np.where(clamped, 0, cost_on) - exact).sum()
        rounding += np.abs(cap_right - 2 * right * scale).sum()
        rounding += np.abs(cap_down - 2 * down * scale).sum()
        base = float(model.constant[0]) + np.where(clamped, 0.0, unary).sum()
        base -= right.sum() + down.sum()
        proven = base + (float(minimum) - rounding) / scale
        size = (
            np.abs(np.where(clamped, 0.0, unary)).sum() + np.abs(right).sum() + np.abs(down).sum()
        )
        return lower_bound <= proven + 1e-12 * (1.0 + size + abs(base))


def _next(on: np.ndarray, axis: int, coupling: np.ndarray) -> np.ndarray:
    """The state of the pixel that each coupling along `axis` leads to."""
    rolled = np.roll(on, -1, axis=axis)
    return rolled[:, : coupling.shape[1]] if axis == 1 else rolled[: coupling.shape[0]]


def _divergence(right: np.ndarray, down: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Net flow out of every pixel."""
    out = np.zeros(shape, dtype=np.int64)
    for flow, axis in ((right, 1), (down, 0)):
        padded = np.zeros(shape, dtype=np.int64)
        padded[: flow.shape[0], : flow.shape[1]] = flow
        out += padded - np.roll(padded, 1, axis=axis)
    return out


def _node_sums(right: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Sum of the capacities of the couplings of every pixel."""
    shape = (right.shape[0], down.shape[1])
    out = np.zeros(shape, dtype=np.int64)
    for capacity, axis in ((right, 1), (down, 0)):
        padded = np.zeros(shape, dtype=np.int64)
        padded[: capacity.shape[0], : capacity.shape[1]] = capacity
        out += padded + np.roll(padded, 1, axis=axis)
    return out

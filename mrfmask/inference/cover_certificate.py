"""A flow on the double cover of a graph as a proof, checked in NumPy integers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.inference.certificate_scale import certificate_scale


@dataclass(frozen=True, kw_only=True, eq=False)
class CoverCertificate:
    r"""Flows that prove a lower bound of `roof_dual` and its labels.

    The double cover has the nodes i and i'. For flows within the capacities every mask y of it has
    ``sum u_v y_v + sum c_vw |y_v - y_w| >= sum_v min(0, u_v + out_v)``, where ``out_v`` is the net
    flow out of v. The labels are proven if the nodes that should be on, the images of those that
    should be off, and nothing else make this an equality: then they are a minimum cut. Combining it
    with any mask of the model and the image of the cut gives a mask with these labels that has no
    more energy. The check rounds the model's potentials again, so nothing of the solver is trusted
    but the flow itself. It does not check which labels all minimisers share.

    Attributes:
        exponent: (batch,) potentials were multiplied by ``2 ** (exponent + 1)`` and rounded.
        flow: (batch, 2, pairs) net flow from the first, smaller node of each pair of coupled nodes
            (in rising order) to the second, to its image for couplings below 0, and from the image
            of the first to the other.
        on: (batch, nodes) labelled on.
        off: (batch, nodes) labelled off.

    Reference:
        Boros and Hammer, "Pseudo-Boolean optimization", Discrete Applied Mathematics 2002.
    """

    exponent: Int[Tensor, " batch"]
    flow: Int[Tensor, "batch 2 pairs"]
    on: Bool[Tensor, "batch nodes"]
    off: Bool[Tensor, "batch nodes"]

    def __getitem__(self, models: Int[Tensor, " models"]) -> CoverCertificate:
        """The certificate of some of the models."""
        values = {field.name: getattr(self, field.name)[models] for field in fields(self)}
        return CoverCertificate(**values)

    def proves(
        self,
        model: Any,
        mask: Bool[Tensor, "batch nodes"],
        lower_bound: Float[Tensor, " batch"],
    ) -> bool:
        """True if the flow fits the model, proves bound and labels, and the mask has the labels."""
        ends = np.sort(model.edges.cpu().numpy(), axis=1).reshape(-1, 2)
        pairs, pair_of = np.unique(ends, axis=0, return_inverse=True)
        if self.flow.shape != (len(model), 2, len(pairs)) or self.on.shape != model.unary.shape:
            return False
        return all(
            self._model_proves(
                model[b], b, (pairs, pair_of.reshape(-1)), mask[b].cpu().numpy(), lower_bound[b]
            )
            for b in range(len(model))
        )

    def _model_proves(
        self,
        model: Any,
        b: int,
        graph: tuple[np.ndarray, np.ndarray],
        mask: np.ndarray,
        lower_bound: Float[Tensor, ""],
    ) -> bool:
        on, off = self.on[b].cpu().numpy(), self.off[b].cpu().numpy()
        if (on & ~mask).any() or (off & mask).any():
            return False
        pairs, pair_of = graph
        unary = model.unary[0].detach().cpu().double().numpy()
        pairwise = model.pairwise[0].detach().cpu().double().numpy()
        clamped = np.isinf(unary)
        free = np.where(clamped, 0.0, unary)
        scale = certificate_scale(int(self.exponent[b]), free, pairwise)
        if scale is None:
            return False
        field, edge = (np.rint(t * scale).astype(np.int64) for t in (free, pairwise))
        rounding = np.abs(field - free * scale).sum() + np.abs(edge - pairwise * scale).sum()
        coupling = np.zeros(len(pairs), dtype=np.int64)
        np.add.at(coupling, pair_of, edge)
        capacity = np.abs(coupling)
        # A clamp is stronger than all couplings of its node together.
        around = np.zeros(len(unary), dtype=np.int64)
        np.add.at(around, pairs, capacity[:, None])
        field = np.where(clamped, np.sign(unary).astype(np.int64) * (around + 1), field)

        nodes, crosses = len(unary), coupling < 0
        first = np.stack([pairs[:, 0], pairs[:, 0] + nodes])
        second = np.stack([pairs[:, 1], pairs[:, 1] + nodes])
        second = np.where(crosses, second[::-1], second)
        flow = self.flow[b].cpu().numpy().astype(np.int64)
        # Not |flow|: the lowest integer has none.
        if ((flow > capacity) | (flow < -capacity)).any():
            return False
        cost_on = np.concatenate([-field, field])
        reduced = cost_on.copy()
        np.add.at(reduced, first, flow)
        np.subtract.at(reduced, second, flow)
        minimum = np.minimum(reduced, 0).sum()

        source = np.concatenate([on, off])
        cut = cost_on[source].sum()
        cut += (capacity * (source[first] != source[second])).sum()
        if cut != minimum or (clamped & (on != (unary > 0))).any():
            return False
        if (clamped & (off != (unary < 0))).any():
            return False
        # Clamped unaries count 0 in the energy, not what their terminals made of them.
        minimum += np.abs(field[clamped]).sum() - capacity.sum()
        constant = float(model.constant[0])
        proven = constant + (float(minimum) - rounding) / scale
        size = np.abs(free).sum() + np.abs(pairwise).sum()
        return float(lower_bound) <= proven + 1e-12 * (1.0 + size + abs(constant))

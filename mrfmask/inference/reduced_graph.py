"""A graph model without the nodes whose states are settled."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mrfmask.graph import IsingGraph


@dataclass(frozen=True, kw_only=True, eq=False)
class ReducedGraph:
    """What is left of one model, and the way back.

    Attributes:
        model: a batch of one, float64, on the nodes that are left; its energies are those of the
            whole model with the settled states, up to rounding of the sums in float64.
        nodes: (left,) int64, their numbers in the whole model, rising.
        settled: (1, nodes) bool, a mask of the whole model with the settled states.
    """

    model: IsingGraph
    nodes: Int[Tensor, " left"]
    settled: Bool[Tensor, "1 nodes"]

    def whole(self, mask: Bool[Tensor, "1 left"]) -> Bool[Tensor, "1 nodes"]:
        """The mask of the whole model that has this one on the nodes that are left."""
        full = self.settled.clone()
        full[:, self.nodes] = mask
        return full


def reduce_graph(
    model: IsingGraph, settled: Bool[Tensor, "1 nodes"], mask: Bool[Tensor, "1 nodes"]
) -> ReducedGraph:
    """One model with some nodes' states folded into fields and constant.

    Args:
        model: a batch of one.
        settled: True where the state is given. Clamped nodes are settled anyway, and at least one
            node must not be.
        mask: states of the settled nodes.
    """
    settled = settled | model.clamped
    mask = torch.where(model.clamped, model.unary > 0, mask)
    left = ~settled[0]
    nodes = left.nonzero().flatten()
    x = torch.where(mask, 1.0, -1.0).double() * settled
    unary, pairwise = model.unary.detach().double(), model.pairwise.detach().double()
    first, second = model.edges[:, 0], model.edges[:, 1]
    constant = model.constant.detach() - (x * unary.masked_fill(model.clamped, 0.0)).sum(dim=1)
    # x is 0 at nodes that are left, so this takes in pairs of settled nodes only.
    constant = constant - (pairwise * x[:, first] * x[:, second]).sum(dim=1)
    field = unary.index_add(1, first, pairwise * x[:, second])
    field.index_add_(1, second, pairwise * x[:, first])
    kept = left[first] & left[second]
    number = left.cumsum(dim=0) - 1
    return ReducedGraph(
        model=IsingGraph(field[:, nodes], number[model.edges[kept]], pairwise[:, kept], constant),
        nodes=nodes,
        settled=mask,
    )

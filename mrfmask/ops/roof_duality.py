"""The operator of roof duality: bounds and persistent states of models on any graph."""

from __future__ import annotations

import torch
from torch import Tensor

from mrfmask import _native
from mrfmask.ops.library import as_numpy, on_cpu, on_cuda, shapes_of, through_host


@on_cpu
def qpbo(
    unary: Tensor, pairwise: Tensor, pair_of: Tensor, first: Tensor, second: Tensor, wide: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The minimum cut of the double cover of every model, float32 or float64.

    Args:
        unary: (batch, nodes).
        pairwise: (batch, edges).
        pair_of: (edges,) int64, number of the pair of nodes that each edge joins.
        first: (pairs,) int64, one node of every pair.
        second: (pairs,) int64, the other one.
        wide: 64-bit capacities, else 32-bit.

    Returns:
        (batch, nodes) bool: nodes on in the labelling, off in it, labelled in all minimisers, and a
        mask with these labels. Net flows (batch, 2, pairs) int32 or int64, from the first node of
        each pair and from its image; exponent of the scale (batch,) int64; lower bound of the
        energy without the model's constant (batch,) float64, and what it lost by rounding, float64.
    """
    outputs = _outputs(unary, first, wide)
    inputs = (unary, pairwise, pair_of, first, second)
    _native.qpbo(*(as_numpy(t) for t in (*inputs, *outputs)), torch.get_num_threads())
    return outputs


@shapes_of(qpbo)
def _(unary, pairwise, pair_of, first, second, wide):
    return _outputs(unary, first, wide)


def _outputs(unary: Tensor, first: Tensor, wide: bool) -> tuple[Tensor, ...]:
    batch = unary.shape[0]
    shapes = (*[unary.shape] * 4, (batch, 2, first.shape[0]), *[(batch,)] * 3)
    flow = torch.int64 if wide else torch.int32
    kinds = (*[torch.bool] * 4, flow, torch.int64, torch.float64, torch.float64)
    return tuple(unary.new_empty(s, dtype=k) for s, k in zip(shapes, kinds, strict=True))


@on_cuda("qpbo")
def _(unary, *arguments):
    return through_host(qpbo, unary, *arguments)

"""The native search of `LongRange` as a torch operator; the others are in mrfmask/ops."""

from __future__ import annotations

import torch
from torch import Tensor

from mrfmask import _native
from mrfmask.ops.library import as_numpy, on_cpu, on_cuda, shapes_of, through_host


@on_cpu
def long_range(
    weight: Tensor, count: Tensor, state: Tensor, power: int, passes: int
) -> tuple[Tensor, Tensor]:
    """Pixels chosen under repulsion with a power of the distance.

    Args:
        weight: (batch, height, width) float64, positive, within e^-300..e^300.
        count: (batch,) int64, pixels to choose, at most as many as are free.
        state: (batch, height, width) uint8: 0 free, 2 taken, 3 forbidden.
        power: of the distance, 1..16.
        passes: most passes of swaps.

    Returns:
        state with 1 where a pixel was chosen; (batch, 5) float64: energy after insertion, energy,
        swaps, passes, 1 if the result is a local optimum.
    """
    state = state.clone(memory_format=torch.contiguous_format)
    stats = torch.empty(len(state), 5, dtype=torch.float64)
    weight, count, out, table = (as_numpy(t) for t in (weight, count, state, stats))
    _native.long_range(weight, count, power, passes, out, table, torch.get_num_threads())
    return state, stats


@shapes_of(long_range)
def _(weight, count, state, power, passes):
    same = torch.empty_like(state, memory_format=torch.contiguous_format)
    return same, weight.new_empty(len(state), 5)


@on_cuda("long_range")
def _(weight, *arguments):
    return through_host(long_range, weight, *arguments)

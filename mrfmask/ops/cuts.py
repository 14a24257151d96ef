"""Operators that cut: minimum cuts, paths of them, and masks brought to a count."""

from __future__ import annotations

import torch
from torch import Tensor

from mrfmask import _native
from mrfmask.ops.library import as_numpy, on_cpu, on_cuda, shapes_of, through_host


@on_cpu
def graph_cut(
    unary: Tensor,
    right: Tensor,
    down: Tensor,
    periodic: bool,
    start_right: Tensor | None,
    start_down: Tensor | None,
    start_mask: Tensor | None,
    start_exponent: Tensor | None,
    tie_max: bool,
    wide: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Minimum cuts of associative models, float32 or float64.

    Args:
        unary: (batch, height, width); `right` and `down` as in IsingGrid, none negative.
        right: couplings to the right.
        down: couplings down.
        periodic: whether they wrap around.
        start_right: net flows to start from, shaped like `right`, int32 or int64, or None for none
            at all; any will do, what exceeds the couplings is cut off.
        start_down: shaped like `down`, given if `start_right` is, as the next two.
        start_mask: (batch, height, width) bool, the cut that belonged to them.
        start_exponent: (batch,) int64, exponent of their scale.
        tie_max: the minimiser with the most pixels on, else the one with the fewest.
        wide: 64-bit capacities, else 32-bit.

    Returns:
        mask (batch, height, width) bool; exponent of the scale (batch,) int64; lower bound of the
        energy without the model's constant (batch,) float64, and what it lost by rounding, float64;
        net flows to the right and down, shaped like the couplings, int32 or int64.
    """
    outputs = _cut_outputs(unary, right, down, wide)
    start = (start_right, start_down, start_mask, start_exponent)
    if start_right is None:
        kinds = (outputs[-1].dtype, outputs[-1].dtype, torch.bool)
        start = (*(torch.empty(0, 0, 0, dtype=kind) for kind in kinds), outputs[1][:0])
    _native.graph_cut(
        *(as_numpy(t) for t in (unary, right, down)),
        periodic,
        *(as_numpy(t) for t in start),
        tie_max,
        *(as_numpy(t) for t in outputs),
        torch.get_num_threads(),
    )
    return outputs


@shapes_of(graph_cut)
def _(unary, right, down, *options):
    return _cut_outputs(unary, right, down, options[-1])


def _cut_outputs(unary: Tensor, right: Tensor, down: Tensor, wide: bool) -> tuple[Tensor, ...]:
    batch, flow = unary.shape[:1], torch.int64 if wide else torch.int32
    shapes = (unary.shape, batch, batch, batch, right.shape, down.shape)
    kinds = (torch.bool, torch.int64, torch.float64, torch.float64, flow, flow)
    return tuple(unary.new_empty(s, dtype=k) for s, k in zip(shapes, kinds, strict=True))


@on_cpu
def reach_count(
    unary: Tensor, right: Tensor, down: Tensor, periodic: bool, count: Tensor, start: Tensor
) -> Tensor:
    """Masks with given numbers of pixels on, of low energy: greedy flips, then swaps.

    Args:
        unary: (batch, height, width) float32 or float64; `right` and `down` as in IsingGrid.
        right: couplings to the right.
        down: couplings down.
        periodic: whether they wrap around.
        count: (batch,) int64, pixels on, clamped ones included; at least the pixels clamped on and
            at most those not clamped off.
        start: (batch, height, width) bool, masks to change, clamped pixels as they are clamped.

    Returns:
        (batch, height, width) bool, which no swap of two pixels betters.
    """
    mask = start.clone(memory_format=torch.contiguous_format)
    _native.reach_count(
        *(as_numpy(t) for t in (unary, right, down)),
        periodic,
        as_numpy(count),
        as_numpy(mask),
        torch.get_num_threads(),
    )
    return mask


@shapes_of(reach_count)
def _(unary, right, down, periodic, count, start):
    return torch.empty_like(start, memory_format=torch.contiguous_format)


@on_cpu
def keep_limit(
    unary: Tensor,
    right: Tensor,
    down: Tensor,
    periodic: bool,
    price: Tensor,
    limit: Tensor,
    start: Tensor,
) -> Tensor:
    """Masks whose pixels cost at most so much, of low energy: greedy flips, then exchanges.

    Args:
        unary: (batch, height, width) float32 or float64; `right` and `down` as in IsingGrid.
        right: couplings to the right.
        down: couplings down.
        periodic: whether they wrap around.
        price: (batch, height, width) int64, at least 1.
        limit: (batch,) int64, at least the price of the pixels clamped on, which count.
        start: (batch, height, width) bool, masks to change, clamped pixels as they are clamped.

    Returns:
        (batch, height, width) bool, which no pixel more or less and no swap of two neighbours
        within the limit betters.
    """
    mask = start.clone(memory_format=torch.contiguous_format)
    _native.keep_limit(
        *(as_numpy(t) for t in (unary, right, down)),
        periodic,
        as_numpy(price),
        as_numpy(limit),
        as_numpy(mask),
        torch.get_num_threads(),
    )
    return mask


@shapes_of(keep_limit)
def _(unary, right, down, periodic, price, limit, start):
    return torch.empty_like(start, memory_format=torch.contiguous_format)


@on_cpu
def budget_path(
    unary: Tensor, right: Tensor, down: Tensor, periodic: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The optimal masks for all penalties on pixels on, of associative models, float32 or float64.

    Args:
        unary: (batch, height, width); `right` and `down` as in IsingGrid, none negative.
        right: couplings to the right.
        down: couplings down.
        periodic: whether they wrap around.

    Returns:
        Masks of an image are numbered from 0, where only the pixels clamped on are on. order
        (batch, height, width) int32: number of the first mask with the pixel on, or how many masks
        there are; block, likewise: number of its connected component of equal order, -1 where it is
        clamped. By mask after the first, with a place for every pixel: penalty (batch, pixels)
        float64, the largest at which the mask is optimal, and drop (batch, pixels) int64, by how
        much its energy is below the previous one's, both in integer units. Numbers of masks
        (batch,) int64; exponent of the scale (batch,) int64; total rounding in integer units
        (batch,) float64.
    """
    outputs = _path_outputs(unary)
    arrays = (as_numpy(t) for t in (unary, right, down))
    _native.budget_path(*arrays, periodic, *(as_numpy(t) for t in outputs), torch.get_num_threads())
    return outputs


@shapes_of(budget_path)
def _(unary, right, down, periodic):
    return _path_outputs(unary)


def _path_outputs(unary: Tensor) -> tuple[Tensor, ...]:
    batch, height, width = unary.shape
    shapes = (unary.shape, unary.shape, *[(batch, height * width)] * 2, *[(batch,)] * 3)
    kinds = (torch.int32, torch.int32, torch.float64, *[torch.int64] * 3, torch.float64)
    return tuple(unary.new_zeros(s, dtype=k) for s, k in zip(shapes, kinds, strict=True))


@on_cuda("graph_cut")
def _(unary, *arguments):
    return through_host(graph_cut, unary, *arguments)


@on_cuda("keep_limit")
def _(unary, *arguments):
    return through_host(keep_limit, unary, *arguments)[0]


@on_cuda("budget_path")
def _(unary, *arguments):
    return through_host(budget_path, unary, *arguments)


@on_cuda("reach_count")
def _(unary, *arguments):
    return through_host(reach_count, unary, *arguments)[0]

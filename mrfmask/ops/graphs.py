"""Operators on models that share a graph: minimum cuts, gauges, and min-marginals."""

from __future__ import annotations

import torch
from torch import Tensor

from mrfmask import _native
from mrfmask.ops.library import as_numpy, on_cpu, on_cuda, shapes_of, through_host


@on_cpu
def cut_graph(
    unary: Tensor,
    edges: Tensor,
    pairwise: Tensor,
    start_flow: Tensor | None,
    start_mask: Tensor | None,
    start_exponent: Tensor | None,
    tie_max: bool,
    wide: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Minimum cuts of associative models on a graph, float32 or float64.

    Args:
        unary: (batch, nodes).
        edges: (edges, 2) int64, as in IsingGraph.
        pairwise: (batch, edges), none negative.
        start_flow: (batch, edges) int32 or int64, net flows to start from, or None for none at all;
            any will do, what exceeds the couplings is cut off.
        start_mask: (batch, nodes) bool, the cut that belonged to them; given if they are.
        start_exponent: (batch,) int64, exponent of their scale; likewise.
        tie_max: the minimiser with the most nodes on, else the one with the fewest.
        wide: 64-bit capacities, else 32-bit.

    Returns:
        mask (batch, nodes) bool; exponent of the scale (batch,) int64; lower bound of the energy
        without the model's constant (batch,) float64, and what it lost by rounding, float64; net
        flow of every edge from its first node to its second (batch, edges), int32 or int64.
    """
    outputs = _cut_outputs(unary, pairwise, wide)
    start = (start_flow, start_mask, start_exponent)
    if start_flow is None:
        kinds = (outputs[-1].dtype, torch.bool)
        start = (*(torch.empty(0, 0, dtype=kind) for kind in kinds), outputs[1][:0])
    _native.cut_graph(
        as_numpy(unary),
        as_numpy(edges.t()),
        as_numpy(pairwise),
        *(as_numpy(t) for t in start),
        tie_max,
        *(as_numpy(t) for t in outputs),
        torch.get_num_threads(),
    )
    return outputs


@shapes_of(cut_graph)
def _(unary, edges, pairwise, *options):
    return _cut_outputs(unary, pairwise, options[-1])


def _cut_outputs(unary: Tensor, pairwise: Tensor, wide: bool) -> tuple[Tensor, ...]:
    batch, flow = unary.shape[:1], torch.int64 if wide else torch.int32
    shapes = (unary.shape, batch, batch, batch, pairwise.shape)
    kinds = (torch.bool, torch.int64, torch.float64, torch.float64, flow)
    return tuple(unary.new_empty(s, dtype=k) for s, k in zip(shapes, kinds, strict=True))


@on_cpu
def gauge(unary: Tensor, edges: Tensor, pairwise: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes to turn round so that no coupling is negative.

    Args:
        unary: (batch, nodes), of which only the shape counts.
        edges: (edges, 2) int64, as in IsingGraph.
        pairwise: (batch, edges); couplings of 0 join nothing.

    Returns:
        turned (batch, nodes) bool, never the lowest node of a connected component; balanced
        (batch,) bool, False where no such nodes exist and `turned` means nothing.
    """
    outputs = _gauge_outputs(unary)
    _native.gauge(
        as_numpy(unary),
        as_numpy(edges.t()),
        as_numpy(pairwise),
        *(as_numpy(t) for t in outputs),
        torch.get_num_threads(),
    )
    return outputs


@shapes_of(gauge)
def _(unary, edges, pairwise):
    return _gauge_outputs(unary)


def _gauge_outputs(unary: Tensor) -> tuple[Tensor, Tensor]:
    return tuple(unary.new_empty(s, dtype=torch.bool) for s in (unary.shape, unary.shape[:1]))


@on_cpu
def min_marginals(
    unary: Tensor, edges: Tensor, pairwise: Tensor, sites: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Minimum cuts of associative models, and what they cost with a node on either side.

    Args:
        unary: (batch, nodes).
        edges: (edges, 2) int64, as in IsingGraph.
        pairwise: (batch, edges), none negative.
        sites: (sites,) int64, nodes.

    Returns:
        What `cut_graph` returns with 64-bit capacities, and the energy above the minimum with each
        site off and on (batch, sites, 2) float64, +inf where a clamp forbids it.
    """
    outputs = _min_marginal_outputs(unary, pairwise, sites)
    _native.min_marginals(
        as_numpy(unary),
        as_numpy(edges.t()),
        as_numpy(pairwise),
        as_numpy(sites),
        *(as_numpy(t) for t in outputs),
        torch.get_num_threads(),
    )
    return outputs


@shapes_of(min_marginals)
def _(unary, edges, pairwise, sites):
    return _min_marginal_outputs(unary, pairwise, sites)


def _min_marginal_outputs(unary: Tensor, pairwise: Tensor, sites: Tensor) -> tuple[Tensor, ...]:
    growth = unary.new_empty((len(unary), len(sites), 2), dtype=torch.float64)
    return (*_cut_outputs(unary, pairwise, wide=True), growth)


@on_cuda("cut_graph")
def _(unary, *arguments):
    return through_host(cut_graph, unary, *arguments)


@on_cuda("gauge")
def _(unary, *arguments):
    return through_host(gauge, unary, *arguments)


@on_cuda("min_marginals")
def _(unary, *arguments):
    return through_host(min_marginals, unary, *arguments)

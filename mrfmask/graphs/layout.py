"""A graph as its kernels go through it: nodes in the order of their updates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int, UInt
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from mrfmask.graphs.adjacency import adjacency
from mrfmask.graphs.colouring import colour_classes
from mrfmask.graphs.philox import LANES

# Nodes whose draws are made at once.
BLOCK = 16 * LANES


class Layout(NamedTuple):
    """Nodes by colour; those with as many neighbours lie together, in a *segment*.

    A neighbour is *earlier* if its colour is updated before. Entries are the couplings as seen from
    one end, for a node the earlier neighbours first, each kind in the order of the edges: the order
    in which local fields are summed. Entries k of all nodes of a segment lie side by side, so that
    vectors may go over its nodes. Earlier neighbours have their new states when a node is updated:
    over the sum of unary and earlier entries, times states, the energy is a sum over nodes.

    Attributes:
        node: (nodes,) int32, the number of the node at each position.
        place: uint32, the position of each node, and then of nodes that there are not, to a
            multiple of BLOCK.
        earlier: (nodes,) int32, entries of the node at each position that are earlier ones; rising
            within a segment.
        segments: (segments, 4) int64: first position, nodes, first entry, entries of each node; in
            the order of updates.
        neighbour: (entries,) uint32, position of the neighbour.
        edge: (entries,) int32, number of the coupling.
        twin: (entries,) uint32, the entry of the same coupling at its other end.
        ends: (edges, 2) uint32, positions of the two nodes.
    """

    node: Int[np.ndarray, " nodes"]
    place: UInt[np.ndarray, " places"]
    earlier: Int[np.ndarray, " nodes"]
    segments: Int[np.ndarray, "segments 4"]
    neighbour: Int[np.ndarray, " entries"]
    edge: Int[np.ndarray, " entries"]
    twin: UInt[np.ndarray, " entries"]
    ends: Int[np.ndarray, "edges 2"]


_known: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def layout(edges: Int[Tensor, "edges 2"], nodes: int) -> Layout:
    """The layout of a graph; kept for as long as the tensor of its edges lives unchanged."""
    # Compared in full, which takes less than a sweep: NumPy may change the tensor's memory unseen.
    then, known = _known.get(edges, (None, None))
    if known is not None and len(known.node) == nodes and torch.equal(then, edges):
        return known
    then = edges.clone()
    made = _layout(then, nodes)
    _known[edges] = (then, made)
    return made


def _layout(edges: Int[Tensor, "edges 2"], nodes: int) -> Layout:
    graph = adjacency(edges, nodes)
    colour = np.empty(nodes, dtype=np.int32)
    for c, members in enumerate(colour_classes(graph)):
        colour[members] = c
    degree = np.diff(graph.start)
    own = np.repeat(np.arange(nodes), degree)
    later = colour[graph.node] > colour[own]
    earlier = np.bincount(own[~later], minlength=nodes)
    node = np.lexsort((np.arange(nodes), earlier, degree, colour))
    position = np.empty(nodes, dtype=np.int64)
    position[node] = np.arange(nodes)

    # Where the nodes of one kind begin, and with them the entries, degree times as many.
    kind = np.stack([colour, degree])[:, node]
    begins = np.flatnonzero(np.r_[True, (np.diff(kind) != 0).any(axis=0)])
    count = np.diff(np.r_[begins, nodes])
    first_entry = np.r_[0, np.cumsum(count * kind[1, begins])[:-1]]
    segments = np.stack([begins, count, first_entry, kind[1, begins]], axis=1)

    by_node = np.argsort(2 * own + later, kind="stable")
    rank = np.arange(len(own)) - graph.start[own]
    segment = np.repeat(np.arange(len(begins)), count)[position[own]]
    place = first_entry[segment] + rank * count[segment] + position[own] - begins[segment]
    order = np.empty(len(own), dtype=np.int64)
    order[place] = by_node
    edge = graph.edge[order]
    both = np.argsort(edge, kind="stable").reshape(-1, 2)
    twin = np.empty(len(own), dtype=np.uint32)
    twin[both] = both[:, ::-1]
    return Layout(
        node=node.astype(np.int32),
        place=np.r_[position, np.arange(nodes, -(-nodes // BLOCK) * BLOCK)].astype(np.uint32),
        earlier=earlier[node].astype(np.int32),
        segments=segments.astype(np.int64),
        neighbour=position[graph.node[order]].astype(np.uint32),
        edge=edge,
        twin=twin,
        ends=position[edges.cpu().numpy()].astype(np.uint32),
    )

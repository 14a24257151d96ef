"""The neighbours of every node, as kernels walk through them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from torch import Tensor


class Adjacency(NamedTuple):
    """Compressed rows: node v's entries are ``start[v]`` to ``start[v + 1]``, by edge number.

    Attributes:
        start: (nodes + 1,) int64.
        node: (2 * edges,) int32, the neighbour.
        edge: (2 * edges,) int32, number of the edge to it.
    """

    start: Int[np.ndarray, " nodes+1"]
    node: Int[np.ndarray, " entries"]
    edge: Int[np.ndarray, " entries"]


def adjacency(edges: Int[Tensor, "edges 2"], nodes: int) -> Adjacency:
    """The compressed rows of a graph; parallel edges have an entry each."""
    pairs = edges.cpu().numpy()
    own = pairs.flatten()
    other = pairs[:, ::-1].flatten()
    number = np.repeat(np.arange(len(pairs)), 2)
    order = np.argsort(own, kind="stable")
    start = np.zeros(nodes + 1, dtype=np.int64)
    np.cumsum(np.bincount(own, minlength=nodes), out=start[1:])
    return Adjacency(start, other[order].astype(np.int32), number[order].astype(np.int32))


def sorted_adjacency(pairs: Int[np.ndarray, "edges 2"], nodes: int) -> Adjacency:
    """The same of an array without parallel edges, every node's neighbours in rising order."""
    own, other = pairs.flatten(), pairs[:, ::-1].flatten()
    order = np.lexsort((other, own))
    number = np.repeat(np.arange(len(pairs)), 2)
    start = np.zeros(nodes + 1, dtype=np.int64)
    np.cumsum(np.bincount(own, minlength=nodes), out=start[1:])
    return Adjacency(start, other[order].astype(np.int32), number[order].astype(np.int32))

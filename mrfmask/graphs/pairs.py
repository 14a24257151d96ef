"""The coupled pairs of a graph, each once, and where their messages lie."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from mrfmask.graphs.adjacency import Adjacency, adjacency


class Pairs(NamedTuple):
    """A graph without parallel edges. An *entry* of its rows is a directed pair.

    Attributes:
        first: (pairs,) int32, the lower node.
        second: (pairs,) int32, the higher node.
        of_edge: (edges,) number of the pair that each edge of the model joins.
        rows: the neighbours of every node, by number of the pair.
        back: (2 * pairs,) the entry of the same pair in the other node's row.
    """

    first: Int[np.ndarray, " pairs"]
    second: Int[np.ndarray, " pairs"]
    of_edge: Int[np.ndarray, " edges"]
    rows: Adjacency
    back: Int[np.ndarray, " entries"]

    @property
    def nodes(self) -> int:
        """How many nodes the graph has."""
        return len(self.rows.start) - 1


def pairs_of(edges: Int[Tensor, "edges 2"], nodes: int) -> Pairs:
    """The pairs that edges join, in rising order of their nodes."""
    ends = np.sort(edges.cpu().numpy().astype(np.int64), axis=1)
    keys, of_edge = np.unique(ends[:, 0] * nodes + ends[:, 1], return_inverse=True)
    first, second = np.divmod(keys, nodes)
    rows = adjacency(torch.from_numpy(np.stack([first, second], axis=1)), nodes)
    both = np.argsort(rows.edge, kind="stable").reshape(-1, 2)  # the two entries of every pair
    back = np.empty(2 * len(keys), dtype=np.int32)
    back[both[:, 0]], back[both[:, 1]] = both[:, 1], both[:, 0]
    return Pairs(first.astype(np.int32), second.astype(np.int32), of_edge.reshape(-1), rows, back)

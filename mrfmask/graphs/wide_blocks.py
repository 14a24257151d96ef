"""Partitions of a graph into blocks of bounded width."""

from __future__ import annotations

import heapq

import numpy as np
from jaxtyping import Float, Int

from mrfmask.graphs.bounded_width import bounded_width
from mrfmask.graphs.forests import components
from mrfmask.graphs.pairs import Pairs
from mrfmask.graphs.wide_cover import Part


def wide_blocks(
    pairs: Pairs, weight: Float[np.ndarray, " pairs"], width: int, part: Part
) -> tuple[Part, Int[np.ndarray, " nodes"]]:
    """Blocks made of a subgraph: the pairs inside of them, and the number of each node's block.

    Where a pair was cut but joins nodes that are connected without it, one of them moves to the
    next level, and levels are cut apart.

    Args:
        pairs: the graph.
        weight: of the pairs, 0 for those that do not count.
        width: nodes that a table of a block may range over.
        part: a subgraph of that width.
    """
    wanted = weight > 0
    level = np.zeros(pairs.nodes, dtype=np.int64)
    while True:
        block = components(pairs, part.stays)
        inside = block[pairs.first] == block[pairs.second]
        lost = np.flatnonzero(wanted & ~part.stays & inside)
        if len(lost) == 0:
            return part, block
        level[_touching(pairs, lost)] += 1
        one, two = level[pairs.first], level[pairs.second]
        allowed = wanted & (one == two) & (part.stays | (one > 0))
        part = Part(*bounded_width(pairs, np.where(allowed, weight, 0.0), width))


def _touching(pairs: Pairs, lost: Int[np.ndarray, " lost"]) -> list[int]:
    """Few nodes that touch all of these pairs: the one that touches most of what is left."""
    ends = np.stack([pairs.first[lost], pairs.second[lost]], axis=1)
    near: dict[int, list[int]] = {}
    for a, b in ends.tolist():
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    left = {v: len(others) for v, others in near.items()}
    heap = [(-count, v) for v, count in left.items()]
    heapq.heapify(heap)
    chosen = []
    while heap:
        count, v = heapq.heappop(heap)
        if left.get(v) != -count:  # it was chosen, or touches less by now
            continue
        chosen.append(v)
        del left[v]
        for u in near[v]:
            if u in left:
                left[u] -= 1
                if left[u]:
                    heapq.heappush(heap, (-left[u], u))
    return chosen

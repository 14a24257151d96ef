"""Spanning subgraphs that elimination can solve with tables of a given width."""

from __future__ import annotations

import heapq

import numpy as np
from jaxtyping import Bool, Float, Int

from mrfmask.graphs.pairs import Pairs


def bounded_width(
    pairs: Pairs, weight: Float[np.ndarray, " pairs"], width: int
) -> tuple[Bool[np.ndarray, " pairs"], Int[np.ndarray, " nodes"]]:
    """The pairs that stay, and the rank of the nodes in an elimination of at most `width` bits.

    Nodes go one by one, as in bucket elimination. What touches a node are factors: pairs, and
    tables that earlier nodes left. Those that do not fit into one table with the heaviest lose the
    node: the pairs by which they know it are cut. The node goes that costs the least weight; of
    those the one whose factors changed last, so that the front of one table moves on.

    Args:
        pairs: the graph.
        weight: of the pairs, not negative; those of weight 0 are cut from the outset.
        width: nodes that a table may range over, at least 1.
    """
    knife = _Knife(pairs, weight, width)
    for v in range(pairs.nodes):
        knife.push(v)
    rank = np.empty(pairs.nodes, dtype=np.int64)
    for place in range(pairs.nodes):
        rank[knife.eliminate()] = place
    return knife.stays, rank


class _Knife:
    """The factors that are left: for each node of their scope the pairs by which it is known."""

    def __init__(self, pairs: Pairs, weight: Float[np.ndarray, " pairs"], width: int) -> None:
        self.width, self.weight = width, weight.tolist()
        self.stays = weight > 0
        self.factors: dict[int, dict[int, list[int]]] = {}
        self.touching: list[set[int]] = [set() for _ in range(pairs.nodes)]
        for p in np.flatnonzero(self.stays).tolist():
            ends = (int(pairs.first[p]), int(pairs.second[p]))
            self.factors[p] = {v: [p] for v in ends}
            for v in ends:
                self.touching[v].add(p)
        self.fresh = len(self.weight)
        self.changed = [0] * pairs.nodes
        self.latest: list[tuple | None] = [None] * pairs.nodes
        self.heap: list[tuple] = []

    def push(self, v: int) -> None:
        """Puts a node into the queue, or changes its place there."""
        self.latest[v] = (self._fit(v)[0], -self.changed[v], v)
        heapq.heappush(self.heap, self.latest[v])

    def eliminate(self) -> int:
        """Eliminates the next node."""
        while True:
            key = heapq.heappop(self.heap)
            v = key[-1]
            if self.latest[v] == key:
                break
        _, scope, cut = self._fit(v)
        self.latest[v] = None
        moved = scope - {v}
        for f in cut:
            for p in self.factors[f].pop(v):
                self.stays[p] = False
            self.touching[v].discard(f)
            moved |= self.factors[f].keys()
            if f < len(self.weight):  # a pair: the other node does not know it any more either
                for u in self.factors.pop(f):
                    self.touching[u].discard(f)
        table: dict[int, list[int]] = {u: [] for u in sorted(scope - {v})}
        for f in sorted(self.touching[v]):
            for u, known in self.factors.pop(f).items():
                self.touching[u].discard(f)
                if u != v:
                    table[u] += known
        self.factors[self.fresh] = table
        for u in table:
            self.touching[u].add(self.fresh)
            self.changed[u] = self.fresh
        self.fresh += 1
        for u in moved:
            if self.latest[u] is not None:
                self.push(u)
        return v

    def _fit(self, v: int) -> tuple[float, set[int], list[int]]:
        """Weight that is lost if `v` goes, the nodes of its table, and the factors that lose it."""
        heaviest = sorted(
            (-sum(self.weight[p] for p in self.factors[f][v]), f) for f in self.touching[v]
        )
        scope, lost, cut = {v}, 0.0, []
        for weight, f in heaviest:
            nodes = self.factors[f].keys()
            if len(scope | nodes) <= self.width + 1:
                scope |= nodes
            else:
                lost -= weight
                cut.append(f)
        return lost, scope, cut

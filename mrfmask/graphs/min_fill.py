"""In which order to eliminate the nodes of a graph, and what each then still touches."""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from mrfmask.graphs.adjacency import Adjacency
from mrfmask.graphs.compiled import compiled
from mrfmask.graphs.threads import in_thread

_FILL, _DEGREE, _RANK = range(3)
_FAR = 2**62
# Below so many table entries in all, another order is not worth looking for.
_CHEAP = 2**18
# Among more nodes, one greedy order that fails is enough.
_MANY = 2**14


class Order(NamedTuple):
    """Nodes in the order of their elimination; the neighbours that each has by then.

    Attributes:
        node: (nodes,) int32; fewer where the next table would be too wide.
        start: (nodes + 1,) int64 into `scope`.
        scope: int32, the nodes that are left and share a factor with the eliminated one.
        too_wide: neighbours of the next node, 0 if none was too wide.
    """

    node: Int[np.ndarray, " nodes"]
    start: Int[np.ndarray, " nodes+1"]
    scope: Int[np.ndarray, " entries"]
    too_wide: int

    @property
    def entries(self) -> int:
        """Table entries in all; a number beyond all limits if a table is too wide."""
        if self.too_wide:
            return 2**62 + self.too_wide
        return sum(1 << width for width in np.diff(self.start).tolist())


def elimination_order(
    graph: Adjacency, most: int, known: Int[np.ndarray, " nodes"] | None = None
) -> Order:
    """The cheapest of some orders whose tables range over at most `most` nodes.

    Each time the node goes that joins fewest pairs of its neighbours anew (min-fill), or that has
    fewest neighbours (min-degree), ties by the other and then by number; or the nodes go as a front
    moves over the graph, which suits grids and rings.

    Args:
        graph: without parallel edges, neighbours sorted.
        most: at most 31.
        known: ranks of the nodes in one more order to try.

    Reference:
        Kjaerulff, "Triangulation of graphs: algorithms giving small total state space", 1990.
    """
    nodes = len(graph.start) - 1
    rank = np.zeros(nodes, dtype=np.int64)
    best = _order(graph, rank, _FILL, most)
    if known is not None:
        best = min(best, _order(graph, known, _RANK, most), key=lambda order: order.entries)
    if best.entries > _CHEAP:
        if not best.too_wide or nodes <= _MANY:
            best = min(best, _order(graph, rank, _DEGREE, most), key=lambda order: order.entries)
        if _front(graph.start, graph.node, most, rank):
            best = min(best, _order(graph, rank, _RANK, most), key=lambda order: order.entries)
    return best


def _order(graph: Adjacency, rank: Int[np.ndarray, " nodes"], rule: int, most: int) -> Order:
    found = in_thread(lambda: _eliminate(graph.start, graph.node, rank, rule, most))
    node, start, scope, too_wide = found
    return Order(node, start, scope, int(too_wide))


@compiled
def _touch(pool, begin, size, a, b):
    """Whether a and b are neighbours: binary search in the shorter of the two sorted lists."""
    if size[a] > size[b]:
        a, b = b, a
    low, high = begin[a], begin[a] + size[a]
    while low < high:
        middle = (low + high) // 2
        if pool[middle] < b:
            low = middle + 1
        else:
            high = middle
    return low < begin[a] + size[a] and pool[low] == b


@compiled
def _key(rule, fill, degree, rank, v):
    if rule == 0:
        first = fill * 64 + degree
    elif rule == 1:
        first = degree * 4096 + fill
    else:
        first = rank
    return (first << 32) + v


@compiled
def _eliminate(start, node, rank, rule, most):
    # Lists of neighbours lie sorted in one pool. Eliminated nodes stay in them and are skipped. A
    # list that outgrows its place moves to the end of the pool.
    nodes = len(start) - 1
    pool = np.empty(2 * len(node) + 64, dtype=np.int32)
    pool[: len(node)] = node
    used = len(node)
    begin = start[:-1].copy()
    size = start[1:] - start[:-1]
    room = size.copy()
    degree = size.copy()
    gone = np.zeros(nodes, dtype=np.bool_)
    fill = np.zeros(nodes, dtype=np.int64)
    key = np.full(nodes, _FAR, dtype=np.int64)
    near = np.empty(most, dtype=np.int32)
    joined = np.empty(most, dtype=np.int32)  # new neighbours of each of those
    merged = np.empty(nodes + 1, dtype=np.int32)
    changed = np.empty(nodes, dtype=np.int32)  # whose fill is to be counted
    order = np.empty(nodes, dtype=np.int32)
    scope_start = np.zeros(nodes + 1, dtype=np.int64)
    scope = np.empty(4 * nodes + most, dtype=np.int32)
    heap = [np.int64(_FAR)]
    count = nodes
    for v in range(nodes):
        changed[v] = v
    step = 0
    while True:
        for i in range(count):
            u = changed[i]
            if degree[u] > most:
                key[u] = _FAR
                continue
            if rule != 2:
                d = 0
                for e in range(begin[u], begin[u] + size[u]):
                    if not gone[pool[e]]:
                        near[d] = pool[e]
                        d += 1
                missing = 0
                for a in range(d):
                    for b in range(a):
                        if not _touch(pool, begin, size, near[a], near[b]):
                            missing += 1
                fill[u] = missing
            key[u] = _key(rule, fill[u], degree[u], rank[u], u)
            heapq.heappush(heap, key[u])
        if step == nodes:
            return order, scope_start, scope[: scope_start[nodes]], 0
        v = -1
        while v < 0:
            least = heapq.heappop(heap)
            if least == _FAR:
                break
            u = least & 0xFFFFFFFF
            if not gone[u] and key[u] == least:
                v = u
        if v < 0:
            least_degree = nodes
            for u in range(nodes):
                if not gone[u]:
                    least_degree = min(least_degree, degree[u])
            for i in range(step, nodes):
                scope_start[i + 1] = scope_start[step]
            return order[:step], scope_start[: step + 1], scope[: scope_start[step]], least_degree
        gone[v] = True
        order[step] = v
        at = scope_start[step]
        if at + most > len(scope):
            longer = np.empty(2 * len(scope), dtype=np.int32)
            longer[:at] = scope[:at]
            scope = longer
        count = 0
        for e in range(begin[v], begin[v] + size[v]):
            u = pool[e]
            if not gone[u]:
                near[count] = u
                changed[count] = u
                scope[at + count] = u
                degree[u] -= 1
                count += 1
        step += 1
        scope_start[step] = at + count
        for i in range(count):
            a = near[i]
            new = 0
            for k in range(count):
                b = near[k]
                if k == i or _touch(pool, begin, size, a, b):
                    continue
                new += 1
                if rule == 2 or k > i:
                    continue
                # Whoever knows both misses one pair less; the neighbours of v are counted anew.
                few, many = (a, b) if size[a] < size[b] else (b, a)
                for e in range(begin[few], begin[few] + size[few]):
                    w = pool[e]
                    if not gone[w] and key[w] != _FAR and _touch(pool, begin, size, w, many):
                        fill[w] -= 1
                        key[w] = _key(rule, fill[w], degree[w], rank[w], w)
                        heapq.heappush(heap, key[w])
            degree[a] += new
            joined[i] = new
        # Lists grow only now: all of the above looked at those from before.
        for i in range(count):
            if joined[i] == 0:
                continue
            a = near[i]
            length, k = 0, 0
            for e in range(begin[a], begin[a] + size[a]):
                u = pool[e]
                if gone[u]:
                    continue
                while k < count and near[k] < u:
                    if near[k] != a:
                        merged[length] = near[k]
                        length += 1
                    k += 1
                if k < count and near[k] == u:
                    k += 1
                merged[length] = u
                length += 1
            while k < count:
                if near[k] != a:
                    merged[length] = near[k]
                    length += 1
                k += 1
            if length > room[a]:
                if used + 2 * length > len(pool):
                    longer = np.empty(2 * len(pool) + 2 * length, dtype=np.int32)
                    longer[:used] = pool[:used]
                    pool = longer
                begin[a] = used
                room[a] = 2 * length
                used += 2 * length
            for k in range(length):
                pool[begin[a] + k] = merged[k]
            size[a] = length


@compiled
def _front(start, node, most, rank):
    # From a far end of the graph: whoever in the front has fewest neighbours beyond it goes next,
    # the longest there among equals; its neighbours join the front.
    nodes = len(start) - 1
    arrived = np.full(nodes, -1, dtype=np.int64)
    front = np.empty(nodes, dtype=np.int32)
    done = 0
    arrivals = 0
    for root in range(nodes):
        if arrived[root] >= 0:
            continue
        # The last node that a search from `root` meets.
        front[0] = root
        rank[root] = -1
        head, length = 0, 1
        while head < length:
            v = front[head]
            head += 1
            for e in range(start[v], start[v + 1]):
                if rank[node[e]] != -1 and arrived[node[e]] < 0:
                    rank[node[e]] = -1
                    front[length] = node[e]
                    length += 1
        front[0] = front[length - 1]
        arrived[front[0]] = arrivals
        arrivals += 1
        length = 1
        while length:
            least, place = 2 * nodes, 0
            for i in range(length):
                beyond = 0
                for e in range(start[front[i]], start[front[i] + 1]):
                    if arrived[node[e]] < 0:
                        beyond += 1
                if beyond < least or (
                    beyond == least and arrived[front[i]] < arrived[front[place]]
                ):
                    least, place = beyond, i
            v = front[place]
            length -= 1
            front[place] = front[length]
            rank[v] = done
            done += 1
            for e in range(start[v], start[v + 1]):
                if arrived[node[e]] < 0:
                    arrived[node[e]] = arrivals
                    arrivals += 1
                    front[length] = node[e]
                    length += 1
            if length > most:
                return False
    return True

"""Violated odd-cycle inequalities of the cut polytope, by shortest paths in a doubled graph."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from mrfmask.graphs.adjacency import Adjacency
from mrfmask.graphs.compiled import compiled

# Below this a value counts as 0, above 1 minus this as 1.
WHOLE = 1e-6


def odd_cycles(
    graph: Adjacency,
    z: Float[np.ndarray, " edges"],
    least: float,
    hop: float = 0.0,
    stop: Bool[np.ndarray, " one"] | None = None,
) -> tuple[Int[np.ndarray, " cycles+1"], Int[np.ndarray, " entries"], Bool[np.ndarray, " entries"]]:
    """Chordless cycles whose inequality `z` violates by more than `least`, at most one a node.

    ``sum_F z - sum_(rest) z <= |F| - 1`` for an odd set F of a cycle's edges.

    A cycle violates its inequality if ``sum_F (1 - z) + sum_(rest) z < 1``: a path of this length
    from a node to its copy, where edges lead to the other copy for 1 - z and stay for z.

    Args:
        graph: without parallel edges.
        z: values of the edges, in [0, 1].
        least: violation that counts, > 0.
        hop: added to the length of each edge: leads to short cycles, and away from the others. 0
            finds an inequality if there is one.
        stop: another thread sets it to have what was found so far. None: never.

    Returns:
        Where each cycle's entries begin; the entries' edges; whether these are in F.

    Reference:
        Barahona and Mahjoub, "On the cut polytope", Mathematical Programming 1986.
    """
    stop = np.zeros(1, dtype=np.bool_) if stop is None else stop
    return _odd_cycles(graph.start, graph.node, graph.edge, z, least, hop, stop)


@compiled
def _odd_cycles(start, node, edge, z, least, hop, stop):
    nodes = len(start) - 1
    fractional = np.full(nodes, hop > 0)
    for v in range(nodes):
        for e in range(start[v], start[v + 1]):
            fractional[v] |= WHOLE < z[edge[e]] < 1 - WHOLE
    removed = np.zeros(nodes, dtype=np.bool_)
    seen = np.zeros(nodes, dtype=np.bool_)
    dist = np.full(2 * nodes, np.inf)
    parent = np.empty(2 * nodes, dtype=np.int64)  # entry of the adjacency that led here
    before = np.empty(2 * nodes, dtype=np.int64)
    settled = np.empty(2 * nodes, dtype=np.int64)
    heap_key = np.empty(4 * len(node) + 2)
    heap_node = np.empty(4 * len(node) + 2, dtype=np.int64)
    walk_node = np.empty(4 * nodes + 2, dtype=np.int64)
    walk_edge = np.empty(4 * nodes + 2, dtype=np.int64)
    walk_odd = np.empty(4 * nodes + 2, dtype=np.bool_)
    place = np.full(nodes, -1, dtype=np.int64)
    starts = [0]
    edges = [np.int64(0) for _ in range(0)]
    odd = [False for _ in range(0)]
    # A violated cycle has a fractional edge, or lies in a component of whole edges.
    for phase in range(2):
        for root in range(nodes):
            if stop[0]:
                break
            if phase == 0 and not fractional[root]:
                continue
            if phase == 1 and (removed[root] or seen[root]):
                continue
            # Half of the way is enough: the other half is a path from the root as well, mirrored.
            count = 0
            size = 1
            heap_key[0] = 0.0
            heap_node[0] = 2 * root
            dist[2 * root] = 0.0
            before[2 * root] = -1
            while size > 0:
                d = heap_key[0]
                a = heap_node[0]
                size -= 1
                _sift_down(heap_key, heap_node, size)
                if d > dist[a]:
                    continue
                settled[count] = a
                count += 1
                v, layer = a >> 1, a & 1
                for e in range(start[v], start[v + 1]):
                    u = node[e]
                    if removed[u]:
                        continue
                    value = z[edge[e]]
                    for cross in range(2):
                        length = d + hop + (1 - value if cross else value)
                        b = 2 * u + (layer ^ cross)
                        if length <= 0.5 and length < dist[b]:
                            dist[b] = length
                            parent[b] = e
                            before[b] = a
                            _sift_up(heap_key, heap_node, size, length, b)
                            size += 1
            best = 1 - least
            best_a = -1
            best_e = -1
            best_b = -1
            for k in range(count):
                a = settled[k]
                v, layer = a >> 1, a & 1
                if phase == 1:
                    seen[v] = True
                for e in range(start[v], start[v + 1]):
                    for cross in range(2):
                        value = z[edge[e]]
                        b = 2 * node[e] + (1 - (layer ^ cross))
                        length = dist[a] + hop + (1 - value if cross else value) + dist[b]
                        if length < best:
                            best, best_a, best_e, best_b = length, a, e, b
            if best_a >= 0:
                steps = 0
                a = best_a
                while before[a] >= 0:  # towards the root: reversed below
                    steps += 1
                    a = before[a]
                total = steps
                a = best_a
                while before[a] >= 0:
                    steps -= 1
                    walk_node[steps] = before[a] >> 1
                    walk_edge[steps] = edge[parent[a]]
                    walk_odd[steps] = (before[a] & 1) != (a & 1)
                    a = before[a]
                walk_node[total] = best_a >> 1
                walk_edge[total] = edge[best_e]
                walk_odd[total] = (best_a & 1) == (best_b & 1)
                total += 1
                a = best_b
                while before[a] >= 0:
                    walk_node[total] = a >> 1
                    walk_edge[total] = edge[parent[a]]
                    walk_odd[total] = (before[a] & 1) != (a & 1)
                    total += 1
                    a = before[a]
                first, total = _make_simple(walk_node, walk_edge, walk_odd, total, place)
                first, total = _cut_short(
                    start, node, edge, z, walk_node, walk_edge, walk_odd, first, total, place
                )
                for k in range(first, first + total):
                    edges.append(walk_edge[k])
                    odd.append(walk_odd[k])
                starts.append(len(edges))
            for k in range(count):
                dist[settled[k]] = np.inf
            if phase == 0:
                removed[root] = True
    return np.array(starts), np.array(edges), np.array(odd)


@compiled
def _sift_up(key, item, size, new_key, new_item):
    k = size
    while k > 0 and key[(k - 1) >> 1] > new_key:
        key[k] = key[(k - 1) >> 1]
        item[k] = item[(k - 1) >> 1]
        k = (k - 1) >> 1
    key[k] = new_key
    item[k] = new_item


@compiled
def _sift_down(key, item, size):
    """Moves the last of size + 1 entries to the top and down to its place."""
    last_key, last_item = key[size], item[size]
    k = 0
    while 2 * k + 1 < size:
        child = 2 * k + 1
        if child + 1 < size and key[child + 1] < key[child]:
            child += 1
        if key[child] >= last_key:
            break
        key[k] = key[child]
        item[k] = item[child]
        k = child
    key[k] = last_key
    item[k] = last_item


@compiled
def _make_simple(walk_node, walk_edge, walk_odd, total, place):
    """Part of a closed walk with an odd F that visits no node twice: (first, total)."""
    kept = 0  # walk[:kept] is a simple path
    for k in range(total):
        v = walk_node[k]
        if place[v] >= 0:
            back = place[v]
            parity = False
            for i in range(back, kept):
                parity ^= walk_odd[i]
            for i in range(back, kept):
                place[walk_node[i]] = -1
            if parity:
                for i in range(back):
                    place[walk_node[i]] = -1
                return back, kept - back
            kept = back
        place[v] = kept
        walk_node[kept], walk_edge[kept], walk_odd[kept] = v, walk_edge[k], walk_odd[k]
        kept += 1
    for i in range(kept):
        place[walk_node[i]] = -1
    return 0, kept


@compiled
def _cut_short(start, node, edge, z, walk_node, walk_edge, walk_odd, first, total, place):
    """Splits a cycle at chords: one of the two halves is violated no less than half as much."""
    found = True
    while found and total > 3:
        found = False
        for k in range(total):
            place[walk_node[first + k]] = k
        for k in range(total):
            v = walk_node[first + k]
            for e in range(start[v], start[v + 1]):
                to = place[node[e]]
                # Once each, and not the cycle's own edges.
                if to < k + 2 or (k == 0 and to == total - 1):
                    continue
                parity = False
                inside = 0.0
                whole = 0.0
                for i in range(total):
                    value = z[walk_edge[first + i]]
                    length = 1 - value if walk_odd[first + i] else value
                    whole += length
                    if k <= i < to:
                        inside += length
                        parity ^= walk_odd[first + i]
                chord = z[edge[e]]
                # The chord is in F of the half that has an even number of edges in F.
                inner = inside + (chord if parity else 1 - chord)
                outer = whole - inside + (1 - chord if parity else chord)
                for i in range(total):
                    place[walk_node[first + i]] = -1
                if inner <= outer:
                    first, total = first + k, to - k + 1
                    walk_edge[first + total - 1] = edge[e]
                    walk_odd[first + total - 1] = not parity
                else:
                    # v .. chord .. to .. end: move the part from `to` up behind v.
                    walk_edge[first + k] = edge[e]
                    walk_odd[first + k] = parity
                    for i in range(to, total):
                        walk_node[first + k + 1 + i - to] = walk_node[first + i]
                        walk_edge[first + k + 1 + i - to] = walk_edge[first + i]
                        walk_odd[first + k + 1 + i - to] = walk_odd[first + i]
                    total = k + 1 + total - to
                found = True
                break
            if found:
                break
        if not found:
            for k in range(total):
                place[walk_node[first + k]] = -1
    return first, total

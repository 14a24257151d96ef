"""Flips of nodes, downhill, and up and down again."""

from __future__ import annotations

import numpy as np

from mrfmask.graphs.compiled import compiled

# Rounding must not let two states take turns: a gain of less than this share counts as none.
SMALLEST = 1e-12
# A chain of flips ends after so many without a new lowest energy; so many chains are enough.
PATIENCE, CHAINS = 64, 16
# Every flip of a chain looks at all nodes: so many looks, some tenths of a second.
MOST_LOOKS = 2**28


@compiled
def descend(start, node, edge, linear, weight, y):
    """Flips nodes of `y` while that lowers the energy: one by one, and in chains.

    ``E(y) = sum linear y + sum weight |y_i - y_j|``; start, node and edge as in Adjacency. A chain
    flips each node once at most, always the best, uphill as well; what comes after its lowest
    energy is undone.

    Reference:
        Kernighan and Lin, "An efficient heuristic procedure for partitioning graphs", Bell System
        Technical Journal 1970.
    """
    nodes = len(y)
    rise = np.empty(nodes)  # of the energy by a flip
    size = 0.0
    for v in range(nodes):
        rise[v] = -linear[v] if y[v] else linear[v]
        size += abs(linear[v])
        for e in range(start[v], start[v + 1]):
            c = weight[edge[e]]
            rise[v] += c if y[node[e]] == y[v] else -c
            size += abs(c)
    flipped = np.zeros(nodes, dtype=np.bool_)
    order = np.empty(nodes, dtype=np.int64)
    changed = True
    while changed:
        changed = False
        for v in range(nodes):
            if rise[v] < -SMALLEST * size:
                _flip(start, node, edge, weight, y, rise, v)
                changed = True
    left = MOST_LOOKS // max(nodes, 1)
    for _ in range(CHAINS):
        total, best, kept, count = 0.0, -SMALLEST * size, 0, 0
        while count < nodes and count < kept + PATIENCE and left > 0:
            left -= 1
            v = -1
            for u in range(nodes):
                if not flipped[u] and (v < 0 or rise[u] < rise[v]):
                    v = u
            total += rise[v]
            _flip(start, node, edge, weight, y, rise, v)
            flipped[v] = True
            order[count] = v
            count += 1
            if total < best:
                best, kept = total, count
        for k in range(count):
            flipped[order[k]] = False
            if k >= kept:
                _flip(start, node, edge, weight, y, rise, order[k])
        if kept == 0:
            break


@compiled
def _flip(start, node, edge, weight, y, rise, v):
    y[v] = not y[v]
    rise[v] = -rise[v]
    for e in range(start[v], start[v + 1]):
        u = node[e]
        c = 2 * weight[edge[e]]
        rise[u] += c if y[u] == y[v] else -c

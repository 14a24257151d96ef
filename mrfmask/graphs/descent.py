"""Flips of single nodes, downhill."""

from __future__ import annotations

from mrfmask.graphs.compiled import compiled


@compiled
def descend(start, node, edge, linear, weight, y):
    """Flips nodes of `y`, in order and again, until none of them lowers the energy.

    ``E(y) = sum linear y + sum weight |y_i - y_j|``; start, node and edge as in Adjacency.
    """
    changed = True
    while changed:
        changed = False
        for v in range(len(y)):
            rise = -linear[v] if y[v] else linear[v]
            size = abs(linear[v])
            for e in range(start[v], start[v + 1]):
                c = weight[edge[e]]
                rise += c if y[node[e]] == y[v] else -c
                size += abs(c)
            # Rounding must not let two states take turns.
            if rise < -1e-12 * size:
                y[v] = not y[v]
                changed = True

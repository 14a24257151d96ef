"""Masks of low energy within a limit on the nodes that are on: greedy repair, then exchanges.

Energy is ``-sum unary x - sum pairwise x x``. Flipping node v raises it by ``rise[v] = 2 x_v
(unary_v + sum pairwise * neighbour)``. Two tournaments keep the free nodes that are cheapest to
turn on and to turn off, by energy for each unit of their price.
"""

from __future__ import annotations

import numpy as np

from mrfmask.graphs.compiled import compiled

# More nodes than this are not driven out for one.
MOST_DRIVEN = 64


@compiled
def _set(keys, winners, v, key):
    """Changes a key; winners[1] is then the number of the smallest, the lowest of equal ones."""
    keys[v] = key
    at = (len(winners) // 2 + v) // 2
    while at >= 1:
        a, b = winners[2 * at], winners[2 * at + 1]
        winners[at] = b if keys[b] < keys[a] else a
        at //= 2


@compiled
def _rate(v, free, price, rise, y, keys, winners):
    """Enters node v in the tournament of its state, and takes it out of the other one."""
    state = 1 if y[v] else 0
    _set(keys[1 - state], winners[1 - state], v, np.inf)
    _set(keys[state], winners[state], v, rise[v] / price[v] if free[v] else np.inf)


@compiled
def _flip(v, start, node, edge, pairwise, free, price, rise, y, keys, winners):
    """Flips node v; returns what that adds to the price of the nodes on."""
    for e in range(start[v], start[v + 1]):
        u, c = node[e], pairwise[edge[e]]
        rise[u] += -4.0 * c if y[u] == y[v] else 4.0 * c
        _rate(u, free, price, rise, y, keys, winners)
    y[v] = not y[v]
    rise[v] = -rise[v]
    _rate(v, free, price, rise, y, keys, winners)
    return price[v] if y[v] else -price[v]


@compiled
def keep_limit(start, node, edge, unary, pairwise, price, limit, exact, y):
    """Changes the mask `y` until its price is at most `limit`, or just that where it is `exact`.

    First the cheapest flips bring it there, one by one, and where less will do, those are turned on
    that pay and fit, the best for their price first. Then nodes are exchanged, over and over, until
    a pass through all of them lowers the energy no more: a node comes and drives others out, those
    worth least for their price. In the end no swap of two nodes betters the mask if it is `exact`;
    if not, no single node does, nor a swap of two neighbours.

    Args:
        start: as node and edge, see Adjacency.
        node: neighbours.
        edge: numbers of the edges to them.
        unary: (nodes,) +-inf for clamped nodes, which `y` has as they are clamped.
        pairwise: (edges,).
        price: (nodes,) int64, at least 1; all 1 where it is `exact`.
        limit: the nodes clamped on cost no more; where it is `exact`, some mask has so many on.
        exact: whether less will not do.
        y: (nodes,) bool.
    """
    nodes = len(y)
    free = np.isfinite(unary)
    rise = np.zeros(nodes)
    leaves = 1
    while leaves < nodes:
        leaves *= 2
    # Places without a node lose, like those of nodes in another state.
    keys = np.full((2, leaves), np.inf)
    winners = np.zeros((2, 2 * leaves), dtype=np.int64)
    winners[:, leaves:] = np.arange(leaves)
    for at in range(leaves - 1, 0, -1):
        winners[:, at] = winners[:, 2 * at]
    spent, largest = 0, 0.0
    for v in range(nodes):
        spent += price[v] if y[v] else 0
        field = unary[v] if free[v] else 0.0
        size = abs(field)
        for e in range(start[v], start[v + 1]):
            c = pairwise[edge[e]]
            field += c if y[node[e]] else -c
            size += abs(c)
        rise[v] = 2.0 * field if y[v] else -2.0 * field
        largest = max(largest, size)
        _rate(v, free, price, rise, y, keys, winners)
    tolerance = 1e-12 * largest  # what rounding of rises may amount to
    graph = (start, node, edge, pairwise, free, price, rise, y, keys, winners)
    while spent > limit:
        spent += _flip(winners[1, 1], *graph)
    while exact and spent < limit:
        spent += _flip(winners[0, 1], *graph)
    if not exact:
        spent = _fill(limit, spent, tolerance, *graph)
    flipped = np.empty(MOST_DRIVEN + 1, dtype=np.int64)
    changed = True
    while changed:
        changed = False
        for v in range(nodes):
            if not free[v]:
                continue
            before = spent
            if y[v]:
                if not exact and rise[v] < -tolerance:
                    spent += _flip(v, *graph)
                    changed = True
                continue
            total, count = rise[v], 1
            flipped[0] = v
            spent += _flip(v, *graph)
            if not exact:  # a neighbour may leave that is not worth least
                u = _best_neighbour(v, spent - limit, *graph)
                alone = min(total, 0.0) if spent <= limit else 0.0
                if u >= 0 and total + rise[u] < alone - tolerance:
                    total += rise[u]
                    flipped[count] = u
                    count += 1
                    spent += _flip(u, *graph)
            _set(keys[1], winners[1], v, np.inf)
            while spent > limit and count <= MOST_DRIVEN:
                u = winners[1, 1]
                if keys[1, u] == np.inf:
                    break
                total += rise[u]
                flipped[count] = u
                count += 1
                spent += _flip(u, *graph)
                _set(keys[1], winners[1], v, np.inf)  # a flip beside it rates it again
            _rate(v, free, price, rise, y, keys, winners)
            if spent <= limit and total < -tolerance:
                changed = True
                continue
            for k in range(count - 1, -1, -1):
                _flip(flipped[k], *graph)
            spent = before


@compiled
def _fill(
    limit, spent, tolerance, start, node, edge, pairwise, free, price, rise, y, keys, winners
):
    """Turns nodes on that pay and fit, the best for their price first; returns the price of all."""
    dear = np.zeros(len(y), dtype=np.bool_)  # the rest never grows: they need not be tried again
    while True:
        v = winners[0, 1]
        if keys[0, v] == np.inf or not rise[v] < -tolerance:
            break
        if price[v] > limit - spent:
            dear[v] = True
            _set(keys[0], winners[0], v, np.inf)
            continue
        spent += _flip(v, start, node, edge, pairwise, free, price, rise, y, keys, winners)
    for v in np.flatnonzero(dear):
        _rate(v, free, price, rise, y, keys, winners)
    return spent


@compiled
def _best_neighbour(v, excess, start, node, edge, pairwise, free, price, rise, y, keys, winners):
    """The neighbour on that is best to turn off and makes up for what is too much, or -1."""
    best = -1
    for e in range(start[v], start[v + 1]):
        u = node[e]
        if y[u] and free[u] and price[u] >= excess and (best < 0 or rise[u] < rise[best]):
            best = u
    return best

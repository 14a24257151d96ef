"""Classes of nodes that do not touch, so that a kernel may update a whole class at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from mrfmask.graphs.adjacency import Adjacency
from mrfmask.graphs.compiled import compiled


def colour_classes(graph: Adjacency) -> list[Int[np.ndarray, " members"]]:
    """The nodes of each colour, int32 in rising order; two colours wherever two are enough.

    A graph without odd cycles is coloured by distance from the first node of each component, any
    other greedily in smallest-last order.

    Reference:
        Matula and Beck, "Smallest-last ordering and clustering and graph coloring algorithms",
        J. ACM 1983.
    """
    nodes = len(graph.start) - 1
    colour = np.zeros(nodes, dtype=np.int32)
    if not _two_colours(graph.start, graph.node, colour):
        _smallest_last(graph.start, graph.node, colour)
    order = np.argsort(colour, kind="stable").astype(np.int32)
    return np.split(order, np.cumsum(np.bincount(colour))[:-1])


@compiled
def _two_colours(start, node, colour):
    nodes = len(start) - 1
    colour[:] = -1
    queue = np.empty(nodes, dtype=np.int32)
    for root in range(nodes):
        if colour[root] >= 0:
            continue
        colour[root] = 0
        queue[0] = root
        done, end = 0, 1
        while done < end:
            v = queue[done]
            done += 1
            for e in range(start[v], start[v + 1]):
                u = node[e]
                if colour[u] < 0:
                    colour[u] = 1 - colour[v]
                    queue[end] = u
                    end += 1
                elif colour[u] == colour[v]:
                    return False
    return True


@compiled
def _smallest_last(start, node, colour):
    # Nodes by degree in doubly linked lists; the one of lowest degree left is taken out each time.
    nodes = len(start) - 1
    degree = np.empty(nodes, dtype=np.int32)
    most = 0
    for v in range(nodes):
        degree[v] = start[v + 1] - start[v]
        most = max(most, degree[v])
    head = np.full(most + 1, -1, dtype=np.int32)
    after = np.empty(nodes, dtype=np.int32)
    before = np.full(nodes, -1, dtype=np.int32)
    for i in range(nodes):
        v = nodes - 1 - i
        after[v] = head[degree[v]]
        if after[v] >= 0:
            before[after[v]] = v
        head[degree[v]] = v
    order = np.empty(nodes, dtype=np.int32)
    colour[:] = -1  # -2: taken out
    lowest = 0
    for i in range(nodes):
        lowest = max(lowest - 1, 0)
        while head[lowest] < 0:
            lowest += 1
        v = head[lowest]
        head[lowest] = after[v]
        if after[v] >= 0:
            before[after[v]] = -1
        order[nodes - 1 - i] = v
        colour[v] = -2
        for e in range(start[v], start[v + 1]):
            u = node[e]
            if colour[u] == -2:
                continue
            d = degree[u]
            if before[u] >= 0:
                after[before[u]] = after[u]
            else:
                head[d] = after[u]
            if after[u] >= 0:
                before[after[u]] = before[u]
            degree[u] = d - 1
            before[u] = -1
            after[u] = head[d - 1]
            if after[u] >= 0:
                before[after[u]] = u
            head[d - 1] = u
            lowest = min(lowest, d - 1)
    taken = np.full(most + 2, -1, dtype=np.int32)
    for v in order:
        for e in range(start[v], start[v + 1]):
            if colour[node[e]] >= 0:
                taken[colour[node[e]]] = v
        c = 0
        while taken[c] == v:
            c += 1
        colour[v] = c

"""Blocks of nodes whose own couplings form a tree, each solved exactly given the others' means."""

from __future__ import annotations

import heapq

import numpy as np
from jaxtyping import Float

from mrfmask.graphs.compiled import compiled
from mrfmask.graphs.forests import EPSILON, Forest, climb, descend, empty_forest
from mrfmask.graphs.pairs import Pairs


def tree_blocks(pairs: Pairs, weight: Float[np.ndarray, " pairs"]) -> Forest:
    """A partition into blocks that are trees, with every pair inside a block in its tree.

    Each block grows along the heaviest pair to a node that has no other pair with the block.
    """
    forest = empty_forest(pairs.nodes)
    _grow(*pairs.rows, weight, *forest)
    return forest


def single_blocks(pairs: Pairs) -> Forest:
    """Every node a block of its own: the blocks of mean field."""
    none = np.full(pairs.nodes, -1, dtype=np.int32)
    return Forest(np.arange(pairs.nodes, dtype=np.int32), none, none)


@compiled
def _grow(start, node, edge, weight, order, parent, link):
    nodes = len(start) - 1
    seen = np.full(nodes, -1, dtype=np.int64)  # the last block that the node has a pair with
    several = np.zeros(nodes, dtype=np.bool_)
    end = 0
    for root in range(nodes):
        if parent[root] != -2:
            continue
        heap = [(0.0, root, -1, -1)]
        while len(heap) > 0:
            _, v, p, above = heapq.heappop(heap)
            if parent[v] != -2 or (p >= 0 and several[v]):
                continue
            parent[v], link[v] = above, p
            order[end] = v
            end += 1
            for e in range(start[v], start[v + 1]):
                u = node[e]
                several[u] = seen[u] == root
                seen[u] = root
                heapq.heappush(heap, (-weight[edge[e]], np.int64(u), np.int64(edge[e]), v))


@compiled
def improve(start, node, edge, order, parent, link, field, coupling, spin):
    """Every block in turn takes its best states given the others'; never raises the energy.

    Returns whether a state changed. Nodes keep their state where both are as good.
    """
    nodes = len(order)
    own, total, up = np.empty(nodes), np.empty(nodes), np.empty(nodes)
    block = np.full(nodes, -1)
    changed = False
    first = 0
    while first < nodes:
        end = first + 1
        while end < nodes and parent[order[end]] >= 0:
            end += 1
        members = order[first:end]
        for v in members:
            block[v] = first
        for v in members:
            own[v] = field[v]
            for e in range(start[v], start[v + 1]):
                if block[node[e]] != first:
                    own[v] += coupling[edge[e]] * spin[node[e]]
        climb(members, parent, link, own, coupling, True, total, up)
        for v in members:
            pull = total[v]
            if parent[v] >= 0:
                pull += coupling[link[v]] * spin[parent[v]]
            if pull * spin[v] < 0:
                spin[v] = -spin[v]
                changed = True
        first = end
    return changed


@compiled
def ascend(start, node, edge, order, parent, link, field, coupling, mean, tolerance, max_sweeps):
    """Block after block gets its exact means in the field of the others; means change in place.

    Never lowers ``sum_blocks log Z(own fields) + sum (h - own) m + sum_between J m m <= log Z``.
    Returns the bound after the last sweep, what rounding can have added to it, and the sweeps.
    """
    nodes = len(order)
    block = np.empty(nodes, dtype=np.int32)
    first = 0
    starts = [0]
    for k in range(nodes):
        v = order[k]
        if parent[v] < 0:
            first = v
            if k > 0:
                starts.append(k)
        block[v] = first
    starts.append(nodes)
    own, total, up, correlation = np.empty(nodes), np.empty(nodes), np.empty(nodes), np.empty(nodes)
    off = np.empty(nodes)
    bound, rounding, sweeps = -np.inf, 0.0, 0
    while sweeps < max_sweeps:
        before = bound
        sweeps += 1
        bound, rounding = 0.0, 0.0
        for k in range(len(starts) - 1):
            members = order[starts[k] : starts[k + 1]]
            for v in members:
                own[v] = field[v]
                for e in range(start[v], start[v + 1]):
                    if block[node[e]] != block[v]:
                        own[v] += coupling[edge[e]] * mean[node[e]]
            part, add = climb(members, parent, link, own, coupling, False, total, up)
            descend(members, parent, link, coupling, total, up, mean, correlation)
            bound += part
            rounding += add + EPSILON * abs(bound)
            for v in members:
                off[v] = 3.0 * add
        for v in range(nodes):
            # Half of every pair between blocks from either side.
            pull, left = field[v] - own[v], field[v] - own[v]
            size = abs(field[v]) + abs(own[v])
            for e in range(start[v], start[v + 1]):
                if block[node[e]] != block[v]:
                    part = coupling[edge[e]] * mean[node[e]]
                    pull += 0.5 * part
                    left += part
                    size += 4.0 * abs(part)
            bound += pull * mean[v]
            # Means are as good as the messages that gave them; the bound depends on them by left.
            rounding += abs(left) * off[v] + EPSILON * (abs(bound) + 2.0 * size)
        if bound - before <= tolerance:
            break
    return bound, rounding, sweeps

"""Spanning forests of a graph, and exact answers on them in two passes."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from mrfmask.graphs.compiled import compiled
from mrfmask.graphs.messages import message
from mrfmask.graphs.pairs import Pairs

EPSILON = float(np.finfo(np.float64).eps)
# Of one message or one log cosh, in units of the last place of 1 + its size: two library functions
# of at most 2 units, and the sums and products around them.
UNITS = 8.0


class Forest(NamedTuple):
    """A spanning forest, each tree from its root on.

    Attributes:
        order: (nodes,) int32, parents before children.
        parent: (nodes,) int32, -1 for roots.
        link: (nodes,) int32, the pair to the parent, -1 for roots.
    """

    order: Int[np.ndarray, " nodes"]
    parent: Int[np.ndarray, " nodes"]
    link: Int[np.ndarray, " nodes"]


def empty_forest(nodes: int) -> Forest:
    """One that kernels fill in: no node has a place (parents are -2).

    Kernels that return arrays would turn Ctrl-C into a SystemError.
    """
    order = np.empty(nodes, dtype=np.int32)
    return Forest(order, np.full_like(order, -2), np.full_like(order, -1))


def heaviest_forest(pairs: Pairs, weight: Float[np.ndarray, " pairs"]) -> Forest:
    """A spanning forest of largest weight, by Kruskal; among equals the first pairs."""
    used = np.zeros(len(weight), dtype=np.bool_)
    by_weight = np.argsort(-weight, kind="stable")
    forest = empty_forest(pairs.nodes)
    _grow(by_weight, pairs.first, pairs.second, *pairs.rows, used, *forest)
    return forest


def components(pairs: Pairs, wanted: Bool[np.ndarray, " pairs"]) -> Int[np.ndarray, " nodes"]:
    """Of every node the number of its component, over the wanted pairs alone."""
    used = np.zeros(len(wanted), dtype=np.bool_)
    forest = empty_forest(pairs.nodes)
    _grow(np.flatnonzero(wanted), pairs.first, pairs.second, *pairs.rows, used, *forest)
    number = np.empty(pairs.nodes, dtype=np.int64)
    number[forest.order] = np.cumsum(forest.parent[forest.order] < 0) - 1
    return number


@compiled
def _grow(by_weight, first, second, start, node, edge, used, order, parent, link):
    nodes = len(start) - 1
    above = np.arange(nodes)
    for p in by_weight:
        i, j = first[p], second[p]
        while above[i] != i:
            above[i] = above[above[i]]
            i = above[i]
        while above[j] != j:
            above[j] = above[above[j]]
            j = above[j]
        if i != j:
            above[i] = j
            used[p] = True
    end = 0
    for root in range(nodes):
        if parent[root] != -2:
            continue
        parent[root] = -1
        order[end] = root
        done = end
        end += 1
        while done < end:
            v = order[done]
            done += 1
            for e in range(start[v], start[v + 1]):
                if used[edge[e]] and parent[node[e]] == -2:
                    parent[node[e]] = v
                    link[node[e]] = edge[e]
                    order[end] = node[e]
                    end += 1


@compiled
def log_two_cosh(x):
    """``log(2 cosh x)`` without overflow."""
    return abs(x) + math.log1p(math.exp(-2.0 * abs(x)))


@compiled
def climb(order, parent, link, field, coupling, most, total, up):
    """From the leaves to the roots: log Z (or the largest score), and how far rounding moves it.

    `total` gets every node's field with the messages of its children, `up` the message to its
    parent. log Z moves by at most d when a field or a message does, so that what every operation
    rounds adds up (running error analysis, Higham 2002, section 3.3).
    """
    for v in order:
        total[v] = field[v]
    value, rounding = 0.0, 0.0
    for k in range(len(order)):
        v = order[len(order) - 1 - k]
        p = parent[v]
        here = total[v]
        if p < 0:
            part = abs(here) if most else log_two_cosh(here)
        else:
            j = coupling[link[v]]
            up[v] = message(here, j, most)
            total[p] += up[v]
            part = max(abs(here), abs(j))
            if not most:
                part = 0.5 * (log_two_cosh(here + j) + log_two_cosh(here - j))
            rounding += UNITS * (1.0 + abs(up[v])) + abs(total[p])
        value += part
        rounding += UNITS * (1.0 + abs(part) + abs(here)) + abs(value)
    return value, rounding * EPSILON


@compiled
def descend(order, parent, link, coupling, total, up, mean, correlation):
    """From the roots to the leaves after `climb`: E[x], and E[x x'] of every node and its parent.

    `total` gets the field of every node alone.
    """
    for v in order:
        p = parent[v]
        if p >= 0:
            j = coupling[link[v]]
            cavity = total[p] - up[v]
            correlation[v] = math.tanh(j + message(total[v], cavity, False))
            total[v] += message(cavity, j, False)
        mean[v] = math.tanh(total[v])


def covering_forests(pairs: Pairs, least: int = 1) -> list[Forest]:
    """Spanning forests that together have every pair; at least so many unless one is enough.

    Each prefers the pairs that were used least, so that in the end all are used about equally.
    """
    uses = np.zeros(len(pairs.first))
    forests: list[Forest] = []
    while not forests or (uses == 0).any() or len(forests) < least:
        forest = heaviest_forest(pairs, -uses)
        forests.append(forest)
        uses[forest.link[forest.link >= 0]] += 1
        if (uses == 1).all():
            break
    return forests


def edge_appearance(
    forests: list[Forest], weight: Float[np.ndarray, " forests"], pairs: Pairs
) -> Float[np.ndarray, " pairs"]:
    """The weight of the forests that have a pair, for every pair."""
    rho = np.zeros(len(pairs.first))
    for forest, w in zip(forests, weight, strict=True):
        rho[forest.link[forest.link >= 0]] += w
    return rho

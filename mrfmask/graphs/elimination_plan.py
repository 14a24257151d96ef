"""Where the tables of an elimination lie, and how those of a node follow from its children's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from mrfmask.graphs.adjacency import sorted_adjacency
from mrfmask.graphs.min_fill import elimination_order


class TooWideError(Exception):
    """No order was found whose tables are small enough.

    Attributes:
        width: nodes that a table would have to range over, at least.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.width = width


@dataclass(frozen=True, kw_only=True, eq=False)
class EliminationPlan:
    """The steps of an elimination: step t sums out one node from the product of what touches it.

    The *scope* of a step are the nodes that the resulting table ranges over, by the step at which
    they go; entry k is bit k of the table's index. The *parent*, where the table is used, is the
    step of the first of them. Steps are in postorder, so tables can lie on two stacks: those of
    steps at even depth below their root on one, those at odd depth on the other. A step then takes
    its children's tables from the top of one stack and puts its own on the other.

    Attributes:
        node: (steps,) the node that goes.
        start: (steps + 1,) where a step's scope begins among all `entries`.
        scope: (entries,) nodes.
        edge: (entries,) the edge from the step's node to the one in its scope, or -1.
        place: (entries,) bit of that node in the parent's scope; -1 for the parent's own node.
        child_start: (steps + 1,) where a step's children begin in `children`.
        children: (steps - roots,) steps.
        offset: (steps,) where a step's table begins among all on the stacks; -1 for roots.
        live: (steps + 1, 2) entries on the two stacks before each step.
        stacks: (2,) most entries on each.
    """

    node: Int[ndarray, " steps"]
    start: Int[ndarray, " steps+1"]
    scope: Int[ndarray, " entries"]
    edge: Int[ndarray, " entries"]
    place: Int[ndarray, " entries"]
    child_start: Int[ndarray, " steps+1"]
    children: Int[ndarray, " links"]
    offset: Int[ndarray, " steps"]
    live: Int[ndarray, "steps+1 2"]
    stacks: Int[ndarray, " 2"]

    @property
    def sizes(self) -> Int[ndarray, " steps"]:
        """Entries of each step's table."""
        return np.left_shift(1, np.diff(self.start))

    @property
    def width(self) -> int:
        """Nodes that the largest table ranges over."""
        return int(np.diff(self.start).max(initial=0))


def plan_elimination(
    pairs: Int[ndarray, "edges 2"],
    free: Bool[ndarray, " nodes"],
    most: int,
    rank: Int[ndarray, " nodes"] | None = None,
) -> EliminationPlan:
    """The plan for the `free` nodes of a graph.

    Args:
        pairs: between free nodes, none twice.
        free: which nodes are to be eliminated.
        most: bits of the largest table, at most 31.
        rank: of the nodes in an order that is tried besides those that the graph suggests.

    Raises:
        TooWideError: a table would have more.
    """
    nodes = np.flatnonzero(free)
    number = np.cumsum(free) - 1
    graph = sorted_adjacency(number[pairs], len(nodes))
    order = elimination_order(graph, most, None if rank is None else rank[nodes])
    if order.too_wide:
        raise TooWideError(order.too_wide)
    steps = len(nodes)
    width = np.diff(order.start)
    position = np.empty(steps, dtype=np.int64)
    position[order.node] = np.arange(steps)
    key = np.repeat(np.arange(steps), width) * steps + position[order.scope]
    key.sort()
    parent = np.full(steps, -1)
    parent[width > 0] = key[order.start[:-1][width > 0]] % steps if steps else 0
    after = _postorder(parent.tolist(), width.tolist())
    # From here on in the numbers of postorder, which keeps the order within every scope.
    old = np.argsort(after)
    parent = np.where(parent[old] < 0, -1, after[parent[old]])
    width = width[old]
    key = np.sort(after[key // steps] * steps + after[key % steps]) if steps else key
    start = np.concatenate([[0], np.cumsum(width)])
    step = np.repeat(np.arange(steps), width)
    later = key - step * steps
    # The parent's scope holds the rest of the child's: its own node is not among them.
    place = np.searchsorted(key, parent[step] * steps + later) - start[parent[step]]
    place[start[:-1][width > 0]] = -1
    linked = np.flatnonzero(parent >= 0)
    children = linked[np.argsort(parent[linked], kind="stable")]
    child_start = np.concatenate([[0], np.cumsum(np.bincount(parent[linked], minlength=steps))])
    node = nodes[order.node[old]]
    offset, live, stacks = _stack(parent, width, child_start, children)
    return EliminationPlan(
        node=node,
        start=start,
        scope=node[later],
        edge=_edges(node[step], node[later], pairs, len(free)),
        place=place,
        child_start=child_start,
        children=children,
        offset=offset,
        live=live,
        stacks=stacks,
    )


def _edges(
    first: Int[ndarray, " entries"],
    second: Int[ndarray, " entries"],
    pairs: Int[ndarray, "edges 2"],
    nodes: int,
) -> Int[ndarray, " entries"]:
    """Number of the edge between two nodes, -1 where there is none."""
    if len(pairs) == 0:
        return np.full(len(first), -1)
    keys = pairs.min(axis=1) * nodes + pairs.max(axis=1)
    order = np.argsort(keys)
    wanted = np.minimum(first, second) * nodes + np.maximum(first, second)
    at = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    return np.where(keys[order[at]] == wanted, order[at], -1)


def _postorder(parent: list[int], width: list[int]) -> Int[ndarray, " steps"]:
    """Number of each step in postorder; of siblings the one whose tables need most room first."""
    steps = len(parent)
    children: list[list[int]] = [[] for _ in range(steps)]
    peak = [0] * steps
    roots = []
    for t in range(steps):
        children[t].sort(key=lambda c: (1 << width[c]) - peak[c])
        held = most = 0
        for c in children[t]:
            most = max(most, held + peak[c])
            held += 1 << width[c]
        peak[t] = max(most, held + (1 << width[t]))
        (children[parent[t]] if parent[t] >= 0 else roots).append(t)
    after = np.empty(steps, dtype=np.int64)
    # Backwards: each before its children, the last child first.
    waiting = roots
    for number in reversed(range(steps)):
        t = waiting.pop()
        after[t] = number
        waiting.extend(children[t])
    return after


def _stack(
    parent: Int[ndarray, " steps"],
    width: Int[ndarray, " steps"],
    child_start: Int[ndarray, " steps+1"],
    children: Int[ndarray, " links"],
) -> tuple[Int[ndarray, " steps"], Int[ndarray, "steps+1 2"], Int[ndarray, " 2"]]:
    """Offsets of the tables, entries on the stacks before each step, and at most."""
    steps = len(parent)
    odd = [0] * steps
    up = parent.tolist()
    for t in reversed(range(steps)):
        if up[t] >= 0:
            odd[t] = 1 - odd[up[t]]
    offset = np.full(steps, -1)
    live = np.zeros((steps + 1, 2), dtype=np.int64)
    top, most = [0, 0], [0, 0]
    sizes, child, begin = width.tolist(), children.tolist(), child_start.tolist()
    for t in range(steps):
        own = odd[t]
        top[1 - own] -= sum(1 << sizes[c] for c in child[begin[t] : begin[t + 1]])
        if up[t] >= 0:
            offset[t] = top[own]
            top[own] += 1 << sizes[t]
            most[own] = max(most[own], top[own])
        live[t + 1] = top
    second = np.array(odd) == 1
    offset[second & (offset >= 0)] += most[0]
    return offset, live, np.array(most)

"""Belief propagation over the pairs of a graph, messages as half log-odds.

The message from i to j with cavity field c is ``(log cosh(c + J) - log cosh(c - J)) / 2``, in the
limit of low temperature ``(|c + J| - |c - J|) / 2``. A pair with edge appearance rho counts rho
times with coupling J / rho.

Reference:
    Wainwright, Jaakkola and Willsky, "A new class of upper bounds on the log partition function",
    IEEE Trans. Information Theory 2005; Elidan, McGraw and Koller, "Residual belief propagation",
    UAI 2006.
"""

from __future__ import annotations

import math

import numpy as np

from mrfmask.graphs.compiled import compiled


@compiled
def message(cavity, coupling, most):
    """What a node with this cavity field says; `most`: max-product."""
    x, y = abs(cavity), abs(coupling)
    least = min(x, y)
    if not most:
        # Two forms of atanh(tanh x tanh y): each keeps all digits where it is used.
        if least < 1.0:
            least = math.atanh(math.tanh(x) * math.tanh(y))
        else:
            rest = math.log1p(math.exp(-2.0 * (x + y))) - math.log1p(math.exp(-2.0 * abs(x - y)))
            least += 0.5 * rest
    return least if (cavity < 0) == (coupling < 0) else -least


@compiled
def _outgoing(v, start, edge, field, coupling, rho, incoming, most, out):
    """Fills out[k] with the message to the k-th neighbour of v; returns nothing.

    Sums from both ends, not the total less one message: that would lose digits where a message is
    much larger than the others.
    """
    sum_before = field[v]
    for e in range(start[v], start[v + 1]):
        out[e - start[v]] = sum_before
        sum_before += rho[edge[e]] * incoming[e]
    sum_after = 0.0
    for k in range(start[v + 1] - start[v]):
        e = start[v + 1] - 1 - k
        r = rho[edge[e]]
        cavity = out[e - start[v]] + sum_after - (1.0 - r) * incoming[e]
        sum_after += r * incoming[e]
        out[e - start[v]] = message(cavity, coupling[edge[e]], most)


@compiled
def _most_neighbours(start):
    most = 1
    for v in range(len(start) - 1):
        most = max(most, start[v + 1] - start[v])
    return most


@compiled
def sweep_colours(
    start, edge, back, order, field, coupling, rho, incoming, most, damping, tolerance, max_sweeps
):
    """Every node of `order` in turn sends its messages; returns (sweeps, last change).

    `coupling` is J / rho. `incoming[e]` is the message to the row's node; changed in place. A
    change counts relative to 1 + |message|.
    """
    out = np.empty(_most_neighbours(start))
    change = np.inf
    sweeps = 0
    while sweeps < max_sweeps and not change <= tolerance:
        change = 0.0
        sweeps += 1
        for v in order:
            _outgoing(v, start, edge, field, coupling, rho, incoming, most, out)
            for e in range(start[v], start[v + 1]):
                new, b = out[e - start[v]], back[e]
                change = max(change, abs(new - incoming[b]) / (1.0 + abs(new)))
                incoming[b] = damping * incoming[b] + (1.0 - damping) * new
    return sweeps, change


@compiled
def _sift(heap, place, key, at):
    """Moves the entry at a place of the heap to where its key belongs, largest first."""
    entry = heap[at]
    while at > 0 and key[heap[(at - 1) // 2]] < key[entry]:
        heap[at] = heap[(at - 1) // 2]
        place[heap[at]] = at
        at = (at - 1) // 2
    while True:
        child = 2 * at + 1
        if child >= len(heap):
            break
        if child + 1 < len(heap) and key[heap[child + 1]] > key[heap[child]]:
            child += 1
        if key[heap[child]] <= key[entry]:
            break
        heap[at] = heap[child]
        place[heap[at]] = at
        at = child
    heap[at] = entry
    place[entry] = at


@compiled
def sweep_residuals(
    start, node, edge, back, field, coupling, rho, incoming, most, damping, tolerance, max_sweeps
):
    """The message that would change most is sent, and so on; as many as in `max_sweeps` sweeps."""
    entries = len(edge)
    out = np.empty(_most_neighbours(start))
    candidate = np.zeros(entries)
    key = np.zeros(entries)
    heap = np.arange(entries)
    place = np.arange(entries)
    for v in range(len(start) - 1):
        _outgoing(v, start, edge, field, coupling, rho, incoming, most, out)
        for e in range(start[v], start[v + 1]):
            b = back[e]
            candidate[b] = out[e - start[v]]
            key[b] = abs(candidate[b] - incoming[b]) / (1.0 + abs(candidate[b]))
            _sift(heap, place, key, place[b])
    sent = 0
    while entries > 0 and key[heap[0]] > tolerance and sent < max_sweeps * entries:
        b = heap[0]
        v = node[back[b]]  # the node that b is in the row of
        incoming[b] = damping * incoming[b] + (1.0 - damping) * candidate[b]
        key[b] = abs(candidate[b] - incoming[b]) / (1.0 + abs(candidate[b]))
        _sift(heap, place, key, 0)
        sent += 1
        _outgoing(v, start, edge, field, coupling, rho, incoming, most, out)
        for e in range(start[v], start[v + 1]):
            b = back[e]
            candidate[b] = out[e - start[v]]
            key[b] = abs(candidate[b] - incoming[b]) / (1.0 + abs(candidate[b]))
            _sift(heap, place, key, place[b])
    if entries == 0:
        return 0, 0.0
    return (sent + entries - 1) // entries, key[heap[0]]


@compiled
def decode(order, start, node, edge, field, coupling, rho, incoming, spin):
    """Nodes in order take the better state, given those decided before; `spin` starts as 0.

    Where every node of a tree but the first has one decided neighbour this finds a best state even
    among ties.
    """
    for v in order:
        total = field[v]
        for e in range(start[v], start[v + 1]):
            p = edge[e]
            decided = spin[node[e]]
            total += rho[p] * (coupling[p] * decided if decided != 0 else incoming[e])
        spin[v] = 1.0 if total > 0 else -1.0

"""Mean-field sweeps on graphs: what the operator `mean_field` is to grids, rule by rule."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mrfmask.graphs.compiled import compiled, inlined
from mrfmask.graphs.gibbs import PATIENCE, potentials
from mrfmask.graphs.heat_bath import CHUNK
from mrfmask.graphs.layout import layout
from mrfmask.graphs.portable import exp2_negative, fused, log2_odds_rate
from mrfmask.graphs.threads import each_item, may_stop

ONE = np.float32(1)
# Entries of a node whose means are fetched before any is added.
AT_ONCE = 16
LEAST_MEAN = np.float32(2.0**-25)


def mean_field_sweeps(
    unary: Float[Tensor, "batch nodes"],
    edges: Int[Tensor, "edges 2"],
    pairwise: Float[Tensor, "batch edges"],
    beta: Float[Tensor, " batch"],
    start: Float[Tensor, "batch nodes"] | None,
    max_sweeps: int,
    tolerance: float,
) -> tuple[Float[Tensor, "batch nodes"], Int[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Sweeps over the colours until no mean of a model moves more than `tolerance`.

    Args:
        unary: float32; +-inf clamps.
        edges: int64.
        pairwise: float32.
        beta: float64, inverse temperature of each model.
        start: float32 in [-1, 1], or None for tanh(beta unary).
        max_sweeps: most sweeps for any model.
        tolerance: largest change of a mean in the last sweep that counts as converged.

    Returns:
        means (batch, nodes) float32, sweeps done (batch,) int64, largest change in the last sweep
        (batch,) float32.
    """
    batch, nodes = unary.shape
    plan = layout(edges, nodes)
    rates = log2_odds_rate(beta.numpy())
    limit = np.float32(tolerance)
    means = torch.empty(batch, nodes)
    done = torch.zeros(batch, dtype=torch.int64)
    changes = torch.full((batch,), torch.inf)
    at_once = max(1, PATIENCE // nodes)

    def run(b: int) -> None:
        model = potentials(plan, unary[b].numpy(), pairwise[b].numpy())
        mean = np.empty(nodes, dtype=np.float32)
        given = mean[:0] if start is None else start[b].numpy()[plan.node].astype(np.float32)
        begin(model, rates[b], given, mean)
        sweeps, change = 0, np.float32(np.inf)
        while sweeps < max_sweeps and change > limit:
            may_stop()
            more = min(at_once, max_sweeps - sweeps)
            more, change = ascend(plan, model, rates[b], mean, more, limit)
            sweeps += more
        means[b].numpy()[plan.node] = mean
        done[b], changes[b] = sweeps, float(change)

    each_item(run, batch)
    return means, done, changes


@inlined
def mean_from_log2_odds(log2_odds):
    """``(1 - 2^-|x|) / (1 + 2^-|x|)`` with the sign of x: tanh from base-2 log odds."""
    e = exp2_negative(abs(log2_odds))
    mean = (ONE - e) / (ONE + e)
    return -mean if log2_odds < np.float32(0) else mean


@compiled
def begin(model, log2_rate, given, mean):
    """The means given, or those of the model without couplings; clamped ones exact at once."""
    for p in range(len(mean)):
        if model.clamp[p] == 0 and len(given):
            mean[p] = given[p] if abs(given[p]) >= LEAST_MEAN else np.float32(0)
        else:
            mean[p] = mean_from_log2_odds(log2_rate * model.unary[p] + model.clamp[p])


@compiled
def ascend(layout, model, log2_rate, mean, most, tolerance):
    """At most so many sweeps: how many, and the largest change in the last."""
    field = np.empty(CHUNK, dtype=np.float32)
    seen = np.empty((AT_ONCE, CHUNK), dtype=np.float32)
    done, change = 0, np.float32(np.inf)
    while done < most and change > tolerance:
        change = np.float32(0)
        for s in range(len(layout.segments)):
            first, count, entry, entries = layout.segments[s]
            for offset in range(0, count, CHUNK):
                here = min(CHUNK, count - offset)
                place = first + offset
                field[:here] = model.unary[place : place + here]
                add_means(field[:here], layout, model, mean, entry + offset, count, entries, seen)
                updated = seen[0]
                for i in range(here):
                    odds = log2_rate * field[i] + model.clamp[place + i]
                    updated[i] = mean_from_log2_odds(odds)
                for i in range(here):
                    moved = abs(updated[i] - mean[place + i])
                    change = max(change, moved)
                    mean[place + i] = updated[i]
        done += 1
    return done, change


@compiled
def add_means(field, layout, model, mean, at, apart, entries, seen):
    """Adds the neighbours' means, times the couplings, to the local fields of a chunk."""
    nodes = len(field)
    for some in range(0, entries, AT_ONCE):
        here = min(AT_ONCE, entries - some)
        for k in range(here):
            first = at + (some + k) * apart
            for i in range(nodes):
                seen[k, i] = mean[layout.neighbour[first + i]]
        for k in range(here):
            first = at + (some + k) * apart
            for i in range(nodes):
                field[i] = fused(model.pairwise[first + i], seen[k, i], field[i])

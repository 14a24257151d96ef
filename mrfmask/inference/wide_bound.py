"""The upper bound on log Z of subgraphs of bounded width, each solved by elimination.

Subgraph t of weight ``w_t = 1 / parts`` has the field ``h_i + z_ti - mean_s z_si`` at node i and
the coupling ``J_e / rho_e + z_te - mean_s z_se`` at its pairs, rho_e the weight of the subgraphs
that have the pair and the mean over those. Whatever z is, these add up to the model, so that
``log Z <= sum_t w_t log Z_t`` by convexity. In z the bound is convex, its gradient the moments.

Reference:
    Wainwright, Jaakkola and Willsky, "A new class of upper bounds on the log partition function",
    IEEE Trans. Information Theory 2005; Liu and Nocedal, "On the limited memory BFGS method for
    large scale optimization", Mathematical Programming 1989.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from mrfmask.graphs.forests import EPSILON
from mrfmask.graphs.pairs import Pairs
from mrfmask.graphs.wide_cover import Part, is_forest, whole_part, wide_cover
from mrfmask.inference.upper_bound import UpperBound
from mrfmask.inference.wide_part import WidePart

# Subgraphs to begin with, if one is not enough.
FIRST_PARTS = 4
USUAL_WIDTH = 10
# Of all tables of a subgraph, at the usual width: 128 MiB.
MOST_ENTRIES = 2**24
# Models of more keep to forests, unless told otherwise: subgraphs are chosen pair by pair.
MOST_PAIRS = 20_000
# Of the quasi-Newton steps.
MEMORY = 12
DECREASE = 1e-4
LEAST_STEP = 1e-6
# Steps in a row that gain less than the tolerance before it stops.
PATIENCE = 3


def usual_width(nodes: int) -> int:
    """The width of `log_partition_bounds` unless told otherwise."""
    return max(1, min(USUAL_WIDTH, (MOST_ENTRIES // max(nodes, 1)).bit_length() - 1))


def exact_bound(
    width: int,
    pairs: Pairs,
    field: Float[np.ndarray, " nodes"],
    coupling: Float[np.ndarray, " pairs"],
) -> UpperBound | None:
    """The value of log Z, if tables of this width do for the whole model.

    None if they do not, and for forests, where passes without tables round less.
    """
    wanted = coupling != 0
    part = None if is_forest(pairs, wanted) else whole_part(pairs, wanted, width)
    if part is None:
        return None
    value, rounding, mean, _ = WidePart(pairs, part, width).moments(field, coupling)
    return UpperBound(value, rounding, mean, [(1, value + rounding)], True)


def cover_of(width: int, pairs: Pairs, coupling: Float[np.ndarray, " pairs"]) -> list[Part]:
    """The subgraphs; none if the width is 1 or the graph a forest, which forests do as well."""
    if width == 1 or is_forest(pairs, coupling != 0):
        return []
    return wide_cover(pairs, cost(coupling), width, FIRST_PARTS)


def cost(coupling: Float[np.ndarray, " pairs"]) -> Float[np.ndarray, " pairs"]:
    """Of cutting pairs: beyond some strength all are the same, two nodes being as good as one."""
    return np.tanh(np.abs(coupling))


def widened(
    before: UpperBound,
    parts: list[WidePart],
    pairs: Pairs,
    field: Float[np.ndarray, " nodes"],
    coupling: Float[np.ndarray, " pairs"],
    tolerance: float,
    max_sweeps: int,
) -> UpperBound:
    """The better of a bound and that of subgraphs; the mean is theirs.

    Args:
        before: the bound so far.
        parts: the subgraphs.
        pairs: the graph.
        field: of the nodes.
        coupling: of the pairs.
        tolerance: steps that gain less than this are the last.
        max_sweeps: most evaluations; each goes over all nodes of all subgraphs.
    """
    return _minimise(WideSplit(pairs, parts, field, coupling), before, tolerance, max_sweeps)


class WideSplit:
    """A model split among subgraphs: evaluates the bound for any z."""

    def __init__(
        self,
        pairs: Pairs,
        parts: list[WidePart],
        field: Float[np.ndarray, " nodes"],
        coupling: Float[np.ndarray, " pairs"],
    ) -> None:
        self.parts = parts
        self.nodes = pairs.nodes
        self.given = np.concatenate([field, coupling])
        stays = np.stack([part.stays for part in parts])
        self.has = np.concatenate([np.ones((len(parts), pairs.nodes), dtype=bool), stays], axis=1)
        self.count = np.maximum(self.has.sum(axis=0), 1)

    def centred(self, z: Float[np.ndarray, "parts terms"]) -> Float[np.ndarray, "parts terms"]:
        """Less the mean of the subgraphs that have a term; 0 in the others."""
        z = np.where(self.has, z, 0.0)
        return np.where(self.has, z - z.sum(axis=0) / self.count, 0.0)

    def upper(
        self, z: Float[np.ndarray, "parts terms"]
    ) -> tuple[float, float, Float[np.ndarray, "parts terms"], Float[np.ndarray, " nodes"]]:
        """The bound, what rounding can add to it, its gradient in z, and the mean of the E[x]."""
        weight = 1.0 / len(self.parts)
        theta = np.where(self.has, self.given / (self.count * weight), 0.0) + self.centred(z)
        value, rounding, largest = 0.0, 0.0, 0.0
        moments = np.empty_like(theta)
        for part, own, moment in zip(self.parts, theta, moments, strict=True):
            total, off, mean, product = part.moments(own[: self.nodes], own[self.nodes :])
            value += weight * total
            rounding += weight * off
            largest = max(largest, abs(total))
            moment[:] = np.concatenate([mean, product])
        # The parts add up to the model but for this; what rounds here moves log Z no more.
        missing = np.abs(weight * theta.sum(axis=0) - self.given).sum()
        sums = (np.abs(theta).sum(axis=0) * weight + np.abs(self.given)).sum()
        rounding += missing + EPSILON * (len(self.parts) + 4) * (sums + largest)
        mean = moments[:, : self.nodes].mean(axis=0)
        return value, rounding, weight * self.centred(moments), mean


def _minimise(
    split: WideSplit, before: UpperBound, tolerance: float, max_sweeps: int
) -> UpperBound:
    """Quasi-Newton steps with a memory, halved until they lower the bound enough."""
    z = np.zeros(split.has.shape)
    value, rounding, slope, mean = split.upper(z)
    best = min((before.bound, before.rounding), (value, rounding), key=sum)
    first, sweeps = before.trace[-1][0], 1
    trace = [*before.trace, (first + 1, sum(best))]
    memory: list[tuple[np.ndarray, np.ndarray, float]] = []
    size, small = 1.0, 0
    while sweeps < max_sweeps and small < PATIENCE:
        step = -_inverse_times(memory, slope, len(split.parts))
        there = split.upper(z + size * step)
        sweeps += 1
        if there[0] > value + DECREASE * size * (step * slope).sum():
            size *= 0.5
            if size < LEAST_STEP:
                break
            continue
        moved, turned = size * step, there[2] - slope
        bent = (moved * turned).sum()
        if bent > 0:
            memory = [*memory[1 - MEMORY :], (moved, turned, bent)]
        small = small + 1 if value - there[0] < tolerance else 0
        z, size = z + moved, 1.0
        value, rounding, slope, mean = there
        best = min(best, (value, rounding), key=sum)
        trace.append((first + sweeps, sum(best)))
    converged = small >= PATIENCE or size < LEAST_STEP
    return UpperBound(*best, mean, trace, converged)


def _inverse_times(memory, slope, parts):
    """An approximate inverse of the second derivative times the slope."""
    result = slope.copy()
    if not memory:
        # A variance is at most 1, and the bound has `parts` weights.
        return result * parts
    shares = []
    for moved, turned, bent in reversed(memory):
        share = (moved * result).sum() / bent
        shares.append(share)
        result -= share * turned
    moved, turned, bent = memory[-1]
    result *= bent / (turned * turned).sum()
    for (moved, turned, bent), share in zip(memory, reversed(shares), strict=True):
        result += (share - (turned * result).sum() / bent) * moved
    return result

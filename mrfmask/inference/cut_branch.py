"""Branch and cut: what odd cycles leave open, by values of an edge, with more odd cycles."""

from __future__ import annotations

import heapq
import itertools
import math
import time

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from mrfmask.graphs.adjacency import adjacency
from mrfmask.inference.cut_form import related
from mrfmask.inference.cut_lp import NONE, Cycles
from mrfmask.inference.cut_relax import (
    CLOSED,
    Found,
    Relaxed,
    Tally,
    edge_ends,
    edge_values,
    rounded_states,
    target,
    violated_cycles,
)

# A value this far from 0 and 1 is one to branch on.
FRACTION = 1e-5
# Edges that are tried, by so many iterations for either value.
PROBED, PROBES = 8, 60
# Rounds of inequalities for a set of limits go on while each closes this share of the gap.
SHARE = 0.05
# Inequalities that a solution keeps to by so much are put aside.
SLACK, DROP_ROUNDS = 1e-3, 6


def branch(relaxed: Relaxed, deadline: float, tally: Tally) -> Found:
    """The minimum of a form, from its relaxation, by limits of the edges.

    One linear program is restricted to the limits of one set of states after the other: those with
    the least bound, or the better half of those just split. Inequalities hold for all of them. An
    edge whose other value costs more than the gap is fixed, and those that follow from fixed ones.

    Reference:
        Liers, Juenger, Reinelt and Rinaldi, "Computing exact ground states of hard Ising spin glass
        problems by branch-and-cut", New Optimization Algorithms in Physics 2004; Achterberg, Koch
        and Martin, "Branching rules revisited", Operations Research Letters 2005.
    """
    return _Search(relaxed, deadline, tally).run()


class _Search:
    """States not yet excluded, in sets: a heap of (bound, number, lower and upper limits)."""

    def __init__(self, relaxed: Relaxed, deadline: float, tally: Tally) -> None:
        self.lp, self.form, self.step = relaxed.lp, relaxed.lp.form, relaxed.step
        self.y, self.value = relaxed.y, relaxed.value
        self.deadline, self.tally = deadline, tally
        self.graph = adjacency(torch.from_numpy(self.form.pairs), self.form.nodes)
        self.ends = edge_ends(self.lp)
        self.pool = relaxed.lp.cycles
        # Excluded sets have at least this bound.
        self.least = math.inf
        self.root = relaxed.lp.bound, relaxed.lp.advantage
        self.gain = np.zeros((2, len(self.lp.cost)))  # of the bound, for each unit of the value
        self.tried = np.zeros((2, len(self.lp.cost)))

    @property
    def target(self) -> float:
        return target(self.value, self.step)

    def run(self) -> Found:
        numbers = itertools.count()
        size = len(self.lp.cost)
        lower, upper = np.zeros(size), np.ones(size)
        heap = [(self.lp.bound, next(numbers), lower, upper)]
        dive = None
        while heap or dive:
            bound, _, lower, upper = dive or heapq.heappop(heap)
            dive = None
            if bound >= self.target:
                self.least = min(self.least, bound)
                continue
            if time.monotonic() >= self.deadline:
                heapq.heappush(heap, (bound, 0, lower, upper))
                break
            self.tally.branches += 1
            halves = self.split(bound, lower, upper)
            halves = sorted((b, next(numbers), *limits) for b, *limits in halves)
            if halves:
                dive = halves[0]
                for half in halves[1:]:
                    heapq.heappush(heap, half)
        self.tally.rounds += 0
        open_bound = min((item[0] for item in heap), default=math.inf)
        proven = not heap
        bound = min(self.least, open_bound, self.value)
        if proven and self.step:  # No energy lies between the two.
            bound = self.value
        self.tally.tolerance += CLOSED
        return Found(y=self.y, bound=bound, proven=proven)

    def split(self, bound, lower, upper):
        """Two halves of a set with bounds of their own, or none if it has no better states."""
        lp = self.lp
        while True:
            limits = self.implied(lower, upper)
            if limits is None:
                return []
            lower, upper = limits
            found = self.tighten(bound, lower, upper)
            if found is None:
                return []
            bound, lower, upper = found
            if time.monotonic() >= self.deadline:
                return [(bound, lower, upper)]
            # A probe may exclude one value: then the other is known.
            edge, bounds = self.choose(bound)
            if edge < 0:
                return [(bound, lower, upper)] if lp.bound < self.target else []
            alive = [value for value in (0, 1) if bounds[value] < self.target]
            for value in (0, 1):
                if value not in alive:
                    self.least = min(self.least, bounds[value])
            if len(alive) == 2:
                break
            if not alive:
                return []
            lower, upper = lower.copy(), upper.copy()
            lower[edge] = upper[edge] = alive[0]
            bound = max(bound, bounds[alive[0]])
        halves = []
        for value in (0, 1):
            own = lower.copy(), upper.copy()
            own[0][edge] = own[1][edge] = value
            halves.append((max(bound, bounds[value]), *own))
        return halves

    def implied(self, lower, upper):
        """Limits with edges fixed that follow from others; None if they contradict each other."""
        fixed = lower == upper
        if not fixed.any():
            return lower, upper
        group, flip, _ = related(self.form.nodes + 1, self.ends[fixed], lower[fixed] > 0.5)
        one, other = self.ends.T
        same, value = group[one] == group[other], flip[one] != flip[other]
        if (value[fixed] != (lower[fixed] > 0.5)).any():
            return None
        return np.where(same, value, lower), np.where(same, value, upper)

    def tighten(self, bound, lower, upper):
        lp = self.lp
        lp.restrict(lower, upper)
        earlier, rounds = bound, 0
        while True:
            if not lp.solve(self.deadline):
                if lp.bound == math.inf:
                    return None
                return max(bound, lp.bound), lower, upper
            rounds += 1
            self.tally.rounds += 1
            bound = max(bound, lp.bound)
            if bound >= self.target:
                self.least = min(self.least, bound)
                return None
            # The root's reduced costs hold everywhere.
            self.exclude(*self.root, lower, upper)
            lower, upper = self.exclude(lp.bound, lp.advantage, lower, upper)
            cycles = self.violated()
            if not len(cycles) or (rounds > 1 and bound - earlier < SHARE * (self.target - bound)):
                self.improve()
                if bound >= self.target:
                    self.least = min(self.least, bound)
                    return None
                return bound, lower, upper
            if rounds % DROP_ROUNDS == 0:
                lp.drop_slack(SLACK)
            earlier = bound
            lp.add(cycles)

    def exclude(self, bound, advantage, lower, upper):
        cost = bound + np.abs(advantage) >= self.target
        value = (advantage < 0).astype(np.float64)
        fix = cost & (lower != upper)
        lower, upper = np.where(fix, value, lower), np.where(fix, value, upper)
        return lower, upper

    def violated(self):
        cycles = violated_cycles(self.lp, self.graph)
        self.tally.cuts += len(cycles)
        return cycles

    def improve(self):
        y = rounded_states(self.lp, self.graph)
        if (value := self.form.energy(y)) < self.value:
            self.y, self.value = y, value

    def choose(self, bound):
        """An edge to split at and bounds for its two values; -1 where all values are whole."""
        z = self.lp.z
        doubt = np.minimum(z, 1 - z)
        candidates = np.flatnonzero(doubt > FRACTION)
        if not len(candidates):
            return -1, (bound, bound)
        average = self.gain.sum() / max(self.tried.sum(), 1)
        known = self.tried > 0
        gain = np.where(known, self.gain / np.maximum(self.tried, 1), average or 1.0)
        size = np.abs(self.lp.cost)
        guess = np.where(known.any(0), gain[0] * z * gain[1] * (1 - z), 1.0)
        score = doubt * (size + size.mean())
        if average:
            score = gain[0] * z * gain[1] * (1 - z)
        order = candidates[np.argsort(-score[candidates], kind="stable")[:PROBED]]
        best, best_score, best_bounds = -1, -1.0, None
        floor = 1e-6
        for edge in order:
            bounds = []
            for value in (0, 1):
                distance = z[edge] if value == 0 else 1 - z[edge]
                if self.tried[value, edge] >= 4:
                    found = bound + gain[value, edge] * distance
                    bounds.append((found, bound))
                    continue
                found = self.lp.probe(edge, value, PROBES, self.deadline)
                rise = min(max(found, bound), self.value) - bound
                self.gain[value, edge] += rise / distance
                self.tried[value, edge] += 1
                bounds.append((found, max(found, bound)))
            rises = [min(f, self.value) - bound for f, _ in bounds]
            own = max(rises[0], floor) * max(rises[1], floor)
            if any(b >= self.target for _, b in bounds):
                return edge, tuple(b for _, b in bounds)
            if own > best_score:
                best, best_score, best_bounds = edge, own, tuple(b for _, b in bounds)
        return best, best_bounds

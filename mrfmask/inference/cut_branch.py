"""Branch and cut: what odd cycles leave open, split by the value of an edge, with more cycles."""

from __future__ import annotations

import heapq
import math
import time
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from mrfmask.graphs.adjacency import adjacency
from mrfmask.inference.cut_form import related
from mrfmask.inference.cut_relax import (
    CLOSED,
    Found,
    Relaxed,
    Tally,
    edge_ends,
    rounded_states,
    target,
    violated_cycles,
)

# A value is whole if it is this near to 0 or 1.
WHOLE = 1e-6
# So many edges are tried before a split, either value by so many iterations; an edge that was tried
# before is known by what it gave then.
TRIED, ITERATIONS = 6, 40
# What a value that closes nothing counts for, in units of the gap.
NOTHING = 1e-4
# A set is split once a round of inequalities closes less than this share of its gap.
SHARE = 0.05
# Every so many rounds, inequalities that are kept to by so much are dropped.
DROP_ROUNDS, SLACK = 6, 1e-3


class _States(NamedTuple):
    """States of a form within limits of the edges, in the order of a heap."""

    bound: float
    number: int
    lower: Float[np.ndarray, " edges"]
    upper: Float[np.ndarray, " edges"]


def branch(relaxed: Relaxed, deadline: float, tally: Tally) -> Found:
    """The minimum of a form, or its bound when time is over, from a relaxation that left a gap.

    The linear program is restricted to one set of states after the other: to the better half of
    that just split, else to one with the least bound. Its inequalities hold for all of them. An
    edge whose other value costs more than the gap is fixed, and so are those that follow.

    Args:
        relaxed: its program is of no other use afterwards.
        deadline: on the monotonic clock.
        tally: adds to it.

    Reference:
        Liers, Juenger, Reinelt and Rinaldi, "Computing exact ground states of hard Ising spin glass
        problems by branch-and-cut", New Optimization Algorithms in Physics 2004; Achterberg, Koch
        and Martin, "Branching rules revisited", Operations Research Letters 2005.
    """
    return _Search(relaxed, deadline, tally).run()


class _Search:
    def __init__(self, relaxed: Relaxed, deadline: float, tally: Tally) -> None:
        self.lp, self.step, self.tally = relaxed.lp, relaxed.step, tally
        self.y, self.value = relaxed.y, relaxed.value
        self.deadline = deadline
        self.graph = adjacency(torch.from_numpy(self.lp.form.pairs), self.lp.form.nodes)
        self.ends = edge_ends(self.lp)
        edges = len(self.ends)
        self.least = math.inf  # of the bounds of all sets that are done with
        self.number = 0  # of sets so far: orders those with the same bound
        self.sets = [_States(self.lp.bound, 0, np.zeros(edges), np.ones(edges))]
        # Rise of the bound for a unit of an edge's value down and up, as found by trying it.
        self.rise = np.full((2, edges), np.nan)

    @property
    def target(self) -> float:
        """Sets with at least this bound have no better states."""
        return target(self.value, self.step)

    def run(self) -> Found:
        """Splits sets until none is left."""
        while self.sets and time.monotonic() < self.deadline:
            states = heapq.heappop(self.sets)
            while states is not None and time.monotonic() < self.deadline:
                states = self._split(states)
            if states is not None:
                heapq.heappush(self.sets, states)
        self.tally.tolerance += CLOSED
        proven = not self.sets
        if proven and self.step:  # No energy lies between the two.
            return Found(y=self.y, bound=self.value, proven=True)
        bound = min(self.least, self.value, *(states.bound for states in self.sets))
        return Found(y=self.y, bound=bound, proven=proven)

    def _split(self, states: _States) -> _States | None:
        """Closes a set, or puts one half on the heap and returns the better one."""
        states = self._tightened(states)
        if states is None or states.bound >= self.target or time.monotonic() >= self.deadline:
            return self._kept(states)
        self.tally.branches += 1
        edge, bounds = self._chosen(states)
        halves = []
        for value in (0, 1):
            lower, upper = states.lower.copy(), states.upper.copy()
            lower[edge] = upper[edge] = value
            self.number += 1
            half = _States(max(states.bound, bounds[value]), self.number, lower, upper)
            if (half := self._kept(half)) is not None:
                halves.append(half)
        if len(halves) == 2:
            heapq.heappush(self.sets, max(halves))
        return min(halves, default=None)

    def _kept(self, states: _States | None) -> _States | None:
        """The set, unless it has no better states."""
        if states is None or states.bound < self.target:
            return states
        self.least = min(self.least, states.bound)
        return None

    def _tightened(self, states: _States) -> _States | None:
        """The set with its bound by odd cycles and with edges fixed; None if it is empty."""
        lp, form = self.lp, self.lp.form
        states, before = self._implied(states), states.bound
        if states is None:
            return None
        lp.restrict(states.lower, states.upper)
        while lp.solve(self.deadline):
            self.tally.rounds += 1
            states = states._replace(bound=max(states.bound, lp.bound))
            if states.bound >= self.target:
                return states
            # Where the other value costs more than the gap.
            fixed = lp.bound + np.abs(lp.advantage) >= self.target
            value = (lp.advantage < 0).astype(np.float64)
            lower = np.where(fixed & (states.lower < states.upper), value, states.lower)
            upper = np.where(fixed & (states.lower < states.upper), value, states.upper)
            states = states._replace(lower=lower, upper=upper)
            cycles = violated_cycles(lp, self.graph)
            whole = np.minimum(lp.z, 1 - lp.z).max() <= WHOLE
            stalled = states.bound - before < SHARE * (self.target - states.bound)
            if self.tally.rounds % DROP_ROUNDS == 0:
                lp.drop_slack(SLACK)
            lp.add(cycles)
            self.tally.cuts += len(cycles)
            if not len(cycles) or (stalled and not whole):
                y = rounded_states(lp, self.graph)
                if (energy := form.energy(y)) < self.value:
                    self.y, self.value = y, energy
                single = (states.lower == states.upper).all()
                return states._replace(bound=self.value) if single else states
            before = states.bound
        if lp.bound == math.inf:
            return None
        return states._replace(bound=max(states.bound, lp.bound))

    def _implied(self, states: _States) -> _States | None:
        """The set with edges fixed that follow from others; None if these contradict each other."""
        fixed, own = states.lower == states.upper, states.lower > 0.5
        group, flip, _ = related(self.lp.form.nodes + 1, self.ends[fixed], own[fixed])
        one, other = self.ends.T
        differ, known = flip[one] != flip[other], group[one] == group[other]
        if (differ != own)[fixed].any():
            return None
        lower, upper = (np.where(known, differ, limit) for limit in (states.lower, states.upper))
        return states._replace(lower=lower, upper=upper)

    def _chosen(self, states: _States) -> tuple[int, tuple[float, float]]:
        """The edge to split at, and bounds for its values 0 and 1.

        That with the largest product of both rises, of those whose values are least whole.
        """
        z = self.lp.z
        gap = self.target - states.bound
        distance = np.stack([z, 1 - z])
        typical = np.nanmean(self.rise) if not np.isnan(self.rise).all() else gap
        rise = np.where(np.isnan(self.rise), typical, self.rise) * distance
        score = np.clip(rise, NOTHING * gap, gap).prod(axis=0) * distance.min(axis=0)
        score[distance.min(axis=0) <= WHOLE] = 0.0
        score[states.lower == states.upper] = -1.0
        best, best_score, best_bounds = int(score.argmax()), -1.0, (states.bound, states.bound)
        for edge in np.argsort(-score, kind="stable")[:TRIED].tolist():
            if score[edge] <= 0:
                break
            bounds = [states.bound, states.bound]
            for value in (0, 1):
                if np.isnan(self.rise[value, edge]):
                    bounds[value] = self.lp.probe(edge, value, ITERATIONS, self.deadline)
                    gain = min(max(bounds[value] - states.bound, 0.0), gap)
                    self.rise[value, edge] = gain / distance[value, edge]
            rise = np.clip(self.rise[:, edge] * distance[:, edge], NOTHING * gap, gap)
            if rise.prod() > best_score:
                best, best_score, best_bounds = edge, rise.prod(), (bounds[0], bounds[1])
            if max(bounds) >= self.target:  # One half is done with at once.
                return edge, (bounds[0], bounds[1])
        return best, best_bounds

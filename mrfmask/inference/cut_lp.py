"""The linear program over the edges of a cut, tightened by odd-cycle inequalities."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from mrfmask.inference.cut_form import CutForm
from mrfmask.inference.ilp_highs import quiet_highs, run_interruptibly

# Odd sets of the triangle of a pair and the root: the pair, either end, all three.
TRIANGLES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], dtype=bool)


@dataclass(frozen=True, eq=False)
class Cycles:
    """Inequalities ``sum_F z - sum_(rest) z <= |F| - 1`` of cycles with an odd set F each.

    Attributes:
        start: (cycles + 1,) int64, where each one's entries begin.
        edge: (entries,) int64; `pairs` + i is the edge between the root and node i, which is y_i.
        odd: (entries,) bool, whether the edge is in F.
    """

    start: Int[np.ndarray, " cycles+1"]
    edge: Int[np.ndarray, " entries"]
    odd: Bool[np.ndarray, " entries"]

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def sign(self) -> Float[np.ndarray, " entries"]:
        """1 in F, else -1."""
        return np.where(self.odd, 1.0, -1.0)

    @property
    def right_side(self) -> Float[np.ndarray, " cycles"]:
        """|F| - 1."""
        total = np.concatenate([[0], np.cumsum(self.odd)])
        return (np.diff(total[self.start]) - 1).astype(np.float64)

    def take(self, kept: Int[np.ndarray, " kept"]) -> Cycles:
        """Some of them."""
        sizes = np.diff(self.start)[kept]
        start = np.concatenate([[0], np.cumsum(sizes)])
        entry = np.arange(start[-1]) + np.repeat(self.start[:-1][kept] - start[:-1], sizes)
        return Cycles(start=start, edge=self.edge[entry], odd=self.odd[entry])

    def join(self, other: Cycles) -> Cycles:
        """These and others."""
        return Cycles(
            start=np.concatenate([self.start, other.start[1:] + self.start[-1]]),
            edge=np.concatenate([self.edge, other.edge]),
            odd=np.concatenate([self.odd, other.odd]),
        )

    def distinct(self) -> Cycles:
        """Each one once."""
        entries = list(zip(self.edge.tolist(), self.odd.tolist(), strict=True))
        keys = {frozenset(entries[self.start[k] : self.start[k + 1]]): k for k in range(len(self))}
        return self.take(np.array(sorted(keys.values()), dtype=np.int64))


NONE = Cycles(start=np.zeros(1, np.int64), edge=np.zeros(0, np.int64), odd=np.zeros(0, bool))


@dataclass(frozen=True, kw_only=True, eq=False)
class SideRow:
    """A limit on the nodes that are on: ``sum cost y <= amount``, or equal."""

    cost: Float[np.ndarray, " nodes"]
    amount: float
    at_most: bool

    def allows(self, y: Bool[np.ndarray, " nodes"]) -> bool:
        """Whether states keep to it."""
        spent = self.cost[y].sum()
        return bool(spent <= self.amount if self.at_most else spent == self.amount)


class CutLp:
    """``min c'z`` over the edges, 0 <= z <= 1, under the inequalities found so far.

    Where nodes have a field, a root in state 0 is joined to all of them: then y_i is the variable
    of an edge as well. Without fields there are only the pairs.

    Attributes:
        rooted: whether there is a root.
        cycles: the inequalities, in the order of the program's rows.
        z: (pairs + nodes,) or (pairs,), the last solution.
        bound: the best lower bound so far, by duality.
        advantage: reduced costs that go with it: states with z_e = 1 where they are positive, or
            z_e = 0 where they are negative, have at least their size more energy than the bound.
    """

    def __init__(self, form: CutForm, side: SideRow | None) -> None:
        self.form = form
        self.rooted = side is not None or bool(form.linear.any())
        self.cost = np.concatenate([form.weight, form.linear]) if self.rooted else form.weight
        size = len(self.cost)
        self.side = side
        self.cycles = NONE
        self.z = (self.cost < 0).astype(np.float64)
        self.bound = form.offset + float(np.minimum(self.cost, 0).sum())
        self.advantage = self.cost
        self._highs = quiet_highs()
        self._highs.setOptionValue("presolve", "off")  # It would lose the last basis.
        self._highs.setOptionValue("solver", "simplex")
        self._highs.addVars(size, np.zeros(size), np.ones(size))
        self._highs.changeColsCost(size, np.arange(size, dtype=np.int32), self.cost)
        if side is not None:
            columns = len(form.pairs) + np.arange(form.nodes, dtype=np.int32)
            least = -math.inf if side.at_most else side.amount
            self._highs.addRow(least, side.amount, form.nodes, columns, side.cost)

    @property
    def cuts(self) -> Cycles:
        """The inequalities without the root's: an integer program has those of its own accord."""
        largest = np.maximum.reduceat(self.cycles.edge, self.cycles.start[:-1])
        return self.cycles.take(np.flatnonzero(largest < len(self.form.pairs)))

    @property
    def rows(self) -> int:
        """How many the program has."""
        return len(self.cycles) + (self.side is not None)

    def add(self, cycles: Cycles) -> None:
        """More inequalities."""
        count, right_side = len(cycles), cycles.right_side
        start, edge = cycles.start[:-1].astype(np.int32), cycles.edge.astype(np.int32)
        free = np.full(count, -math.inf)
        self._highs.addRows(count, free, right_side, len(edge), start, edge, cycles.sign)
        self.cycles = self.cycles.join(cycles)

    def drop_slack(self, slack: float) -> None:
        """Forgets those that the solution keeps to by more than this."""
        left = self.cycles.right_side - self._row_values()
        loose = np.flatnonzero(left > slack)
        first = int(self.side is not None)
        if len(loose):
            self._highs.deleteRows(len(loose), (loose + first).astype(np.int32))
            self.cycles = self.cycles.take(np.flatnonzero(left <= slack))

    def solve(self, deadline: float) -> bool:
        """Solves on from the last basis; False if the time is over."""
        import highspy

        if deadline < math.inf:
            left = max(deadline - time.monotonic(), 0.0)
            self._highs.setOptionValue("time_limit", self._highs.getRunTime() + left)
        run_interruptibly(self._highs)
        if self._highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return False
        solution = self._highs.getSolution()
        self.z = np.clip(np.array(solution.col_value), 0.0, 1.0)
        self._bound_by(np.array(solution.row_dual))
        return True

    def _row_values(self) -> Float[np.ndarray, " cycles"]:
        total = np.concatenate([[0.0], np.cumsum(self.cycles.sign * self.z[self.cycles.edge])])
        return np.diff(total[self.cycles.start])

    def _bound_by(self, dual: Float[np.ndarray, " rows"]) -> None:
        """A bound by any multipliers of the right sign: no tolerance of the solver enters it.

        Reference:
            Neumaier and Shcherbina, "Safe bounds in linear and mixed-integer linear programming",
            Mathematical Programming 2004.
        """
        reduced = self.cost.copy()
        bound = self.form.offset
        if self.side is not None:
            price = min(dual[0], 0.0) if self.side.at_most else dual[0]
            bound += price * self.side.amount
            reduced[len(self.form.pairs) :] -= price * self.side.cost
            dual = dual[1:]
        price = np.minimum(dual, 0.0)
        bound += float(price @ self.cycles.right_side)
        terms = np.repeat(price, np.diff(self.cycles.start)) * self.cycles.sign
        reduced -= np.bincount(self.cycles.edge, terms, len(reduced))
        bound += float(np.minimum(reduced, 0.0).sum())
        if bound > self.bound:
            self.bound, self.advantage = bound, reduced


def violated_triangles(form: CutForm, z: Float[np.ndarray, " edges"], least: float) -> Cycles:
    """The most violated inequality of each pair and the root, if by more than `least`."""
    pairs = len(form.pairs)
    sides = np.stack([np.arange(pairs), *(pairs + form.pairs.T)], axis=1)
    value = z[sides]
    excess = value @ np.where(TRIANGLES, 1.0, -1.0).T - (TRIANGLES.sum(axis=1) - 1)
    worst = excess.argmax(axis=1)
    found = np.flatnonzero(excess.max(axis=1, initial=-math.inf) > least)
    start = np.arange(len(found) + 1) * 3
    return Cycles(start=start, edge=sides[found].ravel(), odd=TRIANGLES[worst[found]].ravel())

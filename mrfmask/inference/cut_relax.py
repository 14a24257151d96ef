"""Linear programs with odd-cycle inequalities, up to none that is violated, and masks from them."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from mrfmask.graphs.adjacency import Adjacency, adjacency
from mrfmask.graphs.threads import in_thread
from mrfmask.inference.cut_form import CutForm, related
from mrfmask.inference.cut_lp import NONE, CutLp, Cycles, SideRow, violated_triangles

# A gap that counts as none, in units of a form whose coefficients are at most 1024.
CLOSED = 1e-6
# Energies are multiples of something only where coefficients are multiples of this.
FINEST_STEP = 2.0**-20
# Violations that count: first large ones, of short cycles (HOP is added to each edge's length).
LARGE, SMALL, HOP = 1e-3, 1e-6, 0.05
# Fewer inequalities than this in a round are too few to go on without looking everywhere.
FEW = 10
# Every so many rounds, inequalities that are kept to by so much are dropped,
DROP_ROUNDS, SLACK = 5, 1e-3
# and the program is left as it is once they close less than this share of the gap.
STALLED_ROUNDS, STALLED_SHARE = 20, 0.05


@dataclass(kw_only=True)
class Tally:
    """What was done for one image, and may be.

    `tolerance` is what bounds may be too high by; no more than `most_rounds` linear programs, if
    not None, are solved.
    """

    most_rounds: int | None = None
    settled: int = 0
    variables: int = 0
    constraints: int = 0
    cuts: int = 0
    rounds: int = 0
    tolerance: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Relaxed:
    """A linear program that holds no violated inequality any more, or as far as time allowed.

    Attributes:
        lp: with its bound and inequalities.
        y: the best states known.
        value: their energy.
        step: all energies of the form differ by multiples of it; 0 if none is known.
    """

    lp: CutLp
    y: Bool[np.ndarray, " nodes"]
    value: float
    step: float

    @property
    def target(self) -> float:
        """No states better than those known have this energy or more."""
        return target(self.value, self.step)

    @property
    def closed(self) -> bool:
        """Whether the bound proves the states optimal."""
        return self.lp.bound >= self.target

    @property
    def bound(self) -> float:
        """That of the program, or the value where no energy lies between the two."""
        between = self.value - self.lp.bound > CLOSED
        return self.value if self.closed and between else self.lp.bound

    def fixed(self) -> Int[np.ndarray, " fixed"]:
        """Edges whose value all states better than the best known share with them.

        Where the other value costs more than the gap, by reduced costs.
        """
        own = edge_values(self.lp, self.y)
        better = np.where(own, -self.lp.advantage, self.lp.advantage)
        return np.flatnonzero(self.lp.bound + better >= self.target)


def target(value: float, step: float) -> float:
    """A bound that proves a value, where energies differ by multiples of the step."""
    return value - max(step - CLOSED, CLOSED)


def edge_values(lp: CutLp, y: Bool[np.ndarray, " nodes"]) -> Bool[np.ndarray, " edges"]:
    """What the states y make of every edge."""
    differ = y[lp.form.pairs[:, 0]] != y[lp.form.pairs[:, 1]]
    return np.concatenate([differ, y]) if lp.rooted else differ


def edge_ends(lp: CutLp) -> Int[np.ndarray, "edges 2"]:
    """The nodes of every edge; the root is the last node."""
    if not lp.rooted:
        return lp.form.pairs
    nodes = np.arange(lp.form.nodes)
    return np.concatenate([lp.form.pairs, np.stack([nodes, np.full_like(nodes, len(nodes))], 1)])


def relax(
    form: CutForm,
    known: Bool[np.ndarray, " nodes"],
    deadline: float,
    tally: Tally,
    side: SideRow | None = None,
) -> Relaxed:
    """Adds violated odd-cycle inequalities until none is left, the gap closes or time is over.

    With a root that is joined to all nodes, a cycle through it has chords that leave triangles, and
    those are seen at a glance; other cycles are found by shortest paths.

    Args:
        form: the program's.
        known: states to compare with; better ones are made from the solutions, unless there is a
            `side` row, which they would have to keep.
        deadline: on the monotonic clock.
        tally: adds to it.
        side: a limit on the nodes that are on.

    Reference:
        Barahona and Mahjoub, "On the cut polytope", Mathematical Programming 1986; Liers, Juenger,
        Reinelt and Rinaldi, "Computing exact ground states of hard Ising spin glass problems by
        branch-and-cut", New Optimization Algorithms in Physics 2004.
    """
    lp, step, balanced = CutLp(form, side), energy_step(form), form.is_balanced()
    graph = adjacency(torch.from_numpy(form.pairs), form.nodes)
    y, value = known, form.energy(known)
    rounds, earlier, ended = 0, lp.bound, False
    most = math.inf if tally.most_rounds is None else tally.most_rounds - tally.rounds
    while not ended and rounds < most and time.monotonic() < deadline and lp.solve(deadline):
        rounds += 1
        if side is None:
            rounded = _rounded(lp, graph)
            if (energy := form.energy(rounded)) < value:
                y, value = rounded, energy
        if lp.bound >= target(value, step):
            break
        if rounds % DROP_ROUNDS == 0:
            lp.drop_slack(SLACK)
        if rounds % STALLED_ROUNDS == 0:
            if lp.bound - earlier < STALLED_SHARE * (value - earlier):
                break
            earlier = lp.bound
        cycles = _violated(lp, None if balanced else graph, deadline)
        tally.cuts += len(cycles)
        lp.add(cycles)
        ended = not len(cycles)
    tally.rounds += rounds
    tally.variables = max(tally.variables, len(lp.cost))
    tally.constraints = max(tally.constraints, lp.rows)
    return Relaxed(lp=lp, y=y, value=value, step=step)


def energy_step(form: CutForm) -> float:
    """What all differences of energies are multiples of; 0 where coefficients are too fine.

    A flip of node i adds u_i and its c with some signs: their sum, and twice some of them.
    """
    around = form.linear.copy()
    for end in form.pairs.T:
        around += np.bincount(end, form.weight, form.nodes)
    units = np.concatenate([2 * form.linear, 2 * form.weight, around]) / FINEST_STEP
    if (units != np.rint(units)).any():
        return 0.0
    return float(np.gcd.reduce(np.rint(units).astype(np.int64), initial=0)) * FINEST_STEP


def _violated(lp: CutLp, graph: Adjacency | None, deadline: float) -> Cycles:
    """Inequalities that the solution violates: large violations, or any if there are few.

    Without a graph, which is for forms without frustrated cycles, those with the root only.
    """
    form = lp.form
    triangles = violated_triangles(form, lp.z, SMALL) if lp.rooted else NONE
    if graph is None:
        return triangles
    z = lp.z[: len(form.pairs)]
    cycles = _cycles_until(deadline, graph, z, LARGE, HOP)
    if not len(cycles) and len(triangles) < FEW:
        cycles = _cycles_until(deadline, graph, z, SMALL, 0.0)
    return triangles.join(cycles.distinct())


def _cycles_until(
    deadline: float, graph: Adjacency, z: Float[np.ndarray, " edges"], least: float, hop: float
) -> Cycles:
    """What `odd_cycles` finds in time."""
    from mrfmask.graphs.odd_cycles import odd_cycles

    stop = np.zeros(1, dtype=np.bool_)
    timer = None
    if deadline < math.inf:
        timer = threading.Timer(max(deadline - time.monotonic(), 0.0), stop.fill, [True])
        timer.start()
    try:
        found = in_thread(lambda: odd_cycles(graph, z, least, hop, stop), lambda: stop.fill(True))
    finally:
        if timer is not None:
            timer.cancel()
            timer.join()
    return Cycles(*found)


def _rounded(lp: CutLp, graph: Adjacency) -> Bool[np.ndarray, " nodes"]:
    """States that agree with the solution along a tree of the edges that are nearest to whole.

    Flips, one by one and in chains, make them better.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    from mrfmask.graphs.descent import descend

    ends, nodes = edge_ends(lp), lp.form.nodes + 1
    doubt = 1.0 - np.abs(lp.z - 0.5)
    numbers = coo_array((doubt, ends.T), (nodes, nodes)).tocsr()
    tree = minimum_spanning_tree(numbers).tocoo()
    order = np.argsort(ends[:, 0] * nodes + ends[:, 1])
    wanted = tree.row.astype(np.int64) * nodes + tree.col
    chosen = order[np.searchsorted(ends[order, 0] * nodes + ends[order, 1], wanted)]
    group, flip, _ = related(nodes, ends[chosen], lp.z[chosen] > 0.5)
    # Nodes that the tree does not join to the root may have either state.
    y = np.where(group[:-1] == group[-1], flip[:-1] ^ flip[-1], flip[:-1])
    linear, weight = lp.form.linear, lp.form.weight
    in_thread(lambda: descend(graph.start, graph.node, graph.edge, linear, weight, y))
    return y

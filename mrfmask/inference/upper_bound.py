"""The upper bound on log Z of spanning forests: the best split for the best forests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from mrfmask.graphs.forests import EPSILON, covering_forests, heaviest_forest
from mrfmask.graphs.pairs import Pairs
from mrfmask.inference.forest_bound import Split
from mrfmask.inference.message_passing import pass_messages
from mrfmask.inference.pseudo_marginals import pseudo_marginals

# Forests to begin with; edges then appear about equally often.
FIRST_FORESTS = 6
# Sweeps after which the bound is looked at again.
SWEEPS_A_ROUND = 20
DAMPING = 0.3
# Nodes of all forests together, 32 bytes each.
MOST_FOREST_NODES = 2**24
FIRST_STEP, LEAST_STEP = 0.5, 1e-3
# Of the potentials, where the rest is bounded by its largest score.
SHARES = (0.8, 0.6, 0.45, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.0)


@dataclass
class UpperBound:
    """What `upper_bound` found.

    Attributes:
        bound: the bound, without what rounding can add.
        rounding: that.
        mean: (nodes,) the pseudo-marginals' E[x].
        trace: (sweeps, best bound so far) after every round.
        converged: whether another round gains less than the tolerance.
    """

    bound: float
    rounding: float
    mean: Float[np.ndarray, " nodes"]
    trace: list[tuple[int, float]]
    converged: bool


def upper_bound(
    pairs: Pairs,
    field: Float[np.ndarray, " nodes"],
    coupling: Float[np.ndarray, " pairs"],
    tolerance: float,
    max_sweeps: int,
) -> UpperBound:
    """Improves messages, and then in turns forests (conditional gradient) and messages.

    No forest comes that memory would not hold with the others.
    """
    forests = covering_forests(pairs, FIRST_FORESTS)
    search = _Search(pairs, field, coupling, tolerance, max_sweeps)
    here = search.settle(Split(pairs, forests, np.full(len(forests), 1 / len(forests))), None)
    step, converged = FIRST_STEP, False
    while search.sweeps < max_sweeps:
        if (len(here.split.forests) + 1) * pairs.nodes > MOST_FOREST_NODES:
            break
        information = _information(search, here)
        forest = heaviest_forest(pairs, information)
        link = forest.link[forest.link >= 0]
        # How far the best of all forests could still take the bound, to first order.
        gain = information[link].sum() - (here.split.rho * information).sum()
        if gain <= tolerance or step < LEAST_STEP:
            converged = True
            break
        split = here.split
        weight = np.append((1 - step) * split.weight, step)
        there = search.settle(Split(pairs, [*split.forests, forest], weight), here.incoming)
        if there.value < here.value - 0.1 * tolerance:
            here = there
        else:
            step *= 0.5
    mean = pseudo_marginals(
        pairs, field[None], coupling[None], here.split.rho, here.incoming[None]
    ).mean[0]
    return UpperBound(*search.best, mean, search.trace, converged)


def cooled(
    whole: UpperBound,
    score: float,
    pairs: Pairs,
    field: Float[np.ndarray, " nodes"],
    coupling: Float[np.ndarray, " pairs"],
    tolerance: float,
    max_sweeps: int,
) -> UpperBound:
    """The better of a bound and ``(1 - s) * score + bound of s times the potentials``, any s.

    Both sides of ``log Z(theta) <= (1 - s) max theta x + log Z(s theta)`` are convex in s: smaller
    shares are tried while they help.

    Args:
        whole: the bound for s = 1.
        score: at least ``max_x theta x``.
        pairs: the graph.
        field: of the nodes.
        coupling: of the pairs.
        tolerance: as for `upper_bound`.
        max_sweeps: as for `upper_bound`, for every share.
    """
    best = whole
    for share in SHARES:
        part = upper_bound(pairs, share * field, share * coupling, tolerance, max_sweeps)
        bound = part.bound + (1 - share) * score
        # The products with the share, and this sum.
        size = np.abs(field).sum() + np.abs(coupling).sum() + abs(score) + abs(bound)
        rounding = part.rounding + 4 * EPSILON * size
        if bound + rounding >= best.bound + best.rounding:
            break
        trace = [*best.trace, (best.trace[-1][0] + part.trace[-1][0], bound + rounding)]
        converged = whole.converged and part.converged
        best = UpperBound(bound, rounding, whole.mean, trace, converged)
    return best


@dataclass
class _Point:
    split: Split
    incoming: np.ndarray
    value: float


class _Search:
    """Passes messages and keeps the best bound."""

    def __init__(self, pairs, field, coupling, tolerance, max_sweeps):
        self.pairs, self.field, self.coupling = pairs, field, coupling
        self.tolerance, self.max_sweeps = tolerance, max_sweeps
        self.sweeps = 0
        self.best = (np.inf, 0.0)
        self.trace: list[tuple[int, float]] = []

    def settle(self, split: Split, incoming: np.ndarray | None) -> _Point:
        """Rounds of messages until the bound gains little."""
        if incoming is None:
            incoming = np.zeros(len(self.pairs.rows.edge))
        here = _Point(split, incoming, self._evaluate(split, incoming))
        damping = DAMPING
        while self.sweeps < self.max_sweeps:
            more = min(SWEEPS_A_ROUND, self.max_sweeps - self.sweeps)
            moved, done, change = pass_messages(
                self.pairs,
                split.rho,
                self.field[None],
                self.coupling[None],
                False,
                damping=damping,
                max_sweeps=more,
                incoming=here.incoming[None].copy(),
            )
            self.sweeps += max(int(done[0]), 1)
            there = _Point(split, moved[0], self._evaluate(split, moved[0]))
            gain = here.value - there.value
            if gain > 0:
                here = there
            if abs(gain) <= self.tolerance or change[0] <= 1e-9 or damping > 0.95:
                break
            if gain < 0:
                damping = (1 + damping) / 2
        return here

    def _evaluate(self, split: Split, incoming: np.ndarray) -> float:
        value, rounding = split.upper(self.field, self.coupling, incoming)
        if value + rounding < sum(self.best):
            self.best = (value, rounding)
        self.trace.append((self.sweeps, sum(self.best)))
        return value


def _information(search: _Search, point: _Point) -> Float[np.ndarray, " pairs"]:
    """Mutual information of the pairs: what the bound gains as a pair appears more often."""
    beliefs = pseudo_marginals(
        search.pairs,
        search.field[None],
        search.coupling[None],
        point.split.rho,
        point.incoming[None],
    )
    mean, xi = beliefs.mean[0], beliefs.correlation[0]
    one, two = mean[search.pairs.first], mean[search.pairs.second]
    sums, differences = one + two, one - two
    tables = np.stack([1 + sums + xi, 1 - sums + xi, 1 + differences - xi, 1 - differences - xi])
    alone = np.stack(
        [(1 + one) * (1 + two), (1 - one) * (1 - two), (1 + one) * (1 - two), (1 - one) * (1 + two)]
    )
    tiny = 1e-300
    parts = np.maximum(tables, 0) / 4 * np.log(np.maximum(tables, tiny) / np.maximum(alone, tiny))
    return np.maximum(parts.sum(axis=0), 0.0)

"""One-slack cutting planes: one inequality a pass, the sum over all images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mrfmask.learn.active_set import best_shares
from mrfmask.learn.margin import MarginProblem, Pass, between

# An inequality without share in the solution is forgotten after so many passes.
MEMORY = 50


def cutting_plane_passes(problem: MarginProblem) -> Iterator[Pass]:
    r"""Passes of the one-slack cutting-plane method, without end.

    ``C sum_m slack_m >= sum_m (l_m - <w, a_m>)`` holds for the inequalities (a_m, l_m) of any
    masks. The program with the one slack and all such sums found so far is solved exactly: its
    value is the dual bound. The oracle is then asked between its solution and the best weights
    known.

    Args:
        problem: the max-margin problem.

    Reference:
        Joachims, Finley and Yu, "Cutting-plane training of structural SVMs", Machine Learning 2009;
        Ben-Ameur and Neto, "Acceleration of cutting-plane and column generation algorithms", 2007.
    """
    # The targets themselves: slack >= 0.
    gaps, loss, last_used = np.zeros((1, problem.dimension)), np.zeros(1), np.zeros(1, dtype=int)
    solution = np.append(1.0, np.zeros(problem.dimension - problem.free))
    best, best_weights, number = np.inf, np.zeros(problem.dimension), 0
    while True:
        shares = solution[: len(loss)]
        weights = problem.clip(shares @ gaps)
        dual = float(shares @ loss) - 0.5 * float(weights @ weights)
        asked = between(weights, best_weights)
        cuts = problem.cut(asked)
        primal = problem.objective(asked, cuts)
        if primal < best:
            best, best_weights = primal, asked
        yield Pass(asked, primal, dual)
        number += 1
        last_used[shares > 0] = number
        keep = last_used > number - MEMORY
        gaps = np.vstack((gaps[keep], cuts.feature_gap.sum(axis=0)))
        loss = np.append(loss[keep], cuts.loss.sum())
        last_used = np.append(last_used[keep], number)
        start = np.concatenate((shares[keep], [0.0], solution[len(keep) :]))
        solution = best_shares(gaps, loss, problem.free, start)

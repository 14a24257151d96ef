"""The solvers against all inequalities written out, against each other, and their bounds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from margin_oracle import Enumerated, statistics

from mrfmask.learn import AMN
from mrfmask.learn.active_set import best_shares
from mrfmask.learn.bcfw import line_search
from mrfmask.learn.labelled_grids import LabelledGrid, read_features, read_targets
from mrfmask.learn.margin import MarginProblem

SOLVERS = ("bcfw", "cutting_plane", "qp")
SIGNS = {"associative": 1, "repulsive": -1}


def problem(seed, height=3, width=3, images=2):
    """Random node features, edge features >= 0, targets and weights, some of them 0."""
    draws = np.random.default_rng(seed)
    nodes = draws.standard_normal((images, height, width, 2))
    right = draws.random((images, height, width - 1, 2))
    down = draws.random((images, height - 1, width, 2))
    targets = draws.random((images, height, width)) < 0.5
    weights = draws.random((images, height, width)) + 0.5
    weights[draws.random(weights.shape) < 0.1] = 0.0
    return nodes, (right, down), targets, weights


def flat(amn):
    return np.concatenate((amn.w_nodes_.ravel(), amn.w_edges_.ravel()))


def grids(nodes, edges, targets, weights):
    features = read_features(nodes, edges)
    parts = zip(features, *read_targets(features, targets, weights), strict=True)
    return [LabelledGrid(*part) for part in parts]


CASES = list(itertools.product(("associative", "repulsive"), (0, 1, 4)))


@pytest.fixture(scope="module", params=CASES, ids=lambda c: f"{c[0]}-{c[1]}")
def case(request):
    coupling, seed = request.param
    nodes, edges, targets, weights = problem(seed)
    listed = Enumerated(nodes, *edges, targets, weights, 0.5, SIGNS[coupling])
    return coupling, (nodes, edges, targets, weights), listed, *listed.optimum()


@pytest.mark.parametrize("solver", SOLVERS)
def test_solver_finds_the_optimum_over_all_masks(case, solver):
    coupling, (nodes, edges, targets, weights), listed, value, best = case
    amn = AMN(C=0.5, solver=solver, coupling=coupling, tolerance=1e-7)
    amn.fit(nodes, edges, targets, weights=weights)
    assert amn.converged_
    assert amn.primal_ == pytest.approx(value, rel=2e-7)
    assert amn.dual_ == pytest.approx(value, rel=2e-7)
    # The objective is strongly convex, which bounds the distance by the gap.
    assert np.linalg.norm(flat(amn) - best) <= np.sqrt(2 * amn.gap_) + 1e-6
    # The stated objective is that of the stated weights, up to the rounding of cuts.
    assert listed.objective(flat(amn)) == pytest.approx(amn.primal_, rel=1e-7)


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_pass_brackets_the_optimum(case, solver):
    coupling, (nodes, edges, targets, weights), _, value, _ = case
    amn = AMN(C=0.5, solver=solver, coupling=coupling, tolerance=1e-7)
    amn.fit(nodes, edges, targets, weights=weights)
    slack = 1e-9 * value
    assert all(dual <= value + slack and value - slack <= primal for primal, dual in amn.history_)
    assert amn.primal_ == min(primal for primal, _ in amn.history_)
    assert amn.dual_ == max(dual for _, dual in amn.history_)
    assert amn.gap_ == amn.primal_ - amn.dual_


def test_cases_clip_edge_weights_and_keep_others():
    clipped = kept = 0
    for coupling, seed in CASES:
        nodes, edges, targets, weights = problem(seed)
        listed = Enumerated(nodes, *edges, targets, weights, 0.5, SIGNS[coupling])
        w = listed.optimum()[1][listed.free :]
        clipped, kept = clipped + (abs(w) < 1e-8).sum(), kept + (abs(w) > 1e-2).sum()
    assert clipped >= 3
    assert kept >= 3


@pytest.mark.parametrize("coupling", SIGNS)
def test_cut_is_the_worst_mask_of_all(coupling):
    nodes, edges, targets, weights = problem(11)
    sign = SIGNS[coupling]
    listed = Enumerated(nodes, *edges, targets, weights, 0.7, sign)
    learning = MarginProblem(grids(nodes, edges, targets, weights), 0.7, sign)
    for seed in range(20):
        w = learning.clip(np.random.default_rng(seed).standard_normal(learning.dimension))
        cuts = learning.cut(w)
        true = np.concatenate([part.numpy().ravel() for part in learning.split(w)])
        for m, (gap, loss) in enumerate(zip(listed.gaps, listed.losses, strict=True)):
            worst = (loss - gap @ true).max()
            # An upper bound, beyond the mask found by the rounding of the cut alone.
            assert worst - 1e-12 <= cuts.slack[m] <= worst + 1e-6
            found = (cuts.loss[m] - cuts.feature_gap[m] @ w) / 0.7
            assert found == pytest.approx(worst, abs=1e-6)


def test_feature_gap_is_the_difference_of_statistics():
    nodes, edges, targets, weights = problem(5)
    draws = np.random.default_rng(5)
    for sign in (1, -1):
        learning = MarginProblem(grids(nodes, edges, targets, weights), 1.0, sign)
        for m, grid in enumerate(learning.grids):
            mask = draws.random((3, 3)) < 0.5
            f = [statistics(nodes[m], edges[0][m], edges[1][m], y) for y in (targets[m], mask)]
            expected = f[0] - f[1]
            expected[learning.free :] *= sign
            gap = learning.feature_gap(grid, torch.from_numpy(mask))
            np.testing.assert_allclose(gap, expected, atol=1e-12)


def test_line_search_is_the_best_of_a_fine_grid():
    draws = np.random.default_rng(0)
    inside = crossing = 0
    for _ in range(300):
        total, direction = draws.standard_normal((2, 6))
        gain, longest = draws.standard_normal() * 2, draws.random() * 3

        def value(step, total=total, direction=direction, gain=gain):
            w = total + step * direction
            w[2:] = np.maximum(w[2:], 0)
            return step * gain - 0.5 * w @ w

        step = line_search(total, direction, gain, longest, 2)
        assert 0 <= step <= longest
        assert value(step) >= max(value(s) for s in np.linspace(0, longest, 301)) - 1e-12
        inside += 0 < step < longest
        crossing += bool(((total + step * direction) * total < 0)[2:].any())
    assert inside > 30
    assert crossing > 30


def test_best_shares_meets_the_conditions_of_the_optimum():
    draws = np.random.default_rng(1)
    for cuts, size, free in ((1, 3, 3), (4, 6, 2), (30, 6, 2), (60, 4, 0)):
        gaps, loss = draws.standard_normal((cuts, size)), draws.random(cuts) * 3
        gaps[cuts // 2] = gaps[0]  # dependent inequalities
        start = np.append(np.eye(cuts)[0], np.zeros(size - free))
        solution = best_shares(gaps, loss, free, start)
        shares, signs = solution[:cuts], solution[cuts:]
        assert solution.min() >= 0
        assert shares.sum() == pytest.approx(1, abs=1e-12)
        w = shares @ gaps
        w[free:] += signs
        violation = loss - gaps @ w
        # Weights in the cone, complementary; a share only where the violation is largest.
        assert w[free:].min(initial=0) >= -1e-9
        assert abs(w[free:] @ signs) <= 1e-9
        assert shares @ (violation.max() - violation) <= 1e-9


def test_solvers_agree_beyond_enumeration():
    nodes, edges, targets, _ = problem(3, 6, 7, images=3)
    fits = [AMN(solver=solver, tolerance=1e-6).fit(nodes, edges, targets) for solver in SOLVERS]
    assert max(amn.dual_ for amn in fits) <= min(amn.primal_ for amn in fits) * (1 + 1e-9)
    for amn in fits:
        assert amn.converged_

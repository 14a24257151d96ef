"""The quadratic program over inequalities, by an active-set method."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

# On the diagonal, of its largest entry: dependent columns then leave the set at their first step.
RIDGE = 1e-13
# Multipliers of cuts left out may be violated by this, of the largest loss.
TOLERANCE = 1e-12


def best_shares(
    feature_gap: Float[np.ndarray, "cuts weights"],
    loss: Float[np.ndarray, " cuts"],
    free: int,
    start: Float[np.ndarray, " variables"],
) -> Float[np.ndarray, " variables"]:
    r"""Maximises ``<share, loss> - 1/2 ||share^T feature_gap + (0, nu)||^2``.

    Over shares >= 0 of the cuts, which sum to 1, and nu >= 0 of the weights from number `free` on:
    the dual of ``min 1/2 ||w||^2 + slack`` under ``slack >= loss_j - <w, feature_gap_j>`` and
    non-negative weights from `free` on.

    Args:
        feature_gap: of each cut.
        loss: of each cut.
        free: weights that have no sign.
        start: shares, then nu; a feasible point to start from.

    Returns:
        The best shares, then nu.

    Reference:
        Lawson and Hanson, "Solving least squares problems", 1974, chapter 23, with the constraint
        on the sum added.
    """
    cuts, dimension = feature_gap.shape
    signed = np.eye(dimension)[free:]
    rows = np.vstack((feature_gap, signed))
    is_cut = np.arange(len(rows)) < cuts
    # Variables in units in which their rows are of length 1.
    length = np.linalg.norm(rows, axis=1)
    length[length == 0] = 1.0
    units = rows / length[:, None]
    gram = units @ units.T
    gain = np.append(loss, np.zeros(len(signed))) / length
    count = is_cut / length
    shares = start * length
    inside = shares > 0
    slack = TOLERANCE * (1.0 + np.abs(loss).max())
    for _ in range(100 * len(rows)):
        target, price = _stationary(gram, gain, count, inside)
        if (target >= 0).all():
            shares = target
            violated = np.where(inside, -np.inf, (gain - gram @ shares - price * count) * length)
            worst = int(violated.argmax())
            if violated[worst] <= slack:
                break
            inside[worst] = True
            continue
        falling = inside & (target < shares)
        steps = np.full(len(rows), np.inf)
        steps[falling] = shares[falling] / (shares[falling] - target[falling])
        step = min(1.0, float(steps.min()))
        shares = np.where(steps <= step, 0.0, shares + step * (target - shares)).clip(min=0.0)
        inside &= steps > step
    shares = shares / length
    shares[:cuts] /= shares[:cuts].sum()
    return shares


def _stationary(
    gram: Float[np.ndarray, "variables variables"],
    gain: Float[np.ndarray, " variables"],
    count: Float[np.ndarray, " variables"],
    inside: Bool[np.ndarray, " variables"],
) -> tuple[Float[np.ndarray, " variables"], float]:
    """The stationary point with all variables outside the set 0, and the multiplier of the sum."""
    size = int(inside.sum())
    system = np.zeros((size + 1, size + 1))
    system[:size, :size] = gram[np.ix_(inside, inside)] + RIDGE * np.eye(size)
    system[:size, size] = system[size, :size] = count[inside]
    solution = np.linalg.solve(system, np.append(gain[inside], 1.0))
    point = np.zeros(len(gain))
    point[inside] = solution[:size]
    return point, float(solution[size])

"""Lower bounds on log Z: mean field over tree blocks, and the Bethe free energy if associative.

Reference:
    Saul and Jordan, "Exploiting tractable substructures in intractable networks", NIPS 1996;
    Ruozzi, "The Bethe partition function of log-supermodular graphical models", NIPS 2012.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from mrfmask.graphs.blocks import ascend, single_blocks, tree_blocks
from mrfmask.graphs.forests import EPSILON, heaviest_forest
from mrfmask.graphs.pairs import Pairs
from mrfmask.inference.message_passing import pass_messages
from mrfmask.inference.pseudo_marginals import totals

# Of coordinate ascent and of belief propagation; what counts is the bound, not the last digit.
MOST_SWEEPS = 500


def evidence_bound(
    pairs: Pairs,
    field: Float[np.ndarray, " nodes"],
    coupling: Float[np.ndarray, " pairs"],
    starts: list[Float[np.ndarray, " nodes"]],
    tolerance: float,
) -> tuple[float, float]:
    """The best evidence lower bound from these means, and what rounding can have added to it.

    Every start is improved by mean field, then over tree blocks of the strongest couplings, then
    over blocks of what those left out: a step never lowers the bound.
    """
    strength = np.abs(coupling)
    first = tree_blocks(pairs, strength)
    inside = first.link[first.link >= 0]
    rest = strength.copy()
    rest[inside] *= 0.5
    steps = (single_blocks(pairs), first, tree_blocks(pairs, rest))
    best = (-np.inf, 0.0)
    for start in starts:
        mean = start.copy()
        for blocks in steps:
            bound, rounding, _ = ascend(
                *pairs.rows, *blocks, field, coupling, mean, tolerance, MOST_SWEEPS
            )
            best = max(best, (bound, rounding), key=lambda found: found[0] - found[1])
    return best


def gauge(
    pairs: Pairs, coupling: Float[np.ndarray, " pairs"]
) -> Float[np.ndarray, " nodes"] | None:
    """Signs that make every coupling associative, ``J s s' >= 0``; None where there are none."""
    order, parent, link = heaviest_forest(pairs, (coupling != 0).astype(float))
    sign = np.ones(pairs.nodes)
    for v in order:
        if parent[v] >= 0 and coupling[link[v]] < 0:
            sign[v] = -sign[parent[v]]
        elif parent[v] >= 0:
            sign[v] = sign[parent[v]]
    balanced = (coupling * sign[pairs.first] * sign[pairs.second] >= 0).all()
    return sign if balanced else None


def bethe_bound(
    pairs: Pairs,
    field: Float[np.ndarray, " nodes"],
    coupling: Float[np.ndarray, " pairs"],
    sign: Float[np.ndarray, " nodes"],
) -> tuple[float, float]:
    """The largest Bethe free energy found; below log Z where `sign` makes couplings associative.

    From messages of 0, and all for one state or the other.
    """
    owner = np.repeat(np.arange(pairs.nodes), np.diff(pairs.rows.start))
    push = np.abs(coupling[pairs.rows.edge]) * sign[owner]
    starts = np.stack([np.zeros_like(push), push, -push])
    fields, couplings = np.broadcast_to(field, (3, len(field))), np.tile(coupling, (3, 1))
    rho = np.ones(len(coupling))
    incoming, _, _ = pass_messages(
        pairs, rho, fields, couplings, False, max_sweeps=MOST_SWEEPS, incoming=starts
    )
    means = np.tanh(totals(pairs, fields, rho, incoming))
    found = [_bethe(pairs, field, coupling, mean) for mean in means]
    return max(found, key=lambda bound: bound[0] - bound[1])


def _bethe(pairs, field, coupling, mean) -> tuple[float, float]:
    """Bethe free energy of means with the best correlations for them, and its rounding.

    With ``a = exp(4 J) - 1``, p(on, on) of a pair solves ``a p^2 - (1 + a (q + r)) p + (1 + a) q r
    = 0`` for P(on) of q and r (Welling and Teh, "Belief optimization for binary networks", 2001).
    Any correlation that the means allow gives a bound; a wrong digit only loosens it.
    """
    one, two = mean[pairs.first], mean[pairs.second]
    low, high = np.abs(one + two) - 1.0, 1.0 - np.abs(one - two)
    # In terms of t = tanh J: t (1 + xi^2 - m^2 - m'^2) + ... = 0, solved without overflow.
    t = np.tanh(2.0 * coupling)
    # 16 p++ p-- / (16 p+- p-+) = exp(4 J) for tables (1 +- m +- m' +- xi) / 4.
    square = 1.0 - one * one - two * two
    product = one * two
    # t (xi^2 + square) - ... gives t xi^2 - 2 xi + (t square + 2 product) = 0; smaller root.
    rest = t * square + 2.0 * product
    root = np.sqrt(np.maximum(1.0 - t * rest, 0.0))
    xi = np.clip(rest / (1.0 + root), low, high)
    tables = np.stack([1 + one + two + xi, 1 - one - two + xi, 1 + one - two - xi, 1 - one + two - xi])
    entropy = _entropy(np.maximum(tables, 0.0) / 4).sum(axis=0)
    single = _entropy(np.stack([1 + mean, 1 - mean]) / 2).sum(axis=0)
    degree = np.diff(pairs.rows.start)
    parts = (field * mean, coupling * xi, entropy, (1 - degree) * single)
    size = sum(np.abs(part).sum() for part in parts)
    terms = sum(len(part) for part in parts)
    # An entry that is off by d moves its entropy by at most d (1 + |log d|).
    slack = 8 * EPSILON * (1 - np.log(8 * EPSILON)) * (4 * len(xi) + 2 * (1 + degree).sum())
    return float(sum(part.sum() for part in parts)), float(EPSILON * terms * size + slack)


def _entropy(p: np.ndarray) -> np.ndarray:
    return -p * np.log(np.where(p > 0, p, 1.0))

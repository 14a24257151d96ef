"""Lower bounds on log Z: mean field over tree blocks, and the Bethe free energy if associative.

Reference:
    Saul and Jordan, "Exploiting tractable substructures in intractable networks", NIPS 1996;
    Ruozzi, "The Bethe partition function of log-supermodular graphical models", NIPS 2012.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from mrfmask.graphs.blocks import ascend, single_blocks
from mrfmask.graphs.forests import EPSILON, Forest
from mrfmask.graphs.pairs import Pairs
from mrfmask.graphs.threads import may_stop
from mrfmask.inference.message_passing import pass_messages
from mrfmask.inference.pseudo_marginals import totals
from mrfmask.inference.tree_blocks import PARTITIONS, random_blocks

# Of coordinate ascent and of belief propagation; what counts is the bound, not the last digit.
MOST_SWEEPS = 500
# At each temperature.
FEW_SWEEPS = 20
# Nodes and entries that one call of a kernel goes through, half a second or so.
PATIENCE = 2**22
# Shares of the potentials, from nearly independent nodes to the model itself.
TEMPERATURES = np.geomspace(0.02, 1.0, 24)
# Among more nodes, where chance evens out, one partition, two starts and few temperatures do.
MANY_NODES, FEW_TEMPERATURES = 2**14, TEMPERATURES[3::4]


def evidence_bound(
    pairs: Pairs,
    field: Float[np.ndarray, " nodes"],
    coupling: Float[np.ndarray, " pairs"],
    mean: Float[np.ndarray, " nodes"],
    tolerance: float,
    max_sweeps: int = MOST_SWEEPS,
) -> tuple[float, float]:
    """The best evidence lower bound found, and what rounding can have added to it.

    Mean field from the fields, all on, all off and `mean`, then means over some partitions into
    tree blocks: a block update never lowers the bound. And each partition from high temperature
    down, which avoids poor maxima. The partitions prefer strong couplings, with chance from a fixed
    seed. Large graphs have fewer of all these; none takes more than `max_sweeps`.
    """
    chance = np.random.default_rng(0)
    many = pairs.nodes > MANY_NODES
    partitions = random_blocks(pairs, coupling, chance, 1 if many else PARTITIONS)
    temperatures = FEW_TEMPERATURES if many else TEMPERATURES
    most, few = min(MOST_SWEEPS, max_sweeps), min(FEW_SWEEPS, max_sweeps)
    alike = [] if many else [np.ones_like(field), -np.ones_like(field)]
    starts = []
    for start in (np.tanh(field), *alike, mean):
        starts.append(start.copy())
        _ascend(pairs, single_blocks(pairs), field, coupling, starts[-1], tolerance, most)
    for blocks in partitions:
        starts.append(chance.uniform(-0.3, 0.3, len(field)))
        for share in temperatures:
            _ascend(pairs, blocks, share * field, share * coupling, starts[-1], tolerance, few)
    return max(
        (
            _ascend(pairs, blocks, field, coupling, start, tolerance, most)
            for start in starts
            for blocks in partitions
        ),
        key=lambda found: found[0] - found[1],
    )


def _ascend(
    pairs: Pairs,
    blocks: Forest,
    field: np.ndarray,
    coupling: np.ndarray,
    mean: np.ndarray,
    tolerance: float,
    sweeps: int,
) -> tuple[float, float]:
    """Changes the means in place: (bound, rounding)."""
    at_once = max(1, PATIENCE // (pairs.nodes + len(pairs.rows.edge)))
    done = at_once
    while done == at_once and sweeps > 0:
        may_stop()
        most = min(at_once, sweeps)
        bound, rounding, done = ascend(*pairs.rows, *blocks, field, coupling, mean, tolerance, most)
        sweeps -= done
    return bound, rounding


def bethe_bound(
    pairs: Pairs,
    field: Float[np.ndarray, " nodes"],
    coupling: Float[np.ndarray, " pairs"],
    sign: Float[np.ndarray, " nodes"],
    max_sweeps: int = MOST_SWEEPS,
) -> tuple[float, float]:
    """The largest Bethe free energy found; below log Z where `sign` makes couplings associative.

    From messages of 0, and all for one state or the other.
    """
    owner = np.repeat(np.arange(pairs.nodes), np.diff(pairs.rows.start))
    push = np.abs(coupling[pairs.rows.edge]) * sign[owner]
    starts = np.stack([np.zeros_like(push), push, -push])
    fields, couplings = np.broadcast_to(field, (3, len(field))), np.tile(coupling, (3, 1))
    rho = np.ones(len(coupling))
    most = min(MOST_SWEEPS, max_sweeps)
    incoming, _, _ = pass_messages(
        pairs, rho, fields, couplings, False, max_sweeps=most, incoming=starts
    )
    means = np.tanh(totals(pairs, fields, rho, incoming))
    found = [_bethe(pairs, field, coupling, mean) for mean in means]
    return max(found, key=lambda bound: bound[0] - bound[1])


def _bethe(pairs, field, coupling, mean) -> tuple[float, float]:
    """Bethe free energy of means with the best correlations for them, and its rounding.

    The pair with means m, m' and correlation xi has probabilities ``(1 +- m +- m' +- xi) / 4``. It
    is best where their odds ratio is ``exp(4 J)``: the smaller root of ``t xi^2 - 2 xi + t (1 - m^2
    - m'^2) + 2 m m' = 0``, ``t = tanh 2J`` (Welling and Teh, "Belief optimization for binary
    networks", UAI 2001). Any other that the means allow gives a bound, too.
    """
    one, two = mean[pairs.first], mean[pairs.second]
    t = np.tanh(2.0 * coupling)
    rest = t * (1.0 - one * one - two * two) + 2.0 * one * two
    xi = rest / (1.0 + np.sqrt(np.maximum(1.0 - t * rest, 0.0)))
    xi = np.clip(xi, np.abs(one + two) - 1.0, 1.0 - np.abs(one - two))
    sums, differences = one + two, one - two
    tables = np.stack([1 + sums + xi, 1 - sums + xi, 1 + differences - xi, 1 - differences - xi])
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

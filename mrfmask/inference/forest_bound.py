"""Bounds from a model that is split among spanning forests, each of which is solved exactly.

Forest t of weight w_t has the field ``T_i - sum over its pairs of u_ji`` at node i, with
``T_i = h_i + sum_j rho_ij u_ji``, and couplings ``J / rho``, rho the weight of the forests that
have the pair. These add up to the model whatever the messages u are, so that by convexity
``log Z <= sum_t w_t log Z_t`` and ``max score <= sum_t w_t max score_t``.

Reference:
    Wainwright, Jaakkola and Willsky, "A new class of upper bounds on the log partition function",
    IEEE Trans. Information Theory 2005; the same, "MAP estimation via agreement on trees", 2005.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from mrfmask.graphs.forests import (
    EPSILON,
    Forest,
    climb,
    covering_forests,
    edge_appearance,
)
from mrfmask.graphs.pairs import Pairs
from mrfmask.graphs.threads import each_item
from mrfmask.inference.conditioned import Conditioned
from mrfmask.inference.message_passing import pass_messages
from mrfmask.inference.pseudo_marginals import totals

# Of the messages that improve the bound of a mask.
FEW_SWEEPS = 30


class Split:
    """A model split among forests: evaluates the bound of messages."""

    def __init__(self, pairs: Pairs, forests: list[Forest], weight: Float[np.ndarray, " f"]):
        self.pairs, self.forests, self.weight = pairs, forests, weight
        self.rho = edge_appearance(forests, weight, pairs)
        # Entry of the message to a node from its parent, and to the parent from it.
        both = np.argsort(pairs.rows.edge, kind="stable").reshape(-1, 2)
        self.entries = []
        for forest in forests:
            child = np.flatnonzero(forest.parent >= 0)
            link, parent = forest.link[child], forest.parent[child]
            lower = child == pairs.first[link]
            to_child = np.where(lower, both[link, 0], both[link, 1])
            to_parent = np.where(lower, both[link, 1], both[link, 0])
            self.entries.append((child, parent, to_child, to_parent))

    def upper(
        self,
        field: Float[np.ndarray, " nodes"],
        coupling: Float[np.ndarray, " pairs"],
        incoming: Float[np.ndarray, " entries"],
        most: bool = False,
    ) -> tuple[float, float]:
        """The bound on log Z (`most`: on the largest score), and what rounding can add to it."""
        value, rounding = 0.0, 0.0
        total = totals(self.pairs, field[None], self.rho, incoming[None])[0]
        shared = coupling / self.rho
        out, up = np.empty((2, len(field)))
        for forest, w, entries in zip(self.forests, self.weight, self.entries, strict=True):
            own = self._own(total, incoming, entries)
            part, off = climb(*forest, own, shared, most, out, up)
            value += w * part
            rounding += w * off + EPSILON * (abs(value) + 2 * w * abs(part))
        # The parts add up to the model, and the weights to 1, up to rounding.
        sizes = np.abs(field).sum() + np.abs(coupling).sum() + 2 * np.abs(incoming).sum()
        terms = 4 + len(self.forests) + np.diff(self.pairs.rows.start).max(initial=0)
        rounding += EPSILON * (2 * terms * sizes + len(self.weight) * abs(value))
        return float(value), float(rounding)

    @staticmethod
    def _own(total, incoming, entries):
        """The fields of a forest's nodes."""
        child, parent, to_child, to_parent = entries
        own = total.copy()
        own[child] -= incoming[to_child]
        np.subtract.at(own, parent, incoming[to_parent])
        return own


def energy_bound(
    pairs: Pairs, given: Conditioned
) -> tuple[Float[np.ndarray, " batch"], Float[np.ndarray, " batch"]]:
    """A lower bound on the energy of every mask, less rounding; and how much that is.

    The models are conditioned with beta 1.
    """
    forests = covering_forests(pairs)
    split = Split(pairs, forests, np.full(len(forests), 1 / len(forests)))
    incoming, _, _ = pass_messages(
        pairs, split.rho, given.field, given.coupling, True, damping=0.3, max_sweeps=FEW_SWEEPS
    )
    bound, rounding = np.empty((2, len(given.field)))

    def run(b: int) -> None:
        potentials = (given.field[b], given.coupling[b])
        start = np.zeros_like(incoming[b])
        score, off = min(split.upper(*potentials, u, most=True) for u in (incoming[b], start))
        clamped = np.log(2.0) * (given.state[b] != 0).sum()
        rounding[b] = off + given.rounding[b]
        bound[b] = -(score + given.constant[b] + clamped) - rounding[b]

    each_item(run, len(bound))
    return bound, rounding

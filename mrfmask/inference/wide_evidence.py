r"""A lower bound on log Z: mean field over blocks that elimination solves exactly.

Blocks with the fields ``h + d`` and the couplings inside them have a distribution q of means m,
independent from block to block, so that for any d

    log Z >= log Z_q - d m + sum over pairs between blocks of J m m'.

The best d of one block given the others is ``d_i = sum_j J_ij m_j`` over its neighbours outside.

Reference:
    Saul and Jordan, "Exploiting tractable substructures in intractable networks", NIPS 1996; Xing,
    Jordan and Russell, "A generalized mean field algorithm for variational inference", UAI 2003.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from mrfmask.graphs.pairs import Pairs
from mrfmask.graphs.wide_blocks import wide_blocks
from mrfmask.graphs.wide_cover import Part
from mrfmask.inference.wide_bound import cost
from mrfmask.inference.wide_part import WidePart

MOST_ROUNDS = 100


def wide_evidence(
    cover: list[Part],
    width: int,
    pairs: Pairs,
    field: Float[np.ndarray, " nodes"],
    coupling: Float[np.ndarray, " pairs"],
    starts: list[Float[np.ndarray, " nodes"]],
    tolerance: float,
    max_sweeps: int = MOST_ROUNDS,
) -> tuple[float, float]:
    """The best bound by blocks made of any of the subgraphs, and what rounding can have added.

    Args:
        cover: subgraphs of the width.
        width: nodes that a table may range over.
        pairs: the graph.
        field: of the nodes.
        coupling: of the pairs.
        starts: E[x] to begin with, one after the other.
        tolerance: a round over the blocks that gains less is the last.
        max_sweeps: most rounds from each start, or 100 if that is less.
    """
    best, rounds = (-np.inf, 0.0), min(MOST_ROUNDS, max_sweeps)
    for part in cover:
        inside, block = wide_blocks(pairs, cost(coupling), width, part)
        blocks = _Blocks(WidePart(pairs, inside, width), pairs, block, field, coupling)
        found = [blocks.ascend(start, tolerance, rounds) for start in starts]
        best = max([best, *found], key=_worth)
    return best


class _Blocks:
    """One partition: rounds over its blocks."""

    def __init__(self, solver, pairs, block, field, coupling) -> None:
        self.solver, self.pairs = solver, pairs
        self.field, self.coupling = field, coupling
        self.between = np.where(block[pairs.first] != block[pairs.second], coupling, 0.0)
        self.colour = _colours(pairs, self.between != 0, block)

    def ascend(
        self, mean: Float[np.ndarray, " nodes"], tolerance: float, rounds: int
    ) -> tuple[float, float]:
        """Blocks of a colour are not coupled: no update of them lowers the bound."""
        push = self._push(mean)
        best, last = (-np.inf, 0.0), -np.inf
        for _ in range(rounds):
            for c in range(self.colour.max(initial=0) + 1):
                push = np.where(self.colour == c, self._push(mean), push)
                total, off, mean, _ = self.solver.moments(self.field + push, self.coupling)
                cross = self.between * mean[self.pairs.first] * mean[self.pairs.second]
                value = total - (push * mean).sum() + cross.sum()
                best = max(best, (value, self._rounding(off, push)), key=_worth)
            if best[0] - last < tolerance:
                break
            last = best[0]
        return best

    def _push(self, mean: Float[np.ndarray, " nodes"]) -> Float[np.ndarray, " nodes"]:
        """What the nodes of other blocks add to the fields."""
        push = np.zeros(len(mean))
        np.add.at(push, self.pairs.first, self.between * mean[self.pairs.second])
        np.add.at(push, self.pairs.second, self.between * mean[self.pairs.first])
        return push

    def _rounding(self, off: float, push: Float[np.ndarray, " nodes"]) -> float:
        """What log Z and the means can be off by, and the sums.

        On the way back every step multiplies by a share whose logarithm is off by what is off
        below it.
        """
        steps = len(self.solver.plan.node)
        size = np.abs(push).sum() + 2 * np.abs(self.between).sum()
        fields = np.abs(self.field).sum()
        units = (steps + 64) * size + 2 * (fields + size)
        return float(off + 4 * steps * off * size + np.finfo(float).eps * units)


def _worth(bound: tuple[float, float]) -> float:
    return bound[0] - bound[1]


def _colours(
    pairs: Pairs, between: Bool[np.ndarray, " pairs"], block: Int[np.ndarray, " nodes"]
) -> Int[np.ndarray, " nodes"]:
    """Of the nodes' blocks, so that coupled ones have different colours: the least that is free."""
    one, two = block[pairs.first[between]], block[pairs.second[between]]
    near: dict[int, set[int]] = {}
    for a, b in sorted(set(zip(one.tolist(), two.tolist(), strict=True))):
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    colour = np.zeros(block.max(initial=0) + 1, dtype=np.int64)
    done: set[int] = set()
    for b in sorted(near):
        taken = {int(colour[n]) for n in near[b] if n in done}
        colour[b] = next(c for c in range(len(taken) + 1) if c not in taken)
        done.add(b)
    return colour[block]

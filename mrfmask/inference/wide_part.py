"""A spanning subgraph of bounded width: log Z and moments for any potentials."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from mrfmask.graphs import elimination as kernels
from mrfmask.graphs.elimination_plan import plan_elimination
from mrfmask.graphs.forests import EPSILON, UNITS
from mrfmask.graphs.pairs import Pairs
from mrfmask.graphs.wide_cover import Part
from mrfmask.inference.graph_elimination import WIDEST_SPREAD


class WidePart:
    """Runs one elimination over and over.

    Attributes:
        entries: of all its tables, what an evaluation costs.
    """

    def __init__(self, pairs: Pairs, part: Part, width: int) -> None:
        self.stays = part.stays
        ends = np.stack([pairs.first, pairs.second], axis=1).astype(np.int64)[part.stays]
        free = np.ones(pairs.nodes, dtype=bool)
        self.plan = plan_elimination(ends, free, width, part.rank)
        sizes = self.plan.sizes
        self.entries = int(sizes.sum())
        self.share_offset = np.cumsum(sizes) - sizes
        self.tables = np.empty(self.plan.stacks.sum())
        self.share = np.empty(self.entries)

    def moments(
        self, field: Float[np.ndarray, " nodes"], coupling: Float[np.ndarray, " pairs"]
    ) -> tuple[float, float, Float[np.ndarray, " nodes"], Float[np.ndarray, " pairs"]]:
        """Of log Z: its value, and how far rounding can move it; E[x], E[x x'] (0 elsewhere)."""
        plan, steps = self.plan, len(self.plan.node)
        pull = np.append(coupling[self.stays], 0.0)[plan.edge]
        reach = np.zeros(len(field))
        spread = kernels.spread(
            0, steps, plan.start, plan.scope, plan.node, plan.child_start, reach, field, pull
        )
        plus = kernels.EXPONENTIALS if spread < WIDEST_SPREAD else kernels.LOGARITHMS
        total = kernels.forward(
            plus, 0, steps, plan.node, plan.start, plan.place, plan.child_start, plan.children,
            plan.offset, field, pull, self.tables, np.empty(0, dtype=np.uint8),
            np.empty(0, dtype=np.int64), self.share, self.share_offset,
        )  # fmt: skip
        mean, product = np.zeros(len(field)), np.zeros(int(self.stays.sum()))
        kernels.backward(
            0, steps, plan.node, plan.start, plan.edge, plan.place, plan.child_start,
            plan.children, plan.offset, self.share, self.share_offset, self.tables, mean, product,
        )  # fmt: skip
        products = np.zeros(len(coupling))
        products[self.stays] = product
        return total, self._rounding(field, pull, total, plus), mean, products

    def _rounding(self, field, pull, total, plus) -> float:
        """How far rounding can move log Z: no more than it moves the logarithms of the entries.

        Exponentials are multiplied, so that only the sums in the exponents count by their size;
        sums of logarithms are at most those of all scores.
        """
        plan = self.plan
        width, children = np.diff(plan.start), np.diff(plan.child_start)
        steps = len(width)
        pulls = np.bincount(
            np.repeat(np.arange(steps), width), weights=np.abs(pull), minlength=steps
        )
        score = np.abs(field[plan.node]) + pulls
        units = UNITS + 2 * children
        if plus == kernels.EXPONENTIALS:
            units = (units + (width + 4) * score).sum()
        else:
            units = (units + 2 * width).sum() * (1.0 + (1.0 + score).sum())
        return float(EPSILON * (units + (steps + 4) * (steps + abs(total))))

"""Exact answers for graphs: nodes are eliminated one by one, in an order of small tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from mrfmask.inference.elimination_memory import parts
from mrfmask.inference.graph_terms import GraphTerms

if TYPE_CHECKING:
    from mrfmask.graphs.elimination_plan import EliminationPlan

# Entries that one call of a kernel goes through, a second or so: in between, Ctrl-C works.
_PIECE = 2**29
# Logarithms of entries may differ by so much for their exponentials to be added up.
WIDEST_SPREAD = 600.0


class GraphElimination:
    r"""One model of a graph, by the steps of a plan.

    Nodes are taken from ``p(x)`` one after the other: the factors that touch a node are multiplied,
    the node is summed out (MAP: maximised out), and the table that results is a factor of the nodes
    that are left. Backwards, each node's state given theirs is known, which gives masks, samples
    and, with the marginals of the tables, those of nodes and edges.

    Reference:
        Dechter, "Bucket elimination: a unifying framework for reasoning", Artificial Intelligence
        1999; Lauritzen and Spiegelhalter, "Local computations with probabilities on graphical
        structures", J. R. Statist. Soc. B 1988.
    """

    def __init__(
        self, terms: GraphTerms, plan: EliminationPlan, joined: Bool[ndarray, " pairs"]
    ) -> None:
        self.terms, self.plan = terms, plan
        coupling = np.append(terms.coupling[joined], 0.0)  # the last for edge -1: none
        self.pull = coupling[plan.edge]
        self.joined = joined

    def minimum(self) -> tuple[Bool[ndarray, " nodes"], float]:
        """A mask of minimum energy, and that energy."""
        from mrfmask.graphs import elimination as kernels

        plan = self.plan
        bytes_ = (plan.sizes + 7) // 8
        offset = np.cumsum(bytes_) - bytes_
        run = _Forward(self, 1.0, kernels.MAXIMUM)
        run.bits, run.bit_offset = np.empty(bytes_.sum(), dtype=np.uint8), offset
        best = run.steps(0, len(plan.node), run.none, run.no_offset)
        masks = (self.terms.clamp > 0)[None].copy()
        kernels.trace(
            0, len(plan.node), plan.node, plan.start, plan.scope, run.bits, offset, run.none,
            run.no_offset, np.empty((1, 0)), masks,
        )  # fmt: skip
        return masks[0], self.terms.constant - best

    def sample(
        self, beta: float, uniforms: Float[ndarray, "chains nodes"]
    ) -> Bool[ndarray, "chains nodes"]:
        """Independent masks from p(x), one draw a node."""
        from mrfmask.graphs import elimination as kernels

        plan = self.plan
        masks = np.repeat((self.terms.clamp > 0)[None], len(uniforms), axis=0)
        no_bits = np.empty(0, dtype=np.uint8)

        def back(first: int, last: int, share: ndarray, offset: ndarray) -> None:
            kernels.trace(
                first, last, plan.node, plan.start, plan.scope, no_bits, offset, share, offset,
                uniforms, masks,
            )  # fmt: skip

        self._there_and_back(beta, back)
        return masks

    def marginals(
        self, beta: float
    ) -> tuple[Float[ndarray, " nodes"], Float[ndarray, " edges"], float]:
        """E[x] of the nodes, E[x x'] of the edges, log Z."""
        from mrfmask.graphs import elimination as kernels

        plan, terms = self.plan, self.terms
        mean = terms.clamp.copy()
        product = np.zeros(int(self.joined.sum()))
        tables = np.empty(plan.stacks.sum())

        def back(first: int, last: int, share: ndarray, offset: ndarray) -> None:
            kernels.backward(
                first, last, plan.node, plan.start, plan.edge, plan.place, plan.child_start,
                plan.children, plan.offset, share, offset, tables, mean, product,
            )  # fmt: skip

        total = self._there_and_back(beta, back)
        # With a clamped node, x x' is its state times the other's.
        pairs = mean[terms.pairs[:, 0]] * mean[terms.pairs[:, 1]]
        pairs[self.joined] = product
        return mean, pairs[terms.inverse], total - beta * terms.constant

    def _there_and_back(self, beta, back) -> float:
        """Runs all steps forwards, then `back` over them backwards; the logarithm of all weights.

        Backwards, P(on | scope) of each step is needed. Where those of all steps are too many to
        be kept, they are made again, part by part, from the stacks as they were before the part.
        """
        from mrfmask.graphs import elimination as kernels

        plan = self.plan
        run = _Forward(self, beta, kernels.EXPONENTIALS)
        offset = np.cumsum(plan.sizes) - plan.sizes
        bounds = parts(plan)
        most = max((int(plan.sizes[a:b].sum()) for a, b in bounds), default=0)
        share = np.empty(most)
        if len(bounds) == 1:
            total = run.steps(0, len(plan.node), share, offset)
            back(0, len(plan.node), share, offset)
            return total
        total, before = 0.0, []
        for first, last in bounds:
            before.append(run.snapshot(first))
            total += run.steps(first, last, run.none, offset)
        for (first, last), tables in zip(reversed(bounds), reversed(before), strict=True):
            run.restore(first, tables)
            run.steps(first, last, share, offset)
            back(first, last, share, offset)
        return total


class _Forward:
    """The forward kernel with all that it reads and writes."""

    def __init__(self, model: GraphElimination, beta: float, plus: int) -> None:
        from mrfmask.graphs import elimination as kernels
        from mrfmask.graphs.threads import may_stop

        plan = self.plan = model.plan
        self.field = beta * model.terms.field
        self.pull = beta * model.pull
        self.plus = plus
        if plus == kernels.EXPONENTIALS:
            reach = np.zeros(len(self.field))
            spread = kernels.spread(
                0, len(plan.node), plan.start, plan.scope, plan.node, plan.child_start, reach,
                self.field, self.pull,
            )  # fmt: skip
            if not spread < WIDEST_SPREAD:
                self.plus = kernels.LOGARITHMS
        self.kernel, self.may_stop = kernels.forward, may_stop
        self.tables = np.empty(plan.stacks.sum())
        self.bits, self.bit_offset = np.empty(0, dtype=np.uint8), np.empty(0, dtype=np.int64)
        self.none, self.no_offset = np.empty(0), np.empty(0, dtype=np.int64)

    def steps(self, first: int, last: int, share: ndarray, share_offset: ndarray) -> float:
        """Runs steps; what the roots among them contribute."""
        plan, total = self.plan, 0.0
        done = np.cumsum(plan.sizes[first:last]) // _PIECE
        ends = first + 1 + np.flatnonzero(np.diff(done, append=-1))
        begin = first
        for end in ends.tolist():
            self.may_stop()
            rest = share
            if len(share):
                rest = share[share_offset[begin] - share_offset[first] :]
            total += self.kernel(
                self.plus, begin, end, plan.node, plan.start, plan.place, plan.child_start,
                plan.children, plan.offset, self.field, self.pull, self.tables, self.bits,
                self.bit_offset, rest, share_offset,
            )  # fmt: skip
            begin = end
        return total

    def snapshot(self, step: int) -> list[ndarray]:
        """The tables on the stacks before a step."""
        return [self.tables[a:b].copy() for a, b in self._live(step)]

    def restore(self, step: int, tables: list[ndarray]) -> None:
        """Puts them back."""
        for (a, b), values in zip(self._live(step), tables, strict=True):
            self.tables[a:b] = values

    def _live(self, step: int) -> list[tuple[int, int]]:
        live, second = self.plan.live[step], self.plan.stacks[0]
        return [(0, live[0]), (second, second + live[1])]

"""A bracket of log Z: a lower and an upper bound that hold whether or not anything converged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mrfmask import ops
from mrfmask.graphs.pairs import pairs_of
from mrfmask.inference.belief_propagation import BeliefPropagation
from mrfmask.inference.conditioned import condition
from mrfmask.inference.method import check_count, check_positive
from mrfmask.inference.strips import FEW_ROWS, MOST_SWEEPS, WIDE_ROWS, strip_dual
from mrfmask.ising import IsingModel
from mrfmask.model import IsingGrid
from mrfmask.result import ROUNDING, Status

if TYPE_CHECKING:
    from mrfmask.inference.upper_bound import UpperBound

MOST_WIDTH = 20
# By default: sweeps, and the pairs or entries of tables that they go through at most, some minutes.
USUAL_SWEEPS, LEAST_SWEEPS = 5000, 20
PAIRS_IN_ALL, ENTRIES_IN_ALL = 2**26, 2**33


@dataclass(frozen=True, kw_only=True, eq=False)
class LogPartitionBounds:
    """``lower <= log Z <= upper``, with all that rounding can do allowed for.

    Attributes:
        lower: (batch,) float64, nats.
        upper: (batch,) float64, nats.
        status: one Status a model: CONVERGED where another round of the upper bound would gain less
            than the tolerance. Both bounds hold in any case.
        stats: "trace", a list a model of (sweeps, best upper bound so far); "lower_by", what gave
            the lower bound of each; "rounding", (batch, 2), what was allowed for below and above.
    """

    lower: Float[Tensor, " batch"]
    upper: Float[Tensor, " batch"]
    status: tuple[Status, ...]
    stats: Mapping[str, Any] = field(default_factory=dict)

    @property
    def gap(self) -> Float[Tensor, " batch"]:
        """``upper - lower``, (batch,)."""
        return self.upper - self.lower


def log_partition_bounds(
    model: IsingModel,
    beta: float = 1.0,
    max_sweeps: int | None = None,
    tolerance: float = 1e-2,
    width: int | None = None,
) -> LogPartitionBounds:
    r"""A lower and an upper bound on log Z for couplings of any signs, in float64.

    Below: the evidence lower bound ``-beta <E> + entropy`` of mean field over blocks of nodes, from
    several starts: blocks that are trees, and blocks that elimination solves. Where a flip of nodes
    makes all couplings positive also the Bethe free energy, which is then a lower bound and usually
    much closer.

    Above: the model split among spanning subgraphs, ``log Z <= sum_t w_t log Z_t``. First forests,
    each exact in two passes; messages improve the split, and conditional gradient the forests.
    Strong couplings of both signs leave that loose: forests do not see the cycles that cannot be
    satisfied. On grids a part of the model is therefore bounded by its lowest energy, from strips
    of rows, which do. Then subgraphs that elimination solves with tables over `width` nodes, bands
    of rows and columns on grids; quasi-Newton steps improve the split. The best of these is the
    bound. Without cycles, and where tables of that width do for the whole model, both bounds are
    log Z.

    Args:
        model: IsingGrid or IsingGraph on the CPU, any signs, clamps, diagonals or boundaries.
        beta: inverse temperature, positive.
        max_sweeps: of messages for each upper bound, and as many evaluations of subgraphs, sweeps
            of strips, and sweeps from every start of a lower bound; at least 1. By default 5000,
            on large models as many as go over 2^26 pairs, and subgraphs over 2^33 table entries,
            but 20 at least: two minutes of a core for a grid of 375 x 1242.
        tolerance: nats; a round that gains less than this is the last. Positive.
        width: nodes that a table of a subgraph ranges over, 1..20; 1 is forests alone. Time and
            memory double with each, 8 bytes * nodes * 2^width at most. By default 10, on more than
            2^14 nodes as much less as keeps the tables to 128 MiB; models of more than 20,000 pairs
            keep to forests, but where such tables do for the whole model. If it is given they do
            not: to choose each of the subgraphs then takes about 0.1 ms a pair.

    Raises:
        TypeError, ValueError: an argument is of another kind or outside its range.
        RuntimeError: the model is not on the CPU.

    Example:
        >>> import torch, mrfmask as mm
        >>> model = mm.IsingGrid(torch.zeros(1, 2, 2), torch.ones(1, 2, 1), torch.ones(1, 1, 2))
        >>> bounds = mm.log_partition_bounds(model)
        >>> [round(value.item(), 2) for value in (bounds.lower, bounds.upper)]  # log Z is 4.80
        [4.8, 4.8]
        >>> forests = mm.log_partition_bounds(model, width=1)
        >>> [round(value.item(), 2) for value in (forests.lower, forests.upper)]
        [4.51, 4.89]

    Reference:
        Wainwright, Jaakkola and Willsky, "A new class of upper bounds on the log partition
        function", IEEE Trans. Information Theory 2005; Saul and Jordan, "Exploiting tractable
        substructures in intractable networks", NIPS 1996; Ruozzi, "The Bethe partition function of
        log-supermodular graphical models", NIPS 2012.
    """
    graph = model.as_graph() if isinstance(model, IsingGrid) else model
    # What belief propagation takes, and where.
    BeliefPropagation(beta=beta).check_model(graph)
    if max_sweeps is not None:
        check_count("max_sweeps", max_sweeps, least=1)
    check_positive("tolerance", tolerance)
    if width is not None:
        check_count("width", width, least=1, most=MOST_WIDTH)
    from mrfmask.graphs.threads import each_item
    from mrfmask.inference.lower_bound import bethe_bound, evidence_bound
    from mrfmask.inference.upper_bound import cooled, upper_bound
    from mrfmask.inference.wide_bound import (
        MOST_PAIRS,
        cover_of,
        exact_bound,
        usual_width,
        widened,
    )
    from mrfmask.inference.wide_evidence import wide_evidence
    from mrfmask.inference.wide_part import WidePart

    pairs = pairs_of(graph.edges, graph.shape[1])
    given = condition(graph, pairs, beta)
    bounds, rounding = np.empty((len(graph), 2)), np.empty((len(graph), 2))
    traces, lower_by, status = ([None] * len(graph) for _ in range(3))

    ends = torch.from_numpy(np.stack([pairs.first, pairs.second], axis=1).astype(np.int64))
    turned, balanced = ops.gauge(
        torch.from_numpy(given.field), ends, torch.from_numpy(given.coupling)
    )
    sign = np.where(turned.numpy(), -1.0, 1.0)
    bits = usual_width(pairs.nodes) if width is None else width
    many = len(pairs.first) > MOST_PAIRS
    sweeps = max_sweeps or _sweeps(PAIRS_IN_ALL, len(pairs.first))
    exact = [None] * len(graph)

    def solve(b: int) -> None:
        exact[b] = exact_bound(bits, pairs, given.field[b], given.coupling[b])

    each_item(solve, len(graph))
    lowest = None
    if None in exact and isinstance(model, IsingGrid) and not model.has_diagonals:
        rows = FEW_ROWS if many else WIDE_ROWS
        lowest = strip_dual(model, rows=rows, sweeps=min(sweeps, MOST_SWEEPS)).lower_bound.numpy()

    def bracket(b: int, potentials: tuple) -> tuple[UpperBound, dict[str, tuple[float, float]]]:
        above = upper_bound(*potentials, tolerance, sweeps)
        if lowest is not None:
            clamps = np.log(2.0) * (given.state[b] != 0).sum()
            off = ROUNDING * (1 + beta * abs(lowest[b])) + given.rounding[b]
            score = off - beta * lowest[b] - given.constant[b] - clamps
            above = cooled(above, score, *potentials, tolerance, sweeps)
        means = [np.tanh(potentials[1]), above.mean]
        trees = evidence_bound(*potentials, above.mean, 0.01 * tolerance, sweeps)
        found = {"tree blocks": trees}
        if cover := [] if many and width is None else cover_of(bits, pairs, potentials[2]):
            parts = [WidePart(pairs, part, bits) for part in cover]
            most = max_sweeps or _sweeps(ENTRIES_IN_ALL, sum(part.entries for part in parts))
            above = widened(above, parts, *potentials, tolerance, most)
            means.append(above.mean)
            blocks = wide_evidence(cover, bits, *potentials, means, tolerance, most)
            found["wide blocks"] = blocks
        if balanced[b]:
            found["Bethe"] = bethe_bound(*potentials, sign[b], sweeps)
        return above, found

    def run(b: int) -> None:
        potentials = (pairs, given.field[b], given.coupling[b])
        above = exact[b]
        if above is not None:
            found = {"elimination": (above.bound, above.rounding)}
        else:
            above, found = bracket(b, potentials)
        lower_by[b] = max(found, key=lambda name: found[name][0] - found[name][1])
        low, below = found[lower_by[b]]
        constant, slack = given.constant[b], given.rounding[b]
        # The last sum of each rounds once more, and so do the two subtractions.
        rounding[b] = slack + np.array([below, above.rounding])
        rounding[b] += 4 * np.finfo(float).eps * (np.abs([low, above.bound]) + abs(constant))
        bounds[b] = low + constant - rounding[b, 0], above.bound + constant + rounding[b, 1]
        shift = bounds[b, 1] - above.bound - above.rounding
        traces[b] = [(int(count), float(bound + shift)) for count, bound in above.trace]
        status[b] = Status.CONVERGED if above.converged else Status.SWEEP_LIMIT

    each_item(run, len(graph))
    return LogPartitionBounds(
        lower=torch.from_numpy(bounds[:, 0].copy()),
        upper=torch.from_numpy(bounds[:, 1].copy()),
        status=tuple(status),
        stats={"trace": traces, "lower_by": lower_by, "rounding": torch.from_numpy(rounding)},
    )


def _sweeps(in_all: int, size: int) -> int:
    """How many go through no more than `in_all` of what one goes through `size` of."""
    return min(USUAL_SWEEPS, max(LEAST_SWEEPS, in_all // max(size, 1)))

"""Belief propagation over batches of models that share a graph."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from mrfmask.graphs.pairs import Pairs

# Messages sent between two looks at whether the user wants to stop, half a second or so; one by its
# residual takes longer.
PATIENCE = {"colour": 2**22, "residual": 2**19}


def pass_messages(
    pairs: Pairs,
    rho: Float[np.ndarray, " pairs"],
    field: Float[np.ndarray, "batch nodes"],
    coupling: Float[np.ndarray, "batch pairs"],
    most: bool,
    schedule: Literal["colour", "residual"] = "colour",
    damping: float = 0.0,
    tolerance: float = 1e-9,
    max_sweeps: int = 1000,
    incoming: Float[np.ndarray, "batch entries"] | None = None,
) -> tuple[Float[np.ndarray, "batch entries"], Int[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """Passes messages until they change little.

    Args:
        pairs: the graph.
        rho: how often each pair counts; ones for ordinary belief propagation.
        field: finite, times beta.
        coupling: of the pairs, times beta.
        most: max-product, else sum-product.
        schedule: "colour" or "residual", as in `BeliefPropagation`.
        damping: share of the old message that is kept.
        tolerance: largest change of a message, relative to 1 + its size, at convergence.
        max_sweeps: at most so many.
        incoming: messages to start from, changed in place; None for zeros.

    Returns:
        The messages to the node in whose row each entry is, half log-odds; the sweeps done; the
        last change.
    """
    from mrfmask.graphs.colouring import colour_classes
    from mrfmask.graphs.messages import sweep_colours, sweep_residuals
    from mrfmask.graphs.threads import each_item, may_stop

    batch, rows = len(field), pairs.rows
    incoming = np.zeros((batch, len(rows.edge))) if incoming is None else incoming
    sweeps, change = np.zeros(batch, dtype=np.int64), np.zeros(batch)
    shared = coupling / rho
    at_once = max(1, PATIENCE[schedule] // max(len(rows.edge), 1))
    order = np.concatenate(colour_classes(rows)) if schedule == "colour" else None

    def run(b: int) -> None:
        state = (field[b], shared[b], rho, incoming[b], most, damping, tolerance)
        while sweeps[b] < max_sweeps:
            may_stop()
            more = min(at_once, max_sweeps - int(sweeps[b]))
            if order is not None:
                found = sweep_colours(rows.start, rows.edge, pairs.back, order, *state, more)
            else:
                found = sweep_residuals(rows.start, rows.node, rows.edge, pairs.back, *state, more)
            sweeps[b] += found[0]
            change[b] = found[1]
            if change[b] <= tolerance or found[0] < more:
                break

    each_item(run, batch)
    return incoming, sweeps, change

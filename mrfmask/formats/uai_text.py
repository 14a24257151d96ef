"""A model as a Markov network in the UAI format (.uai), written."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from mrfmask.formats.terms import Terms

# exp of more overflows, of less it loses digits.
LARGEST_LOGARITHM = 700.0


def uai_from_terms(terms: Terms) -> str:
    """One table a node and one an edge; their product is ``exp(-E)``.

    The constant is shared out over the nodes, as not all programs take tables over no variable.
    A clamped node has a table with a 0.

    Raises:
        ValueError: several models, or potentials too large for tables of their exponentials.
    """
    if len(terms.unary) != 1:
        raise ValueError(
            f"model must be a batch of one for .uai; got {len(terms.unary)}. Save model[0], "
            "model[1], ... to files of their own."
        )
    unary, pairwise = (t[0].detach().cpu().double().numpy() for t in (terms.unary, terms.pairwise))
    nodes = len(unary)
    share = terms.constant[0].item() / nodes
    clamped = np.isinf(unary)
    field = np.where(clamped, 0.0, unary)
    singles = np.stack([-field - share, field - share], axis=1)
    pairs = np.stack([pairwise, -pairwise, -pairwise, pairwise], axis=1)
    largest = max(np.abs(singles).max(), np.abs(pairs).max(initial=0.0))
    if largest > LARGEST_LOGARITHM:
        raise ValueError(
            f"model must have potentials in [-{LARGEST_LOGARITHM:g}, {LARGEST_LOGARITHM:g}] for "
            f".uai, whose tables hold their exponentials; got {largest:g}. Save it as .npz, or "
            "scale it down."
        )
    single_tables = np.exp(singles)
    # The state that a clamp forbids.
    single_tables[clamped & (unary > 0), 0] = single_tables[clamped & (unary < 0), 1] = 0.0
    lines = [
        "MARKOV",
        str(nodes),
        " ".join(["2"] * nodes),
        str(nodes + len(pairs)),
        *(f"1 {node}" for node in range(nodes)),
        *(f"2 {i} {j}" for i, j in terms.edges.tolist()),
        *_lines(single_tables),
        *_lines(np.exp(pairs)),
    ]
    return "\n".join(lines) + "\n"


def _lines(tables: Float[np.ndarray, "tables values"]) -> Iterable[str]:
    size = tables.shape[1]
    return (f"{size} {' '.join(map(repr, table))}" for table in tables.tolist())

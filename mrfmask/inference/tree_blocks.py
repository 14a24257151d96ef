"""Partitions of a graph into blocks that are trees, and masks improved over them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from mrfmask.graphs.blocks import improve, tree_blocks
from mrfmask.graphs.forests import Forest
from mrfmask.graphs.pairs import Pairs
from mrfmask.graphs.threads import may_stop

PARTITIONS = 4
# Rounds over the partitions; most masks stay the same after two or three.
MOST_ROUNDS = 50


def random_blocks(
    pairs: Pairs,
    coupling: Float[np.ndarray, " pairs"],
    chance: np.random.Generator,
    partitions: int = PARTITIONS,
) -> list[Forest]:
    """Some partitions that prefer to have strong couplings inside their blocks."""
    return [
        tree_blocks(pairs, np.abs(coupling) * chance.random(len(coupling)))
        for _ in range(partitions)
    ]


def improve_mask(
    pairs: Pairs,
    field: Float[np.ndarray, " nodes"],
    coupling: Float[np.ndarray, " pairs"],
    spin: Float[np.ndarray, " nodes"],
) -> None:
    """Gives tree after tree its best states until none can do better; changes `spin`, +-1.

    Reference:
        Hamze and de Freitas, "From fields to trees", UAI 2004, at temperature 0.
    """
    partitions = random_blocks(pairs, coupling, np.random.default_rng(0))
    for _ in range(MOST_ROUNDS):
        may_stop()
        changes = [improve(*pairs.rows, *blocks, field, coupling, spin) for blocks in partitions]
        if not any(changes):
            break

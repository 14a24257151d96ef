"""Models without their clamps: what is left of them is finite and in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from mrfmask.graph import IsingGraph
from mrfmask.graphs.pairs import Pairs

EPSILON = float(np.finfo(np.float64).eps)
# NumPy adds up to 128 numbers in 8 sums and halves longer rows: each passes fewer additions.
SUM_TERMS = 64


@dataclass(frozen=True)
class Conditioned:
    """Fields and couplings, times beta, of the free nodes given the clamped ones.

    Clamped nodes stay as nodes without field or couplings, so that all models of a batch keep
    their graph: each adds log 2 to the log partition function, which `constant` takes off again.

    Attributes:
        field: (batch, nodes).
        coupling: (batch, pairs).
        state: (batch, nodes), +-1 where clamped, else 0.
        constant: (batch,), log Z of the model less that of `field` and `coupling`.
        rounding: (batch,), by how much rounding in the three can have moved log Z.
    """

    field: Float[np.ndarray, "batch nodes"]
    coupling: Float[np.ndarray, "batch pairs"]
    state: Float[np.ndarray, "batch nodes"]
    constant: Float[np.ndarray, " batch"]
    rounding: Float[np.ndarray, " batch"]


def condition(model: IsingGraph, pairs: Pairs, beta: float) -> Conditioned:
    """The models given their clamped nodes; edges between the same nodes are added up."""
    batch = len(model)
    unary = model.unary.detach().double().numpy()
    state = np.where(np.isinf(unary), np.sign(unary), 0.0)
    field = np.where(np.isinf(unary), 0.0, beta * unary)
    coupling = np.zeros((batch, len(pairs.first)))
    weights = beta * model.pairwise.detach().double().numpy()
    np.add.at(coupling, (slice(None), pairs.of_edge), weights)
    constant = -beta * model.constant.detach().double().numpy()
    degree = np.bincount(model.edges.cpu().numpy().flatten(), minlength=1).max(initial=0)
    clamps = np.log(2.0) * (state != 0).sum(axis=1)
    size = clamps + np.abs(field).sum(axis=1) + np.abs(weights).sum(axis=1) + np.abs(constant)
    one, two = state[:, pairs.first], state[:, pairs.second]
    for b in range(batch):
        np.add.at(field[b], pairs.first, np.where(one[b] == 0, coupling[b] * two[b], 0.0))
        np.add.at(field[b], pairs.second, np.where(two[b] == 0, coupling[b] * one[b], 0.0))
    constant = constant + (coupling * one * two).sum(axis=1)
    constant = constant - clamps
    coupling = np.where((one != 0) | (two != 0), 0.0, coupling)
    return Conditioned(field, coupling, state, constant, size * EPSILON * (SUM_TERMS + degree))

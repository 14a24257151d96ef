"""What the messages of belief propagation say: marginals, and the free energy of Bethe and TRW."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from mrfmask.graphs.pairs import Pairs


@dataclass(frozen=True)
class PseudoMarginals:
    """Of a batch: E[x], E[x x'] of the pairs, log Z as the messages have it.

    Attributes:
        mean: (batch, nodes).
        correlation: (batch, pairs).
        log_partition: (batch,).
    """

    mean: Float[np.ndarray, "batch nodes"]
    correlation: Float[np.ndarray, "batch pairs"]
    log_partition: Float[np.ndarray, " batch"]


def pseudo_marginals(
    pairs: Pairs,
    field: Float[np.ndarray, "batch nodes"],
    coupling: Float[np.ndarray, "batch pairs"],
    rho: Float[np.ndarray, " pairs"],
    incoming: Float[np.ndarray, "batch entries"],
) -> PseudoMarginals:
    r"""Beliefs ``exp(T_i x)`` and ``exp((J/rho) x y + c_ij x + c_ji y)``, and their free energy.

    ``T_i = h_i + sum_k rho_ki u_ki``, ``c_ij = T_i - u_ji``, and
    ``log Z = sum_i log z_i + sum_ij rho_ij (log z_ij - log z_i - log z_j)``, stationary in the
    messages where they have converged.
    """
    total = totals(pairs, field, rho, incoming)
    ends = np.argsort(pairs.rows.edge, kind="stable").reshape(-1, 2)
    one, two = pairs.first, pairs.second  # rows come in this order: first < second
    near = total[:, one] - incoming[:, ends[:, 0]]
    far = total[:, two] - incoming[:, ends[:, 1]]
    shared = coupling / rho
    tilt = messages(near, far)
    log_node = log_two_cosh(total)
    log_pair = 0.5 * (log_two_cosh(near + far) + log_two_cosh(near - far))
    log_pair = log_pair + log_two_cosh(shared + tilt)
    excess = (rho * (log_pair - log_node[:, one] - log_node[:, two])).sum(axis=1)
    return PseudoMarginals(np.tanh(total), np.tanh(shared + tilt), log_node.sum(axis=1) + excess)


def totals(
    pairs: Pairs,
    field: Float[np.ndarray, "batch nodes"],
    rho: Float[np.ndarray, " pairs"],
    incoming: Float[np.ndarray, "batch entries"],
) -> Float[np.ndarray, "batch nodes"]:
    """The field of every node with all its messages, half its log-odds."""
    owner = np.repeat(np.arange(pairs.nodes), np.diff(pairs.rows.start))
    total = field.copy()
    np.add.at(total, (slice(None), owner), rho[pairs.rows.edge] * incoming)
    return total


def log_two_cosh(x: np.ndarray) -> np.ndarray:
    """``log(2 cosh x)`` without overflow."""
    return np.abs(x) + np.log1p(np.exp(-2.0 * np.abs(x)))


def messages(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``atanh(tanh x tanh y)`` without overflow."""
    least = np.minimum(np.abs(x), np.abs(y))
    rest = np.log1p(np.exp(-2.0 * np.abs(x + y))) - np.log1p(np.exp(-2.0 * np.abs(x - y)))
    return np.sign(x) * np.sign(y) * least + 0.5 * rest

"""From the tables of a network and evidence to Ising terms: zeros become clamps, or are refused."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from mrfmask.formats.terms import Terms, terms_from_tables
from mrfmask.formats.uai import Network


def terms_from_network(network: Network, evidence: Mapping[int, int]) -> Terms:
    """Of ``E = -sum of ln(table)``: log Z of the model is that of the states evidence leaves.

    A variable that tables and evidence leave one state is clamped.

    Raises:
        ValueError: the probability is 0, or a table of two variables with a 0 for states
            that both are left with.
    """
    if (network.constants == 0).any():
        raise ValueError("tables over no variable must be positive; got 0. Leave them out.")
    costs = np.zeros((network.nodes, 2))
    np.add.at(costs, network.singles, _costs(network.single_tables))
    for variable, state in evidence.items():
        costs[variable, 1 - state] = np.inf
    allowed = _narrow(np.isfinite(costs), network.pairs, network.pair_tables > 0)
    costs[~allowed] = np.inf
    tables = _without_zeros(allowed, network.pairs, network.pair_tables)
    terms = terms_from_tables(
        torch.from_numpy(costs)[None],
        torch.from_numpy(network.pairs),
        torch.from_numpy(_costs(tables))[None],
    )
    return terms._replace(constant=terms.constant + float(_costs(network.constants).sum()))


def _costs(tables: Float[np.ndarray, "*tables"]) -> Float[np.ndarray, "*tables"]:
    with np.errstate(divide="ignore"):
        return -np.log(tables)


def _narrow(
    allowed: Bool[np.ndarray, "nodes 2"],
    pairs: Int[np.ndarray, "pairs 2"],
    support: Bool[np.ndarray, "pairs 2 2"],
) -> Bool[np.ndarray, "nodes 2"]:
    """The states left when those are taken out that have no partner in a table, over and over."""
    with_zeros = ~support.all(axis=(1, 2))
    (first, second), support = pairs[with_zeros].T, support[with_zeros]
    while True:
        left = allowed.copy()
        np.logical_and.at(left, first, (support & allowed[second][:, None, :]).any(axis=2))
        np.logical_and.at(left, second, (support & allowed[first][:, :, None]).any(axis=1))
        if (left == allowed).all():
            break
        allowed = left
    if not allowed.any(axis=1).all():
        raise ValueError(
            "evidence and tables must leave each variable a state; got none left for variable "
            f"{int((~allowed.any(axis=1)).argmax())}: the probability is 0. Correct either."
        )
    return allowed


def _without_zeros(
    allowed: Bool[np.ndarray, "nodes 2"],
    pairs: Int[np.ndarray, "pairs 2"],
    tables: Float[np.ndarray, "pairs 2 2"],
) -> Float[np.ndarray, "pairs 2 2"]:
    """The tables, those with zeros made constant in the variables that have one state left."""
    for axis in (0, 1):
        ends = allowed[pairs[:, axis]]
        known = (tables == 0).any(axis=(1, 2)) & ~ends.all(axis=1)
        state = ends[known].argmax(axis=1)[:, None, None]
        tables = tables.copy()
        tables[known] = np.take_along_axis(tables[known], state, axis=1 + axis)
    zero = tables == 0
    if zero.any():
        pair, *states = np.argwhere(zero)[0].tolist()
        raise ValueError(
            "tables of two variables must be positive, as no finite coupling gives 0; got 0 for "
            f"states {tuple(states)} of variables {tuple(pairs[pair].tolist())}. Give evidence for "
            "one of the two, or write a small number."
        )
    return tables

"""Markov and Bayesian networks of binary variables in the UAI format (.uai), read."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Network(NamedTuple):
    """A product of tables over no, one or two binary variables; pairs may repeat.

    Attributes:
        nodes: variables.
        constants: tables over no variable.
        singles: variable of each table over one.
        single_tables: its value at state 0 and 1.
        pairs: variables of each table over two.
        pair_tables: ``pair_tables[k, s, t]`` is for state s of the first and t of the second.
    """

    nodes: int
    constants: Float[np.ndarray, " constants"]
    singles: Int[np.ndarray, " singles"]
    single_tables: Float[np.ndarray, "singles 2"]
    pairs: Int[np.ndarray, "pairs 2"]
    pair_tables: Float[np.ndarray, "pairs 2 2"]


def read_uai(path: Path) -> Network:
    """The network of a file, MARKOV or BAYES.

    Raises:
        ValueError: the file is broken, a variable is not binary, or a table has more than two.
    """
    words = path.read_text(encoding="utf-8", errors="replace").split()
    try:
        nodes, at = _variables_of(words)
        sizes, first, second, at = _scopes_of(words, at)
        count = int(sizes.size + (2**sizes).sum())
        if len(words) - at != count:
            raise ValueError(
                f"it must hold {count} numbers after the scopes, the tables and their sizes; got "
                f"{len(words) - at}"
            )
        values = np.array(words[at:], dtype=np.float64)
    except IndexError:
        raise ValueError("it ends before its tables begin") from None
    starts = np.cumsum(1 + 2**sizes) - 2**sizes
    _check_tables(values, starts, sizes)
    for scope in (first[sizes >= 1], second[sizes == 2]):
        if ((scope < 0) | (scope >= nodes)).any():
            bad = scope[(scope < 0) | (scope >= nodes)][0]
            raise ValueError(f"its tables must be over variables 0..{nodes - 1}; got {bad}")
    pairs = np.stack([first, second], axis=1)[sizes == 2]
    if (pairs[:, 0] == pairs[:, 1]).any():
        raise ValueError("its tables of two variables must be over two different ones")
    single, pair = starts[sizes == 1], starts[sizes == 2]
    return Network(
        nodes,
        values[starts[sizes == 0]],
        first[sizes == 1],
        values[single[:, None] + np.arange(2)],
        pairs,
        values[pair[:, None] + np.arange(4)].reshape(-1, 2, 2),
    )


def _variables_of(words: list[str]) -> tuple[int, int]:
    """Number of variables, and where the scopes begin."""
    if words[:1] not in (["MARKOV"], ["BAYES"]):
        got = repr(words[0][:40]) if words else "an empty file"
        raise ValueError(f"it must start with MARKOV or BAYES; got {got}")
    nodes = int(words[1])
    states = words[2 : 2 + max(nodes, 0)]
    if nodes < 1 or len(states) < nodes:
        raise ValueError(
            f"it must have the states of each of its variables; got {len(states)} numbers for "
            f"{nodes} variables"
        )
    if set(states) != {"2"}:
        variable = next(i for i, word in enumerate(states) if word != "2")
        raise ValueError(
            f"its variables must have 2 states; got {states[variable][:40]} for variable {variable}"
        )
    return nodes, 2 + nodes


def _scopes_of(words: list[str], at: int) -> tuple[Int[np.ndarray, " tables"], ...]:
    """Size, first and second variable of each table (-1 for none), and where the tables begin."""
    count = int(words[at])
    at += 1
    scopes = []
    for table in range(count):
        size = int(words[at])
        if size == 1:
            scopes.append((1, int(words[at + 1]), -1))
        elif size == 2:
            scopes.append((2, int(words[at + 1]), int(words[at + 2])))
        elif size == 0:
            scopes.append((0, -1, -1))
        else:
            raise ValueError(
                f"its tables must be over at most 2 variables; got {size} for table {table}"
            )
        at += 1 + size
    sizes, first, second = np.array(scopes, dtype=np.int64).reshape(-1, 3).T
    return sizes, first, second, at


def _check_tables(
    values: Float[np.ndarray, " numbers"],
    starts: Int[np.ndarray, " tables"],
    sizes: Int[np.ndarray, " tables"],
) -> None:
    stated = values[starts - 1]
    if (stated != 2**sizes).any():
        table = int((stated != 2**sizes).argmax())
        raise ValueError(
            f"its table {table} of {sizes[table]} variables must have {2 ** sizes[table]} numbers; "
            f"got {stated[table]:g}"
        )
    bad = ~np.isfinite(values) | (values < 0)
    if bad.any():
        raise ValueError(f"its tables must hold finite numbers >= 0; got {values[bad][0]:g}")

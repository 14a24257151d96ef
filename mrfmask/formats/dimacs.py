"""Max-flow problems in the DIMACS format (.max) as models whose lowest energy is the flow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from mrfmask.formats.terms import Terms


def read_dimacs(path: Path) -> Terms:
    """Node i of the file is node i - 1; on is the source's side of the cut.

    An arc from u to v of capacity c costs c if u is on and v is off:
    ``c (1 + x_u - x_v - x_u x_v) / 4``. The source is clamped on, the sink off.

    Raises:
        ValueError: the file is no max-flow problem.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    others = [line.split() for line in lines if not line.startswith(("a", "c"))]
    nodes, count = _size_of([words for words in others if words[:1] == ["p"]])
    source, sink = _ends_of([words for words in others if words[:1] == ["n"]], nodes)
    for words in others:
        if words and words[0] not in ("p", "n"):
            raise ValueError(
                f"its lines must start with c, p, n or a; got {' '.join(words)[:40]!r}"
            )
    arcs = _arcs_of([line for line in lines if line.startswith("a")], nodes, count)
    arcs = arcs[arcs[:, 0] != arcs[:, 1]]
    tail, head = arcs[:, :2].astype(np.int64).T - 1
    capacity = arcs[:, 2]
    # Both directions, and parallel arcs, are one edge.
    pairs, place = np.unique(
        np.minimum(tail, head) * nodes + np.maximum(tail, head), return_inverse=True
    )
    pairwise = np.bincount(place, capacity, minlength=len(pairs)) / 4
    out = np.bincount(tail, capacity, minlength=nodes)
    unary = (np.bincount(head, capacity, minlength=nodes) - out) / 4
    # The states of source and sink are known, so that their terms are constants.
    constant = capacity.sum() / 4 - unary[source] + unary[sink]
    unary[source], unary[sink] = np.inf, -np.inf
    return Terms(
        torch.from_numpy(unary)[None],
        torch.from_numpy(np.stack([pairs // nodes, pairs % nodes], axis=1)),
        torch.from_numpy(pairwise)[None],
        torch.tensor([constant], dtype=torch.float64),
    )


def _size_of(lines: list[list[str]]) -> tuple[int, int]:
    """Numbers of nodes and arcs."""
    numbers = lines[0][2:] if len(lines) == 1 and lines[0][1:2] == ["max"] else []
    if len(numbers) != 2 or not all(word.isdecimal() for word in numbers):
        raise ValueError(
            f"it must have one line 'p max NODES ARCS'; got {_shown(lines)}. Other problems of the "
            "format are no cuts"
        )
    nodes, arcs = map(int, numbers)
    if nodes > 2**28:
        raise ValueError(f"it must have at most 2^28 nodes; got {nodes}")
    return nodes, arcs


def _ends_of(lines: list[list[str]], nodes: int) -> tuple[int, int]:
    """Source and sink, from 0."""
    ends = {words[2]: words[1] for words in lines if len(words) == 3 and words[1].isdecimal()}
    source, sink = (int(ends.get(side, 0)) - 1 for side in "st")
    if len(lines) != 2 or not (0 <= source < nodes and 0 <= sink < nodes):
        raise ValueError(
            f"it must have one line 'n NODE s' and one 'n NODE t' with nodes in 1..{nodes}; got "
            f"{_shown(lines)}"
        )
    if source == sink:
        raise ValueError(f"its source and sink must differ; got {_shown(lines)}")
    return source, sink


def _arcs_of(lines: list[str], nodes: int, count: int) -> Float[np.ndarray, "arcs 3"]:
    """Tail, head and capacity of every arc, nodes from 1."""
    words = " ".join(lines).split()
    if len(lines) != count or len(words) != 4 * count or not set(words[::4]) <= {"a"}:
        raise ValueError(
            f"it must have {count} lines 'a FROM TO CAPACITY', as its line 'p max' says; got "
            f"{len(lines)} lines with {len(words) - len(lines)} numbers"
        )
    arcs = np.array([words[1::4], words[2::4], words[3::4]], dtype=np.float64).T
    ends, capacity = arcs[:, :2], arcs[:, 2]
    good = ((ends >= 1) & (ends <= nodes) & (ends % 1 == 0)).all(axis=1)
    good &= (capacity >= 0) & np.isfinite(capacity)
    if not good.all():
        raise ValueError(
            f"its arcs must join nodes 1..{nodes} with capacities >= 0; got "
            f"{lines[int((~good).argmax())][:40]!r}"
        )
    return arcs


def _shown(lines: list[list[str]]) -> str:
    return ", ".join(repr(" ".join(words)[:40]) for words in lines[:3]) or "none"

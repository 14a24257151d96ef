"""Subgraphs of bounded width that together have every pair of a graph."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from mrfmask.graphs.adjacency import sorted_adjacency
from mrfmask.graphs.bounded_width import bounded_width
from mrfmask.graphs.forests import heaviest_forest
from mrfmask.graphs.min_fill import elimination_order
from mrfmask.graphs.pairs import Pairs

# A pair that was cut counts so much more when the next subgraph is chosen.
AGAIN = 4.0
# Kinds of bands that cut little more than the best are used in turns.
NEARLY = 1.3


class Part(NamedTuple):
    """A spanning subgraph.

    Attributes:
        stays: (pairs,) which pairs it has.
        rank: (nodes,) an order of elimination.
    """

    stays: Bool[np.ndarray, " pairs"]
    rank: Int[np.ndarray, " nodes"]


def is_forest(pairs: Pairs, wanted: Bool[np.ndarray, " pairs"]) -> bool:
    """Whether the wanted pairs are without cycles."""
    link = heaviest_forest(pairs, wanted.astype(float)).link
    return bool(wanted[link[link >= 0]].sum() == wanted.sum())


def whole_part(pairs: Pairs, wanted: Bool[np.ndarray, " pairs"], width: int) -> Part | None:
    """All wanted pairs, if tables of this width do for them; else None."""
    ends = np.stack([pairs.first, pairs.second], axis=1).astype(np.int64)[wanted]
    order = elimination_order(sorted_adjacency(ends, pairs.nodes), width)
    if order.too_wide:
        return None
    rank = np.empty(pairs.nodes, dtype=np.int64)
    rank[order.node] = np.arange(pairs.nodes)
    return Part(wanted, rank)


def wide_cover(
    pairs: Pairs, weight: Float[np.ndarray, " pairs"], width: int, parts: int
) -> list[Part]:
    """Spanning subgraphs that have, together, every pair of positive weight.

    Graphs whose numbers go row by row, as grids and tori do, are also tried in bands of rows and of
    columns.

    Args:
        pairs: the graph.
        weight: of the pairs, what it costs to cut them.
        width: nodes that a table may range over when a subgraph is eliminated.
        parts: at least so many.
    """
    wanted = weight > 0
    stays, _ = bounded_width(pairs, weight, width)
    kinds = _kinds(pairs, weight, width, weight[~stays].sum())
    cover: list[Part] = []
    cuts = np.zeros(len(weight))
    while len(cover) < parts or (cuts[wanted] == len(cover)).any():
        t = len(cover)
        dear = weight * (1 + AGAIN * cuts)
        missing = wanted & (cuts == t)
        if t >= parts:  # what is missing yet goes first
            dear = np.where(missing, weight.sum() + dear, dear)
        elif kinds:
            coordinate, side, size = kinds[t % len(kinds)]
            shift = (t // len(kinds)) * min(size, side) * len(kinds) // parts
            cut = _band_cut(coordinate, side, size, shift, pairs)
            # Beyond the bands little is cut, and not what others have cut.
            dear = np.where(cut, 0.0, dear)
        part = Part(*bounded_width(pairs, dear, width))
        cover.append(part)
        cuts += wanted & ~part.stays
    return cover


def _kinds(pairs, weight, width, limit):
    """Bands that cut no more than `limit`: (coordinate, its number of values, band)."""
    found = []
    for coordinate, side in _coordinates(pairs):
        for size in sorted({min(width, side), side}):
            cut = _band_cut(coordinate, side, size, 0, pairs)
            stays, _ = bounded_width(pairs, np.where(cut, 0.0, weight), width)
            found.append((weight[~stays].sum(), coordinate, side, size))
    least = min((f[0] for f in found), default=np.inf)
    return [f[1:] for f in found if f[0] <= min(NEARLY * least, limit)]


def _coordinates(pairs: Pairs) -> list[tuple[Int[np.ndarray, " nodes"], int]]:
    """Rows and columns, if neighbours' numbers differ by 1 and by one other number mostly."""
    apart = pairs.second.astype(np.int64) - pairs.first
    step, times = np.unique(apart[apart > 1], return_counts=True)
    if len(step) == 0:
        return []
    long = int(step[times.argmax()])
    rows = -(-pairs.nodes // long)
    y, x = np.divmod(np.arange(pairs.nodes), long)
    dy, dx = (_apart(c, side, pairs) for c, side in ((y, rows), (x, long)))
    if (np.maximum(dy, dx) > 1).any():
        return []
    return [(y, rows), (x, long)]


def _apart(coordinate, side, pairs):
    apart = np.abs(coordinate[pairs.first] - coordinate[pairs.second])
    return np.minimum(apart, side - apart)


def _band_cut(coordinate, side, size, shift, pairs) -> Bool[np.ndarray, " pairs"]:
    """Pairs between bands of `size` values, the first `shift` values shorter; and round the back.

    Where the coordinate is a ring, it is opened at `shift`.
    """
    ring = (np.abs(coordinate[pairs.first] - coordinate[pairs.second]) > side // 2).any()
    place = (coordinate + shift) % side if ring else coordinate + shift
    one, two = place[pairs.first], place[pairs.second]
    return (one // size != two // size) | (np.abs(one - two) > max(side // 2, 1))

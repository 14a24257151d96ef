"""A model of a graph without its clamped nodes, and with one coupling for every pair of nodes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from mrfmask.graph import IsingGraph


class GraphTerms:
    """One model of a graph: its free nodes' fields, and one coupling for each pair of them."""

    def __init__(self, model: IsingGraph, pairs: tuple[ndarray, ndarray]) -> None:
        (self.pairs, inverse) = pairs
        unary, pairwise = (t.detach()[0].double().numpy() for t in (model.unary, model.pairwise))
        self.edges = model.edges.numpy()
        clamped = np.isinf(unary)
        self.free = ~clamped
        self.clamp = np.where(clamped, np.sign(unary), 0.0)
        self.coupling = np.bincount(inverse, weights=pairwise, minlength=len(self.pairs))
        self.inverse = inverse
        first, second = self.pairs.T
        self.field = np.where(clamped, 0.0, unary)
        for own, other in ((first, second), (second, first)):
            np.add.at(self.field, own, self.coupling * self.clamp[other])
        self.field[clamped] = 0.0
        fixed = (self.coupling * self.clamp[first] * self.clamp[second]).sum()
        self.constant = float(model.constant[0]) - float(fixed)
        self.joins_free = self.free[first] & self.free[second]

    def joined(self, zeros: bool) -> Bool[ndarray, " pairs"]:
        """Pairs of free nodes that elimination keeps together, those of coupling 0 if `zeros`."""
        return self.joins_free if zeros else self.joins_free & (self.coupling != 0)


def distinct_pairs(model: IsingGraph) -> tuple[ndarray, ndarray]:
    """The pairs of coupled nodes, none twice, and the number of each edge's pair."""
    edges = np.sort(model.edges.numpy(), axis=1)
    nodes = model.shape[1]
    keys, inverse = np.unique(edges[:, 0] * nodes + edges[:, 1], return_inverse=True)
    return np.stack([keys // nodes, keys % nodes], axis=1), inverse.reshape(-1)

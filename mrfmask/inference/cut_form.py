"""Models in cut form, ``offset + sum u y + sum c |y_i - y_j|``, as integer programs need them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.ising import IsingModel

# Coefficients are scaled to at most this, so that a solver's absolute tolerances mean the same for
# every model.
LARGEST_COEFFICIENT = 1024.0


@dataclass(frozen=True, kw_only=True, eq=False)
class CutForm:
    """``E(y) = offset + sum u y + sum c |y_i - y_j|`` over states y in {0, 1}.

    Attributes:
        linear: (nodes,) u.
        pairs: (pairs, 2) int64, the smaller node first; each pair once.
        weight: (pairs,) c, none of them 0.
        offset: what all states share.
    """

    linear: Float[np.ndarray, " nodes"]
    pairs: Int[np.ndarray, "pairs 2"]
    weight: Float[np.ndarray, " pairs"]
    offset: float

    @property
    def nodes(self) -> int:
        """How many."""
        return len(self.linear)

    def energy(self, y: Bool[np.ndarray, " nodes"]) -> float:
        """E(y)."""
        differ = y[self.pairs[:, 0]] != y[self.pairs[:, 1]]
        return float(self.offset + self.linear[y].sum() + self.weight[differ].sum())

    def is_balanced(self) -> bool:
        """Whether some states please all pairs: no cycle has an odd number of repulsive ones."""
        repulsive = self.weight < 0
        _, flip, _ = related(self.nodes, self.pairs, repulsive)
        return bool(((flip[self.pairs[:, 0]] != flip[self.pairs[:, 1]]) == repulsive).all())

    def contract(
        self, group: Int[np.ndarray, " nodes"], flip: Bool[np.ndarray, " nodes"], groups: int
    ) -> CutForm:
        """The form over groups: ``y_i = Y_group xor flip``; nodes of group -1 have the state flip.

        Args:
            group: (nodes,) number of each node's group, -1 for none.
            flip: (nodes,) whether the node differs from its group.
            groups: how many.
        """
        # The state of group `groups` is known to be 0.
        own = np.where(group < 0, groups, group)
        linear = np.bincount(own, np.where(flip, -self.linear, self.linear), groups + 1)
        offset = self.offset + self.linear[flip].sum()
        ends = own[self.pairs]
        differ = flip[self.pairs[:, 0]] != flip[self.pairs[:, 1]]
        offset += self.weight[differ].sum()
        weight = np.where(differ, -self.weight, self.weight)
        for one, other in ((0, 1), (1, 0)):
            pulled = (ends[:, one] < groups) & (ends[:, other] == groups)
            linear += np.bincount(ends[pulled, one], weight[pulled], groups + 1)
        inner = (ends < groups).all(axis=1) & (ends[:, 0] != ends[:, 1])
        pairs, merged = _merge(ends[inner], weight[inner])
        return CutForm(linear=linear[:groups], pairs=pairs, weight=merged, offset=float(offset))

    def components(self) -> Iterator[tuple[Int[np.ndarray, " members"], CutForm]]:
        """The parts that no pair joins: their nodes, and their form with offset 0."""
        group, _, groups = related(self.nodes, self.pairs, np.zeros(len(self.pairs), dtype=bool))
        order = np.argsort(group, kind="stable")
        place = np.empty(self.nodes, dtype=np.int64)
        ends = np.cumsum(np.bincount(group, minlength=groups))
        own_pairs = group[self.pairs[:, 0]]
        pair_order = np.argsort(own_pairs, kind="stable")
        pair_ends = np.cumsum(np.bincount(own_pairs, minlength=groups))
        members_of = np.split(order, ends[:-1])
        pairs_of = np.split(pair_order, pair_ends[:-1])
        for members, pairs in zip(members_of, pairs_of, strict=True):
            place[members] = np.arange(len(members))
            yield (
                members,
                CutForm(
                    linear=self.linear[members],
                    pairs=place[self.pairs[pairs]],
                    weight=self.weight[pairs],
                    offset=0.0,
                ),
            )


def related(
    nodes: int, pairs: Int[np.ndarray, "pairs 2"], differ: Bool[np.ndarray, " pairs"]
) -> tuple[Int[np.ndarray, " nodes"], Bool[np.ndarray, " nodes"], int]:
    """Groups of nodes whose states follow from each other: (group, flip, number of groups).

    Args:
        nodes: how many.
        pairs: (pairs, 2), nodes that are known to be equal or to differ. Nodes that a contradiction
            reaches all get flip False.
        differ: (pairs,) which.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # Every node twice: as it is, and turned. Each group is found twice, too.
    first, second = pairs.T
    rows = np.concatenate([first, first + nodes])
    columns = np.concatenate([second + nodes * differ, second + nodes * ~differ])
    graph = coo_array((np.ones(len(rows), dtype=bool), (rows, columns)), (2 * nodes, 2 * nodes))
    _, label = connected_components(graph, directed=False)
    plain, turned = label[:nodes], label[nodes:]
    kept, group = np.unique(np.minimum(plain, turned), return_inverse=True)
    return group, plain > turned, len(kept)


def _merge(
    ends: Int[np.ndarray, "listed 2"], weight: Float[np.ndarray, " listed"]
) -> tuple[Int[np.ndarray, "pairs 2"], Float[np.ndarray, " pairs"]]:
    """Each pair once, the smaller node first, with its sum of weights; pairs of 0 are left out."""
    ends = np.sort(ends, axis=1)
    pairs, place = np.unique(ends, axis=0, return_inverse=True)
    merged = np.bincount(place.reshape(-1), weight, len(pairs))
    return pairs[merged != 0], merged[merged != 0]


class FreeForm:
    """The cut form of one image over its free sites only, in units of 1 / scale.

    Attributes:
        cut: the form; node k is site ``free[k]``, and its offset is 0.
        base: the mask with all free sites off.
        free: numbers of the free sites.
        offset: energy of `base`.
        scale: power of two; coefficients times it are at most LARGEST_COEFFICIENT.
        weight: sum of all |u| and |c|.
        precision: what float64 may round away in sums of the terms.
    """

    def __init__(self, model: IsingModel) -> None:
        self.base = model.clamped & (model.unary > 0)
        self.offset = float(model.energy(self.base).detach())
        clamped = model.clamped.flatten().numpy()
        self.free = np.flatnonzero(~clamped)
        field = model.unary.detach().flatten().double().numpy()
        field = np.where(clamped, 0.0, field)
        coupling = model.pairwise.detach()[0].double().numpy()
        # Off is a known state, too: nodes of group -1 that are flipped are on.
        site_form = CutForm(
            linear=-2 * field, pairs=model.edges.numpy(), weight=2 * coupling, offset=0.0
        )
        group = np.full(len(field), -1)
        group[self.free] = np.arange(len(self.free))
        form = site_form.contract(group, self.base.flatten().numpy(), len(self.free))
        sizes = np.abs(np.concatenate([form.linear, form.weight, [0.0]]))
        self.scale = LARGEST_COEFFICIENT / 2.0 ** math.frexp(sizes.max() or 1.0)[1]
        self.weight = float(sizes.sum())
        self.cut = CutForm(
            linear=form.linear * self.scale,
            pairs=form.pairs,
            weight=form.weight * self.scale,
            offset=0.0,
        )
        terms = float(abs(model.constant.detach())) + np.abs(field).sum() + np.abs(coupling).sum()
        self.precision = 1e-14 * float(terms)

    def mask(self, y: Bool[np.ndarray, " free"]) -> Bool[Tensor, "1 ..."]:
        """`base` with the free sites in these states."""
        mask = self.base.clone(memory_format=torch.contiguous_format)
        mask.view(-1)[torch.from_numpy(self.free)] = torch.from_numpy(y)
        return mask

    def states(self, mask: Bool[Tensor, "1 ..."]) -> Bool[np.ndarray, " free"]:
        """The states of the free sites in a mask."""
        return mask.flatten().numpy()[self.free]

"""Roof duality: a lower bound and persistent states for models of any signs on any graph."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask import ops
from mrfmask.graph import IsingGraph
from mrfmask.inference.cover_certificate import CoverCertificate


@dataclass(frozen=True, kw_only=True, eq=False)
class RoofDual:
    """What a minimum cut of the double cover tells of every model.

    Attributes:
        lower_bound: (batch,) float64; no mask has a lower energy. Equal to the optimum of the
            linear program over the local polytope, less `rounding`.
        on: (batch, nodes) nodes that are on in the labelling, those clamped on among them.
        off: (batch, nodes) likewise. Some mask of minimum energy has all labels at once, the
            minimum being that of the rounded potentials; if all nodes are labelled, it is the mask.
        strong: (batch, nodes) labelled, and so in every mask of minimum energy.
        mask: (batch, nodes) the labels, and the other nodes such that none gains by turning alone.
        exponent: (batch,) int64, potentials were multiplied by ``2 ** (exponent + 1)`` and rounded.
        rounding: (batch,) float64; no energy of the rounded potentials differs by more from the
            model's. Where it is 0, labels hold for the model itself; elsewhere the best mask with
            all labels has at most ``2 * rounding`` more than the minimum.
        certificate: the flow, which proves bound and labels.
    """

    lower_bound: Float[Tensor, " batch"]
    on: Bool[Tensor, "batch nodes"]
    off: Bool[Tensor, "batch nodes"]
    strong: Bool[Tensor, "batch nodes"]
    mask: Bool[Tensor, "batch nodes"]
    exponent: Int[Tensor, " batch"]
    rounding: Float[Tensor, " batch"]
    certificate: CoverCertificate

    @property
    def labelled(self) -> Bool[Tensor, "batch nodes"]:
        """Nodes with a label, on or off."""
        return self.on | self.off


def roof_dual(model: IsingGraph, lossless: bool = True) -> RoofDual:
    r"""The best lower bound that sums of couplings by themselves give, and what it settles.

    Every node i gets an image i', which should be its opposite: ``2 E(x) = 2 constant -
    sum_i unary_i (x_i - x_i') - sum_(J>0) J_ij (x_i x_j + x_i' x_j') - sum_(J<0) |J_ij| (x_i x_j' +
    x_i' x_j)`` where ``x' = -x``. Over all x and x' the minimum of the right side is a cut. Of its
    minimisers one is taken that separates as many nodes from their images as any does: those are
    labelled. For models that a cut can take (any cycle has an even number of repulsive couplings)
    that is all nodes, and the bound is the minimum.

    Args:
        model: any signs, any device; the work is on CPU threads, on integers of one power-of-two
            scale a model.
        lossless: 64-bit integers, which hold float32 potentials exactly unless they differ by
            factors of 2^30 or more; else 32-bit, a little quicker.

    Reference:
        Hammer, Hansen and Simeone, "Roof duality, complementation and persistency in quadratic 0-1
        optimization", Mathematical Programming 1984; Kolmogorov and Rother, "Minimizing
        nonsubmodular functions with graph cuts - a review", PAMI 2007.
    """
    on, off, strong, mask, flow, exponent, bound, rounding = ops.qpbo(
        model.unary.detach(), model.pairwise.detach(), *_node_pairs(model), lossless
    )
    return RoofDual(
        lower_bound=model.constant.detach() + bound,
        on=on,
        off=off,
        strong=strong,
        mask=mask,
        exponent=exponent,
        rounding=rounding,
        certificate=CoverCertificate(exponent=exponent, flow=flow, on=on, off=off),
    )


def _node_pairs(model: IsingGraph) -> tuple[Tensor, Tensor, Tensor]:
    """The pair that each edge joins, and both nodes of the pairs: parallel edges share one."""
    nodes = model.shape[1]
    low, high = model.edges.amin(dim=1), model.edges.amax(dim=1)
    pairs, pair_of = torch.unique(low * nodes + high, return_inverse=True)
    return pair_of, pairs // nodes, pairs % nodes

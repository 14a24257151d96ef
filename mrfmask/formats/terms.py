"""What a graph is made of, and how terms in 0 and 1, or in tables, become Ising terms."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mrfmask.checks import check_edges, check_tensors
from mrfmask.costs import ising_terms


class Terms(NamedTuple):
    """The arguments of `IsingGraph`, in their order."""

    unary: Float[Tensor, "batch nodes"]
    edges: Int[Tensor, "edges 2"]
    pairwise: Float[Tensor, "batch edges"]
    constant: Float[Tensor, " batch"]


def terms_from_binary(
    linear: Float[Tensor, "batch nodes"],
    edges: Int[Tensor, "edges 2"],
    quadratic: Float[Tensor, "batch edges"],
    offset: Float[Tensor, " batch"],
) -> Terms:
    """Of ``E = offset + sum_i linear_i y_i + sum_ij quadratic_ij y_i y_j``, y_i = 0 or 1.

    With ``y = (x + 1) / 2``: ``y_i y_j = (1 + x_i + x_j + x_i x_j) / 4``.
    """
    quarter = quadratic / 4
    slope = _add_at_ends(linear / 2, edges, quarter, quarter)
    constant = offset + linear.sum(dim=1) / 2 + quarter.sum(dim=1)
    return Terms(-slope, edges, -quarter, constant)


def binary_from_terms(
    terms: Terms,
) -> tuple[Float[Tensor, "batch nodes"], Float[Tensor, "batch edges"], Float[Tensor, " batch"]]:
    """The linear, quadratic and offset of `terms_from_binary`, in float64."""
    unary, pairwise, constant = (t.to(torch.float64) for t in (terms[0], terms[2], terms[3]))
    linear = _add_at_ends(-2 * unary, terms.edges, 2 * pairwise, 2 * pairwise)
    offset = constant + unary.sum(dim=1) - pairwise.sum(dim=1)
    return linear, -4 * pairwise, offset


def terms_from_tables(
    unary: Float[Tensor, "batch nodes 2"],
    edges: Int[Tensor, "edges 2"],
    pairwise: Float[Tensor, "batch edges 2 2"],
) -> Terms:
    """Of ``E = sum_i phi_i(x_i) + sum_ij phi_ij(x_i, x_j)``, in the dtype of `unary`.

    Args:
        unary: ``unary[..., s]`` is the cost of state s (0 off, 1 on); +inf for one of the two
            clamps the node to the other.
        edges: the two nodes of every table.
        pairwise: ``pairwise[..., s, t]`` is the cost of state s of the first node with t of the
            second; finite.
    """
    costs = unary.to(torch.float64)
    forbidden = torch.isposinf(costs)
    clamped = forbidden.any(dim=-1)
    off, on = costs.where(~forbidden, 0.0).unbind(dim=-1)
    mean, first, second, product = ising_terms(pairwise.to(torch.float64))
    # A clamped node pays the cost of the state it has left; its slope is settled with it.
    slope = torch.where(clamped, 0.0, (on - off) / 2)
    slope = _add_at_ends(slope, edges, first, second)
    state = torch.where(forbidden[..., 1], -1.0, 1.0).to(torch.float64)
    paid = torch.where(clamped, on + off + slope * state, (on + off) / 2)
    ising_unary = torch.where(clamped, state * torch.inf, -slope).to(unary.dtype)
    constant = paid.sum(dim=1) + mean.sum(dim=1)
    return Terms(ising_unary, edges, -product.to(unary.dtype), constant)


def check_tables(unary: Tensor, edges: Tensor, pairwise: Tensor) -> None:
    """Raises TypeError or ValueError unless `terms_from_tables` can take these."""
    check_tensors(unary, pairwise=pairwise)
    if unary.dim() != 3 or unary.shape[2] != 2:
        raise ValueError(
            f"unary must have shape (batch, nodes, 2); got {tuple(unary.shape)}. The last side "
            "runs over the states off, on."
        )
    batch, nodes, _ = unary.shape
    check_edges(edges, nodes, unary.device)
    expected = (batch, len(edges), 2, 2)
    if tuple(pairwise.shape) != expected:
        raise ValueError(
            f"pairwise must have shape {expected}, one table an edge; got {tuple(pairwise.shape)}. "
            "The last sides run over the states off, on."
        )
    if unary.isnan().any() or unary.isneginf().any():
        raise ValueError(
            "unary must hold finite costs or +inf (a forbidden state); got NaN or -inf. Costs are "
            "minimised."
        )
    forbidden = unary.isposinf().all(dim=2)
    if forbidden.any():
        image, node = forbidden.nonzero()[0].tolist()
        raise ValueError(
            f"unary must leave each node a state; got +inf for both states of node {node} of image "
            f"{image}. Forbid at most one."
        )
    if not pairwise.isfinite().all():
        raise ValueError(
            "pairwise must hold finite costs; got NaN or inf. Forbid states through unary."
        )


def _add_at_ends(
    values: Float[Tensor, "batch nodes"],
    edges: Int[Tensor, "edges 2"],
    first: Float[Tensor, "batch edges"],
    second: Float[Tensor, "batch edges"],
) -> Float[Tensor, "batch nodes"]:
    """The values of the nodes, and what every edge adds to its first and its second."""
    return values.index_add(1, edges[:, 0], first).index_add(1, edges[:, 1], second)

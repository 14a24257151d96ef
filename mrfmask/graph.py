"""The problem on any graph: a binary Markov random field over nodes; conventions as for grids."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.checks import check_edges, check_mask, check_tensors
from mrfmask.ising import IsingModel


@dataclass(frozen=True, eq=False, repr=False)
class IsingGraph(IsingModel):
    r"""A batch of Ising models that share a graph.

    ``E(x) = constant - sum_i unary_i x_i - sum_ij pairwise_ij x_i x_j``, lower is better.

    Args:
        unary: (batch, nodes), float32 or float64, any finite value or +-inf (a clamp).
        edges: (edges, 2) int64, the two nodes of every coupling, numbered from 0, in any order. A
            pair that is listed twice has the sum of both couplings.
        pairwise: (batch, edges), finite; > 0 likes the two nodes equal.
        constant: (batch,), added to the energy; zeros if left out. Kept in float64.

    Raises:
        TypeError: an argument is no tensor of its kind, or dtypes differ.
        ValueError: a shape does not fit, an edge names no node or joins a node to itself, or a
            value is NaN, infinite (couplings) or beyond 2^100.

    Example:
        >>> import torch, mrfmask as mm
        >>> triangle = torch.tensor([[0, 1], [1, 2], [0, 2]])
        >>> model = mm.IsingGraph(torch.tensor([[0.5, 0.0, 0.0]]), triangle, -torch.ones(1, 3))
        >>> model.energy(torch.tensor([[True, True, False]]))
        tensor([-1.5000], dtype=torch.float64)

    Reference:
        Kindermann and Snell, "Markov random fields and their applications", AMS 1980.
    """

    unary: Float[Tensor, "batch nodes"]
    edges: Int[Tensor, "edges 2"]
    pairwise: Float[Tensor, "batch edges"]
    constant: Float[Tensor, " batch"] | None = None

    def __post_init__(self) -> None:
        check_tensors(self.unary, pairwise=self.pairwise)
        if self.unary.dim() != 2:
            hint = "For one model pass unary[None]." if self.unary.dim() == 1 else "Flatten it."
            raise ValueError(
                f"unary must have shape (batch, nodes); got {tuple(self.unary.shape)}. {hint}"
            )
        batch, nodes = self.unary.shape
        if nodes == 0:
            raise ValueError(
                f"unary must have at least one node; got {tuple(self.unary.shape)}. "
                "Leave empty models out."
            )
        check_edges(self.edges, nodes, self.unary.device)
        expected = (batch, len(self.edges))
        if tuple(self.pairwise.shape) != expected:
            raise ValueError(
                f"pairwise must have shape {expected}, one value an edge; got "
                f"{tuple(self.pairwise.shape)}. For one model pass pairwise[None]."
            )
        self._set_constant(pairwise=self.pairwise)

    def __repr__(self) -> str:
        batch, nodes = self.shape
        size = f"{batch} x {nodes} nodes, {len(self.edges)} edges"
        return f"IsingGraph({size}, {self.dtype}, {self.device})"

    @property
    def couplings(self) -> dict[str, Float[Tensor, "batch edges"]]:
        """The couplings by name: pairwise."""
        return {"pairwise": self.pairwise}

    def pairs(self, values: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """By kind of coupling, the values (..., nodes) of both nodes of every coupling."""
        return {"pairwise": (values[..., self.edges[:, 0]], values[..., self.edges[:, 1]])}

    def energy(self, mask: Bool[Tensor, "*masks nodes"]) -> Float[Tensor, "*masks"]:
        """Energy of masks in float64; differentiable in the potentials.

        Args:
            mask: bool, (batch, nodes), or (batch, chains, nodes) for several masks a model.

        Returns:
            (batch,) or (batch, chains); +inf where a mask violates a clamp.
        """
        batch, nodes = self.shape
        several = isinstance(mask, Tensor) and mask.dim() == 3
        shape = (batch, mask.shape[1], nodes) if several else (batch, nodes)
        check_mask("mask", mask, shape, self.device)
        chains = mask if several else mask.unsqueeze(1)
        # Products with +-1 are exact in any dtype; their sums are taken in float64.
        x = torch.where(chains, 1.0, -1.0).to(self.dtype)
        unary = self.unary.unsqueeze(1)
        clamped = torch.isinf(unary)
        score = (torch.where(clamped, 0.0, unary) * x).sum(dim=2, dtype=torch.float64)
        equal = chains[:, :, self.edges[:, 0]] == chains[:, :, self.edges[:, 1]]
        agree = torch.where(equal, self.pairwise.unsqueeze(1), -self.pairwise.unsqueeze(1))
        score = score + agree.sum(dim=2, dtype=torch.float64)
        violated = (clamped & (x * unary < 0)).any(dim=2)
        energy = torch.where(violated, torch.inf, self.constant.unsqueeze(1) - score)
        return energy if several else energy.squeeze(1)

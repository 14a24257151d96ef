"""The problem on pixels: a binary Markov random field over a grid.

Conventions, the same in every module:

* States ``x_i`` are -1 or +1. A *mask* is the bool tensor ``x > 0``; True means on (measured,
  selected, foreground).
* Energy ``E(x) = constant - sum_i unary_i x_i - sum_(i,j) pairwise_ij x_i x_j``; lower is better.
  A positive unary likes its pixel on. A positive pairwise likes its two pixels equal
  (*associative*), a negative one likes them different (*repulsive*).
* ``p(x) = exp(-beta E(x)) / Z`` with the inverse temperature ``beta``, 1 unless stated.
* Batch first. ``right`` couples (y, x)-(y, x+1), ``down`` couples (y, x)-(y+1, x).
* ``unary = +inf`` or ``-inf`` clamps a pixel on or off: its unary term counts 0, its couplings
  count, and a mask that violates the clamp has energy ``+inf``.
* Boundaries are open. ``periodic=True`` adds the couplings that wrap around, kept in the last
  column of ``right`` and the last row of ``down``; a side of one pixel has none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.checks import check_mask, check_shapes, check_tensors
from mrfmask.costs import terms_from_costs
from mrfmask.graph import IsingGraph
from mrfmask.ising import IsingModel


@dataclass(frozen=True, eq=False, repr=False)
class IsingGrid(IsingModel):
    r"""A batch of Ising models on a grid of pixels, open or periodic.

    ``E(x) = constant - sum_i unary_i x_i - sum_ij pairwise_ij x_i x_j``.

    Args:
        unary: (batch, height, width), float32 or float64, any finite value or +-inf (a clamp).
        right: (batch, height, width - 1), or (batch, height, width) when periodic. Finite.
        down: (batch, height - 1, width), or (batch, height, width) when periodic. Finite.
        constant: (batch,), added to the energy; zeros if left out. Kept in float64.
        periodic: wrap both sides around. A side of one pixel has no wrap-around coupling: its
            tensor then has length 0 along that side.

    Raises:
        TypeError: an argument is no floating-point tensor, or dtypes or devices differ.
        ValueError: a shape does not fit, or a value is NaN, infinite (couplings) or beyond 2^100.

    Example:
        >>> import torch, mrfmask as mm
        >>> model = mm.IsingGrid(torch.tensor([[[1.0, -2.0]]]), torch.tensor([[[0.5]]]),
        ...                      torch.zeros(1, 0, 2))
        >>> model.energy(torch.tensor([[[True, False]]]))
        tensor([-2.5000], dtype=torch.float64)

    Reference:
        Geman and Geman, "Stochastic relaxation, Gibbs distributions, and the Bayesian restoration
        of images", PAMI 1984.
    """

    unary: Float[Tensor, "batch height width"]
    right: Float[Tensor, "batch height width-1"]
    down: Float[Tensor, "batch height-1 width"]
    constant: Float[Tensor, " batch"] | None = None
    periodic: bool = False

    def __post_init__(self) -> None:
        couplings = {"right": self.right, "down": self.down}
        check_tensors(self.unary, **couplings)
        check_shapes(self.unary, self.right, self.down, self.periodic)
        self._set_constant(**couplings)

    @staticmethod
    def from_costs(
        unary: Float[Tensor, "batch height width 2"],
        right: Float[Tensor, "batch height width-1 2 2"],
        down: Float[Tensor, "batch height-1 width 2 2"],
        periodic: bool = False,
    ) -> IsingGrid:
        r"""The grid with ``E(x) = sum_i phi_i(x_i) + sum_ij phi_ij(x_i, x_j)`` for every mask.

        Args:
            unary: ``unary[..., s]`` is the cost of state s (0 off, 1 on), (batch, height, width,
                2). +inf forbids a state, which clamps the pixel to the other one.
            right: ``right[..., s, t]`` is the cost of state s at (y, x) with t at (y, x+1).
            down: ``down[..., s, t]`` is the cost of state s at (y, x) with t at (y+1, x).
            periodic: the last column of `right` and the last row of `down` wrap around.

        Raises:
            TypeError: an argument is no floating-point tensor.
            ValueError: a shape does not fit, both states of a pixel are forbidden, or the cost of
                a pair is not finite.

        Example:
            >>> import torch, mrfmask as mm
            >>> potts = 0.5 * (1 - torch.eye(2))  # 0.5 for two different states
            >>> model = mm.IsingGrid.from_costs(torch.tensor([[[[0.0, 1.0], [0.0, -1.0]]]]),
            ...                                 potts.expand(1, 1, 1, 2, 2),
            ...                                 torch.zeros(1, 0, 2, 2, 2))
            >>> model.energy(torch.tensor([[[False, True]]]))
            tensor([-0.5000], dtype=torch.float64)
        """
        return IsingGrid(*terms_from_costs(unary, right, down), periodic)

    def __repr__(self) -> str:
        batch, height, width = self.shape
        kind = ", periodic" if self.periodic else ""
        return f"IsingGrid({batch} x {height}x{width}, {self.dtype}, {self.device}{kind})"

    @property
    def edges(self) -> Int[Tensor, "edges 2"]:
        """The two pixels of every coupling, numbered row by row; those to the right come first."""
        _, height, width = self.shape
        pixel = torch.arange(height * width, device=self.device).reshape(height, width)
        columns, rows = self.right.shape[2], self.down.shape[1]
        first = torch.cat([pixel[:, :columns].flatten(), pixel[:rows].flatten()])
        to_right, below = pixel.roll(-1, dims=1), pixel.roll(-1, dims=0)
        second = torch.cat([to_right[:, :columns].flatten(), below[:rows].flatten()])
        return torch.stack([first, second], dim=1)

    @property
    def pairwise(self) -> Float[Tensor, "batch edges"]:
        """The couplings in the order of `edges`."""
        return torch.cat([self.right.flatten(1), self.down.flatten(1)], dim=1)

    def as_graph(self) -> IsingGraph:
        """The same model on a graph of height * width nodes, the pixels row by row."""
        return IsingGraph(self.unary.flatten(1), self.edges, self.pairwise, self.constant)

    def energy(self, mask: Bool[Tensor, "*masks height width"]) -> Float[Tensor, "*masks"]:
        """Energy of masks in float64; differentiable in the potentials.

        Args:
            mask: bool, (batch, height, width), or (batch, chains, height, width) for several masks
                an image.

        Returns:
            (batch,) or (batch, chains); +inf where a mask violates a clamp.
        """
        batch, height, width = self.shape
        several = isinstance(mask, Tensor) and mask.dim() == 4
        shape = (batch, mask.shape[1], height, width) if several else (batch, height, width)
        check_mask("mask", mask, shape, self.device)
        chains = mask if several else mask.unsqueeze(1)
        # Products with +-1 are exact in any dtype; their sums are taken in float64.
        x = torch.where(chains, 1.0, -1.0).to(self.dtype)
        unary = self.unary.unsqueeze(1)
        clamped = torch.isinf(unary)
        score = _sum(torch.where(clamped, 0.0, unary) * x)
        for dim, pairwise in ((3, self.right), (2, self.down)):
            neighbour = x.roll(-1, dim) if self.periodic else x.narrow(dim, 1, x.shape[dim] - 1)
            here = x.narrow(dim, 0, pairwise.shape[dim - 1])
            neighbour = neighbour.narrow(dim, 0, pairwise.shape[dim - 1])
            score = score + _sum(here * neighbour * pairwise.unsqueeze(1))
        violated = (clamped & (x * unary < 0)).flatten(2).any(dim=2)
        energy = torch.where(violated, torch.inf, self.constant.unsqueeze(1) - score)
        return energy if several else energy.squeeze(1)


def _sum(terms: Float[Tensor, "batch chains height width"]) -> Float[Tensor, "batch chains"]:
    """The sum over every image, in float64."""
    return terms.sum(dim=(2, 3), dtype=torch.float64)

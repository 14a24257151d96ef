"""The problem on pixels: a binary Markov random field over a grid.

Conventions, the same in every module:

* States ``x_i`` are -1 or +1. A *mask* is the bool tensor ``x > 0``; True means on (measured,
  selected, foreground).
* Energy ``E(x) = constant - sum_i unary_i x_i - sum_(i,j) pairwise_ij x_i x_j``; lower is better.
  A positive unary likes its pixel on. A positive pairwise likes its two pixels equal
  (*associative*), a negative one likes them different (*repulsive*).
* ``p(x) = exp(-beta E(x)) / Z`` with the inverse temperature ``beta``, 1 unless stated.
* Batch first. ``right`` couples (y, x)-(y, x+1), ``down`` couples (y, x)-(y+1, x). Grids may have
  diagonals: ``down_right`` couples (y, x)-(y+1, x+1), ``down_left`` couples (y, x+1)-(y+1, x).
* ``unary = +inf`` or ``-inf`` clamps a pixel on or off: its unary term counts 0, its couplings
  count, and a mask that violates the clamp has energy ``+inf``.
* Boundaries are open. ``periodic=True`` adds the couplings that wrap around, kept in the last
  column of ``right`` and the last row of ``down``; a side of one pixel has none. Diagonals have the
  rows of ``down`` and the columns of ``right``, so none where a side is one pixel. On a torus with
  a side of two pixels several couplings join the same two pixels; they add up.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.checks import check_mask, check_shapes, check_tensors
from mrfmask.costs import terms_from_costs
from mrfmask.directions import DIRECTIONS
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
        down_right: (batch, height - 1, width - 1), the rows of `down` and the columns of `right`
            also when periodic: ``down_right[b, y, x]`` couples (y, x)-(y+1, x+1). Finite. None:
            no such couplings.
        down_left: the same shape: ``down_left[b, y, x]`` couples (y, x+1)-(y+1, x).

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
    down_right: Float[Tensor, "batch height-1 width-1"] | None = field(default=None, kw_only=True)
    down_left: Float[Tensor, "batch height-1 width-1"] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        couplings = self.couplings
        check_tensors(self.unary, **couplings)
        check_shapes(self.unary, self.periodic, **couplings)
        self._set_constant(**couplings)

    @staticmethod
    def from_costs(
        unary: Float[Tensor, "batch height width 2"],
        right: Float[Tensor, "batch height width-1 2 2"],
        down: Float[Tensor, "batch height-1 width 2 2"],
        periodic: bool = False,
        *,
        down_right: Float[Tensor, "batch height-1 width-1 2 2"] | None = None,
        down_left: Float[Tensor, "batch height-1 width-1 2 2"] | None = None,
    ) -> IsingGrid:
        r"""The grid with ``E(x) = sum_i phi_i(x_i) + sum_ij phi_ij(x_i, x_j)`` for every mask.

        Args:
            unary: ``unary[..., s]`` is the cost of state s (0 off, 1 on), (batch, height, width,
                2). +inf forbids a state, which clamps the pixel to the other one.
            right: ``right[..., s, t]`` is the cost of state s at (y, x) with t at (y, x+1).
            down: ``down[..., s, t]`` is the cost of state s at (y, x) with t at (y+1, x).
            periodic: the last column of `right` and the last row of `down` wrap around.
            down_right: ``down_right[..., s, t]`` is the cost of state s at (y, x) with t at (y+1,
                x+1). None: no such couplings.
            down_left: ``down_left[..., s, t]`` is the cost of state s at (y, x+1) with t at (y+1,
                x).

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
        tables = {"right": right, "down": down, "down_right": down_right, "down_left": down_left}
        tables = {name: table for name, table in tables.items() if table is not None}
        ising_unary, constant, couplings = terms_from_costs(unary, tables, periodic)
        return IsingGrid(ising_unary, constant=constant, periodic=periodic, **couplings)

    def __repr__(self) -> str:
        batch, height, width = self.shape
        kind = ", periodic" if self.periodic else ""
        kind += ", with diagonals" if self.has_diagonals else ""
        return f"IsingGrid({batch} x {height}x{width}, {self.dtype}, {self.device}{kind})"

    @property
    def has_diagonals(self) -> bool:
        """Whether down_right or down_left is given: a grid of eight neighbours."""
        return self.down_right is not None or self.down_left is not None

    @property
    def couplings(self) -> dict[str, Float[Tensor, "batch rows columns"]]:
        """The couplings by name: right, down and those diagonals that are given."""
        named = {name: getattr(self, name) for name in DIRECTIONS}
        return {name: values for name, values in named.items() if values is not None}

    @property
    def edges(self) -> Int[Tensor, "edges 2"]:
        """The two pixels of every coupling, numbered row by row: right, down, then diagonals."""
        _, height, width = self.shape
        pixel = torch.arange(height * width, device=self.device).reshape(height, width)
        both = [(one.flatten(), other.flatten()) for one, other in self.pairs(pixel).values()]
        return torch.stack([torch.cat(ends) for ends in zip(*both, strict=True)], dim=1)

    @property
    def pairwise(self) -> Float[Tensor, "batch edges"]:
        """The couplings in the order of `edges`."""
        return torch.cat([values.flatten(1) for values in self.couplings.values()], dim=1)

    def pairs(self, values: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """By kind of coupling, the values (..., height, width) of both pixels of every coupling."""
        found = {}
        for name, couplings in self.couplings.items():
            rows, columns = couplings.shape[1:]
            ends = []
            for dy, dx in DIRECTIONS[name]:
                wraps = self.periodic and (dy or dx)
                end = values.roll((-dy, -dx), (-2, -1)) if wraps else values[..., dy:, dx:]
                ends.append(end[..., :rows, :columns])
            found[name] = tuple(ends)
        return found

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
        couplings = self.couplings
        for name, (one, other) in self.pairs(x).items():
            score = score + _sum(one * other * couplings[name].unsqueeze(1))
        violated = (clamped & (x * unary < 0)).flatten(2).any(dim=2)
        energy = torch.where(violated, torch.inf, self.constant.unsqueeze(1) - score)
        return energy if several else energy.squeeze(1)


def _sum(terms: Float[Tensor, "batch chains height width"]) -> Float[Tensor, "batch chains"]:
    """The sum over every image, in float64."""
    return terms.sum(dim=(2, 3), dtype=torch.float64)

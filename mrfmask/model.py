"""The problem: a binary Markov random field over a pixel grid.

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

from dataclasses import dataclass, fields, replace
from numbers import Integral

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.checks import check_constant, check_mask, check_shapes, check_tensors, check_values
from mrfmask.costs import terms_from_costs


@dataclass(frozen=True, eq=False, repr=False)
class IsingGrid:
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
        check_tensors(self.unary, self.right, self.down)
        batch = self.unary.shape[0]
        check_shapes(self.unary, self.right, self.down, self.periodic)
        constant = self.constant
        if constant is None:
            constant = torch.zeros(batch, dtype=torch.float64, device=self.unary.device)
        check_constant(constant, self.unary)
        object.__setattr__(self, "constant", constant.to(torch.float64))
        check_values(self.unary, self.right, self.down, self.constant)

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

    @property
    def shape(self) -> tuple[int, int, int]:
        """(batch, height, width)."""
        return tuple(self.unary.shape)

    @property
    def device(self) -> torch.device:
        """The device that all tensors are on."""
        return self.unary.device

    @property
    def dtype(self) -> torch.dtype:
        """torch.float32 or torch.float64."""
        return self.unary.dtype

    @property
    def clamped(self) -> Bool[Tensor, "batch height width"]:
        """Pixels whose state is given (unary is +-inf)."""
        return torch.isinf(self.unary)

    @property
    def is_associative(self) -> bool:
        """True if no coupling of any image is negative."""
        return bool((self.right >= 0).all() and (self.down >= 0).all())

    @property
    def is_repulsive(self) -> bool:
        """True if no coupling of any image is positive."""
        return bool((self.right <= 0).all() and (self.down <= 0).all())

    def __len__(self) -> int:
        return self.unary.shape[0]

    def __getitem__(self, images: int | slice | Int[Tensor, " images"]) -> IsingGrid:
        """Some of the images, as a model with a batch dimension: ``model[3]``, ``model[:8]``."""
        if isinstance(images, Integral):
            images = int(images)
            if not -len(self) <= images < len(self):
                raise IndexError(
                    f"images must lie in a batch of {len(self)}; got {images}. Count from 0."
                )
            images = slice(images, images + 1 or None)
        return replace(self, **{name: value[images] for name, value in self._tensors().items()})

    def __repr__(self) -> str:
        batch, height, width = self.shape
        kind = ", periodic" if self.periodic else ""
        return f"IsingGrid({batch} x {height}x{width}, {self.dtype}, {self.device}{kind})"

    def _tensors(self) -> dict[str, Tensor]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "periodic"}

    def to(self, target: torch.device | str | torch.dtype) -> IsingGrid:
        """The model on another device, or with potentials of another dtype."""
        if isinstance(target, torch.dtype):
            tensors = {n: t.to(target) for n, t in self._tensors().items() if n != "constant"}
        else:
            tensors = {n: t.to(target) for n, t in self._tensors().items()}
        return replace(self, **tensors)

    def clamp(
        self,
        on: Bool[Tensor, "batch height width"] | None = None,
        off: Bool[Tensor, "batch height width"] | None = None,
    ) -> IsingGrid:
        """The model with the given pixels fixed on or off.

        Args:
            on: True where a pixel must be on, e.g. already measured.
            off: True where a pixel must be off, e.g. impossible to measure.

        Raises:
            ValueError: a pixel would be clamped both on and off.
        """
        unary = self.unary
        for name, where, value in (("on", on, torch.inf), ("off", off, -torch.inf)):
            if where is None:
                continue
            check_mask(name, where, self.unary.shape, self.device)
            both = where & (unary == -value)
            if both.any():
                b, y, x = both.nonzero()[0].tolist()
                raise ValueError(
                    f"{name} must not contradict another clamp; got pixel ({y}, {x}) of image {b} "
                    "clamped both on and off. Choose one."
                )
            unary = torch.where(where, value, unary)
        return replace(self, unary=unary)

    def edges(
        self,
    ) -> tuple[Int[Tensor, " edges"], Int[Tensor, " edges"], Float[Tensor, "batch edges"]]:
        """Every coupling as (first pixel, second pixel, pairwise), pixels numbered row by row.

        The couplings to the right come first. Both pixel tensors are int64 of shape (edges,).
        """
        _, height, width = self.shape
        pixel = torch.arange(height * width, device=self.device).reshape(height, width)
        columns, rows = self.right.shape[2], self.down.shape[1]
        first = torch.cat([pixel[:, :columns].flatten(), pixel[:rows].flatten()])
        to_right, below = pixel.roll(-1, dims=1), pixel.roll(-1, dims=0)
        second = torch.cat([to_right[:, :columns].flatten(), below[:rows].flatten()])
        return first, second, torch.cat([self.right.flatten(1), self.down.flatten(1)], dim=1)

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

    def log_prob(
        self,
        mask: Bool[Tensor, "*masks height width"],
        log_partition: Float[Tensor, " batch"],
        beta: float = 1.0,
    ) -> Float[Tensor, "*masks"]:
        """``-beta E(mask) - log Z``, in nats, for a log partition function (batch,) at `beta`."""
        energy = self.energy(mask)
        if not isinstance(log_partition, Tensor):
            raise TypeError(
                f"log_partition must be a tensor; got {type(log_partition).__name__}. Gibbs "
                "sampling has none: use exact, or mean_field for a lower bound."
            )
        if log_partition.shape != self.unary.shape[:1]:
            raise ValueError(
                f"log_partition must have shape ({len(self)},), one value an image; got "
                f"{tuple(log_partition.shape)}. Use Marginals.log_partition."
            )
        return -beta * energy - log_partition.reshape(-1, *[1] * (energy.dim() - 1))


def _sum(terms: Float[Tensor, "batch chains height width"]) -> Float[Tensor, "batch chains"]:
    """The sum over every image, in float64."""
    return terms.sum(dim=(2, 3), dtype=torch.float64)

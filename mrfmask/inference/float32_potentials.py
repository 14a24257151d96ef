"""Models as the float32 kernels take them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mrfmask.graph import IsingGraph
from mrfmask.ising import IsingModel
from mrfmask.powers_of_two import power_of_two


@dataclass(frozen=True)
class Float32Potentials:
    """What the float32 kernels take of a model.

    Images far from unit size are divided by a power of two, which float32 does exactly, so that no
    model is too small or too large for float32: inverse temperatures must be multiplied by `scale`,
    and so must energies that come back.
    """

    unary: Tensor
    right: Tensor
    down: Tensor
    periodic: bool
    scale: Tensor  # (batch,) float64
    # Of a grid with diagonals, both; zeros for one that it has not.
    down_right: Tensor | None = None
    down_left: Tensor | None = None

    @property
    def arguments(self) -> tuple[Tensor, Tensor, Tensor, bool]:
        """The first arguments of the operators on grids without diagonals."""
        return self.unary, self.right, self.down, self.periodic

    @property
    def diagonal_arguments(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, bool]:
        """The first arguments of the operators on grids with diagonals."""
        cross = (self.unary, self.right, self.down)
        return *cross, self.down_right, self.down_left, self.periodic


@dataclass(frozen=True)
class Float32Graph:
    """The same of a graph."""

    unary: Tensor
    edges: Tensor
    pairwise: Tensor
    scale: Tensor  # (batch,) float64


def largest_potential(model: IsingModel) -> Tensor:
    """The largest finite size of a potential of each image, (batch,) float64."""
    largest = torch.zeros(len(model), dtype=torch.float64, device=model.device)
    for tensor in (model.unary, *model.couplings.values()):
        if tensor[0:1].numel():
            finite = tensor.detach().abs().nan_to_num(posinf=0.0).flatten(1).amax(dim=1)
            largest = torch.maximum(largest, finite.to(torch.float64))
    return largest


def float32_potentials(model: IsingModel) -> Float32Potentials | Float32Graph:
    """The potentials of a model in float32, each image at about unit size."""
    tensors = {"unary": model.unary, **model.couplings}
    tensors = {name: t.detach() for name, t in tensors.items()}
    exponent = torch.frexp(largest_potential(model)).exponent
    exponent = torch.where(exponent.abs() > 20, exponent, 0)
    if bool(exponent.any()):
        size = power_of_two(-exponent)
        tensors = {
            name: t.to(torch.float64) * size.reshape(-1, *[1] * (t.dim() - 1))
            for name, t in tensors.items()
        }
    tensors = {name: t.to(torch.float32).contiguous() for name, t in tensors.items()}
    if isinstance(model, IsingGraph):
        return Float32Graph(**tensors, edges=model.edges, scale=power_of_two(exponent))
    if model.has_diagonals:
        for name, other in (("down_right", "down_left"), ("down_left", "down_right")):
            if name not in tensors:
                tensors[name] = torch.zeros_like(tensors[other])
    return Float32Potentials(**tensors, periodic=model.periodic, scale=power_of_two(exponent))

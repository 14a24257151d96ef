"""Models as the float32 kernels take them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mrfmask.model import IsingGrid


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

    @property
    def arguments(self) -> tuple[Tensor, Tensor, Tensor, bool]:
        """The first arguments of the operators."""
        return self.unary, self.right, self.down, self.periodic


def float32_potentials(model: IsingGrid) -> Float32Potentials:
    """The potentials of a model in float32, each image at about unit size."""
    tensors = [t.detach() for t in (model.unary, model.right, model.down)]
    largest = torch.zeros(len(model), dtype=torch.float64, device=model.device)
    for tensor in tensors:
        if tensor[0:1].numel():
            finite = tensor.abs().nan_to_num(posinf=0.0).flatten(1).amax(dim=1)
            largest = torch.maximum(largest, finite.to(torch.float64))
    exponent = torch.frexp(largest).exponent
    exponent = torch.where(exponent.abs() > 20, exponent, 0)
    if bool(exponent.any()):
        tensors = [torch.ldexp(t.to(torch.float64), -exponent[:, None, None]) for t in tensors]
    unary, right, down = (t.to(torch.float32).contiguous() for t in tensors)
    scale = torch.ldexp(torch.ones_like(largest), exponent)
    return Float32Potentials(unary, right, down, model.periodic, scale)

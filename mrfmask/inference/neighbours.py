"""Sums over the neighbours of every pixel."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def neighbour_sum(
    right: Float[Tensor, "batch height width-1"],
    down: Float[Tensor, "batch height-1 width"],
    values: Float[Tensor, "batch height width"],
) -> Float[Tensor, "batch height width"]:
    """``sum_j pairwise_ij values_j`` over the neighbours j of every pixel i; differentiable.

    Args:
        right: couplings to the right as in IsingGrid, of the width of `values` where they wrap.
        down: couplings down, likewise.
        values: one value a pixel.
    """
    _, height, width = values.shape
    pad = torch.nn.functional.pad
    right = pad(right, (0, width - right.shape[2]))
    down = pad(down, (0, 0, 0, height - down.shape[1]))
    across = right * values.roll(-1, 2) + (right * values).roll(1, 2)
    return across + down * values.roll(-1, 1) + (down * values).roll(1, 1)

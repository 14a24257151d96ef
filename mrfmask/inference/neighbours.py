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
    total = torch.zeros_like(values)
    for dim, pairwise in ((2, right), (1, down)):
        size = values.shape[dim]
        # Couplings of pixel i with i + 1 and, on a torus, of the last pixel with the first.
        for first, second, number in ((0, 1, size - 1), (size - 1, 0, 1)):
            if first + number <= pairwise.shape[dim]:
                couplings = pairwise.narrow(dim, first, number)
                one, other = values.narrow(dim, first, number), values.narrow(dim, second, number)
                # In place, on parts: shifted copies would take six times longer.
                total.narrow(dim, first, number).addcmul_(couplings, other)
                total.narrow(dim, second, number).addcmul_(couplings, one)
    return total

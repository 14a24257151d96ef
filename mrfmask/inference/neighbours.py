"""Sums over the neighbours of every pixel."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def neighbour_sum(
    right: Float[Tensor, "batch height width-1"],
    down: Float[Tensor, "batch height-1 width"],
    values: Float[Tensor, "batch height width"],
    down_right: Float[Tensor, "batch height-1 width-1"] | None = None,
    down_left: Float[Tensor, "batch height-1 width-1"] | None = None,
) -> Float[Tensor, "batch height width"]:
    """``sum_j pairwise_ij values_j`` over the neighbours j of every pixel i; differentiable.

    Args:
        right: couplings to the right as in IsingGrid, of the width of `values` where they wrap.
        down: couplings down, likewise.
        values: one value a pixel.
        down_right: diagonal couplings, likewise; None: none.
        down_left: the same.
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
    for diagonal, (first_x, second_x) in ((down_right, (0, 1)), (down_left, (1, 0))):
        if diagonal is None:
            continue
        _, height, width = values.shape
        for row, below, rows in ((0, 1, height - 1), (height - 1, 0, 1)):
            for column, across, columns in ((0, 1, width - 1), (width - 1, 0, 1)):
                if row + rows > diagonal.shape[1] or column + columns > diagonal.shape[2]:
                    continue
                # The column of each end: that of the coupling, or the next one.
                at = (column, across)
                block = diagonal.narrow(1, row, rows).narrow(2, column, columns)
                upper = values.narrow(1, row, rows).narrow(2, at[first_x], columns)
                lower = values.narrow(1, below, rows).narrow(2, at[second_x], columns)
                total.narrow(1, row, rows).narrow(2, at[first_x], columns).addcmul_(block, lower)
                total.narrow(1, below, rows).narrow(2, at[second_x], columns).addcmul_(block, upper)
    return total

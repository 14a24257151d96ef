"""Sweeps over grids by the operator that fits: with or without diagonals."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask import ops
from mrfmask.inference.float32_potentials import Float32Potentials


def gibbs(
    potentials: Float32Potentials, *arguments
) -> tuple[
    Bool[Tensor, "batch chains height width"],
    Int[Tensor, "batch chains height width"],
    Float[Tensor, "batch chains sweeps"],
    Bool[Tensor, "batch chains height width"],
    dict[str, Int[Tensor, "batch rows columns"]],
]:
    """What the operator `gibbs` gives for its arguments from `beta` on.

    Returns:
        masks, counts, energies, best masks and, by kind of coupling, the counts of equal pairs.
    """
    if potentials.down_right is None:
        *kept, right, down = ops.gibbs(*potentials.arguments, *arguments)
        return *kept, {"right": right, "down": down}
    *kept, right, down, down_right, down_left = ops.diagonal_gibbs(
        *potentials.diagonal_arguments, *arguments
    )
    equal = {"right": right, "down": down, "down_right": down_right, "down_left": down_left}
    return *kept, equal


def mean_field(
    potentials: Float32Potentials, *arguments
) -> tuple[Float[Tensor, "batch height width"], Int[Tensor, " batch"], Float[Tensor, " batch"]]:
    """What the operator `mean_field` gives for its arguments from `beta` on."""
    if potentials.down_right is None:
        return ops.mean_field(*potentials.arguments, *arguments)
    return ops.diagonal_mean_field(*potentials.diagonal_arguments, *arguments)

"""From cost tables, phi_i(x_i) and phi_ij(x_i, x_j), to Ising terms of the same energies."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def terms_from_costs(
    unary: Float[Tensor, "batch height width 2"],
    right: Float[Tensor, "batch height width-1 2 2"],
    down: Float[Tensor, "batch height-1 width 2 2"],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The unary, right, down and constant of the Ising grid with the same energies.

    A table of two states is ``a + b x_i + c x_j + d x_i x_j`` exactly: ``-d`` is the coupling,
    ``-b`` and ``-c`` join the unaries, ``a`` joins the constant. Arguments and errors are those of
    `IsingGrid.from_costs`.
    """
    _check_tables(unary, right, down)
    costs = unary.to(torch.float64)
    forbidden = torch.isposinf(costs)
    if forbidden.all(dim=-1).any():
        where = tuple(forbidden.all(dim=-1).nonzero()[0].tolist())
        raise ValueError(
            f"unary must leave each pixel a state; got +inf for both states at {where}. "
            "Forbid at most one."
        )
    clamped = forbidden.any(dim=-1)
    off, on = costs.where(~forbidden, 0.0).unbind(dim=-1)
    # A clamped pixel pays the cost of the state it has left; its linear part is settled below.
    linear = torch.where(clamped, 0.0, (on - off) / 2)
    constant = torch.where(clamped, on + off, (on + off) / 2).sum(dim=(1, 2))
    couplings = {}
    for name, table, side in (("right", right, 2), ("down", down, 1)):
        mean, first, second, product = ising_terms(table.to(torch.float64))
        constant = constant + mean.sum(dim=(1, 2))
        linear = _add_linear(linear, first, second, side)
        couplings[name] = -product
    # x_i of a clamped pixel is known, so its linear term is a constant.
    state = torch.where(forbidden[..., 1], -1.0, 1.0).to(torch.float64)
    constant = constant + torch.where(clamped, linear * state, 0.0).sum(dim=(1, 2))
    dtype = unary.dtype
    ising_unary = torch.where(clamped, state * torch.inf, -linear).to(dtype)
    return ising_unary, couplings["right"].to(dtype), couplings["down"].to(dtype), constant


def ising_terms(table: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Coefficients (a, b, c, d) of table(x, z) = a + b x + c z + d x z."""
    c00, c01, c10, c11 = table.flatten(-2).unbind(dim=-1)
    mean = (c00 + c01 + c10 + c11) / 4
    first = (c10 + c11 - c00 - c01) / 4
    second = (c01 + c11 - c00 - c10) / 4
    product = (c00 + c11 - c01 - c10) / 4
    return mean, first, second, product


def _add_linear(linear: Tensor, first: Tensor, second: Tensor, side: int) -> Tensor:
    """Adds the linear terms of both ends of the couplings along dimension `side` to the pixels."""
    missing = linear.shape[side] - first.shape[side]
    padding = [0, missing] if side == 2 else [0, 0, 0, missing]
    first = torch.nn.functional.pad(first, padding)
    second = torch.nn.functional.pad(second, padding)
    return linear + first + second.roll(1, dims=side)


def _check_tables(unary: Tensor, right: Tensor, down: Tensor) -> None:
    for name, table, dims in (("unary", unary, 4), ("right", right, 5), ("down", down, 5)):
        states = (2,) * (dims - 3)
        if not isinstance(table, Tensor) or not table.is_floating_point():
            got = table.dtype if isinstance(table, Tensor) else type(table).__name__
            raise TypeError(f"{name} must be a floating-point tensor; got {got}. Call .float().")
        if table.dim() != dims or tuple(table.shape[3:]) != states:
            shape = f"(batch, height, width, {', '.join('2' * len(states))})"
            raise ValueError(
                f"{name} must have shape {shape}; got {tuple(table.shape)}. The last sides run "
                "over the states off, on."
            )
    batch, height, width, _ = unary.shape
    for name, table, fits in (
        ("right", right, [(batch, height, width - 1), (batch, height, width)]),
        ("down", down, [(batch, height - 1, width), (batch, height, width)]),
    ):
        if tuple(table.shape[:3]) not in fits:
            raise ValueError(
                f"{name} must have shape {(*fits[0], 2, 2)} for open grids of {height}x{width}, "
                f"{(*fits[1], 2, 2)} for periodic ones; got {tuple(table.shape)}. One table a "
                "coupling."
            )
    if torch.isneginf(unary).any() or unary.isnan().any():
        raise ValueError(
            "unary must hold finite costs or +inf (a forbidden state); got NaN or -inf. "
            "Costs are minimised."
        )
    for name, table in (("right", right), ("down", down)):
        if not torch.isfinite(table).all():
            raise ValueError(
                f"{name} must hold finite costs; got NaN or inf. Forbid states through unary."
            )

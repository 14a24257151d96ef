"""From cost tables, phi_i(x_i) and phi_ij(x_i, x_j), to Ising terms of the same energies."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from mrfmask.directions import DIRECTIONS, reach


def terms_from_costs(
    unary: Float[Tensor, "batch height width 2"], tables: dict[str, Tensor], periodic: bool
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """The unary, constant and couplings of the Ising grid with the same energies.

    A table of two states is ``a + b x_i + c x_j + d x_i x_j`` exactly: ``-d`` is the coupling,
    ``-b`` and ``-c`` join the unaries, ``a`` joins the constant. Arguments and errors are those of
    `IsingGrid.from_costs`; `tables` are (batch, rows, columns, 2, 2), by name.
    """
    _check_tables(unary, tables)
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
    for name, table in tables.items():
        mean, first, second, product = ising_terms(table.to(torch.float64))
        constant = constant + mean.sum(dim=(1, 2))
        for part, (dy, dx) in zip((first, second), DIRECTIONS[name], strict=True):
            linear = linear + _padded(part, linear).roll((dy, dx), (1, 2))
        couplings[name] = (-product).to(unary.dtype)
    # x_i of a clamped pixel is known, so its linear term is a constant.
    state = torch.where(forbidden[..., 1], -1.0, 1.0).to(torch.float64)
    constant = constant + torch.where(clamped, linear * state, 0.0).sum(dim=(1, 2))
    ising_unary = torch.where(clamped, state * torch.inf, -linear).to(unary.dtype)
    return ising_unary, constant, couplings


def ising_terms(table: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Coefficients (a, b, c, d) of table(x, z) = a + b x + c z + d x z."""
    c00, c01, c10, c11 = table.flatten(-2).unbind(dim=-1)
    mean = (c00 + c01 + c10 + c11) / 4
    first = (c10 + c11 - c00 - c01) / 4
    second = (c01 + c11 - c00 - c10) / 4
    product = (c00 + c11 - c01 - c10) / 4
    return mean, first, second, product


def _padded(part: Tensor, pixels: Tensor) -> Tensor:
    """Zeros to the right and below, up to the size of `pixels`."""
    rows, columns = (pixels.shape[side] - part.shape[side] for side in (1, 2))
    return torch.nn.functional.pad(part, [0, columns, 0, rows])


def _check_tables(unary: Tensor, tables: dict[str, Tensor]) -> None:
    for name, table, dims in (("unary", unary, 4), *((n, t, 5) for n, t in tables.items())):
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
    for name, table in tables.items():
        dy, dx = reach(name)
        fits = [(batch, height - dy, width - dx), (batch, height, width)]
        if not all(n in sides for n, *sides in zip(table.shape[:3], *fits, strict=True)):
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
    for name, table in tables.items():
        if not torch.isfinite(table).all():
            raise ValueError(
                f"{name} must hold finite costs; got NaN or inf. Forbid states through unary."
            )

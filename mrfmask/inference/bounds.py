"""Lower bounds on the energy that cost one pass over the grid, for models of any signs."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from mrfmask.model import IsingGrid


def forest_bound(model: IsingGrid) -> Float[Tensor, " batch"]:
    r"""A lower bound on the energy of every mask, from the exact minima of all rows and columns.

    ``E = constant + E_rows + E_columns``, each with half of every unary (a grid of one row or
    column gives all of it to its only chain, and the bound is the minimum). Rows are independent
    chains (rings when periodic), so their minimum is exact by dynamic programming, and
    ``min E >= constant + min E_rows + min E_columns``. Clamps hold in both parts.

    Args:
        model: any IsingGrid; the work is in float64 and proportional to its pixels.

    Returns:
        (batch,) float64.

    Reference:
        Wainwright, Jaakkola and Willsky, "MAP estimation via agreement on trees", 2005, with the
        row and column forests weighted equally and no reparametrisation.
    """
    clamped = model.clamped
    unary, right, down = (
        t.detach().to(torch.float64) for t in (model.unary, model.right, model.down)
    )
    share = 1.0 if down.shape[1] == 0 else 0.0 if right.shape[2] == 0 else 0.5
    finite = torch.where(clamped, 0.0, unary)
    # Costs of the states off, on: (batch, height, width, 2).
    costs = torch.stack([finite, -finite], dim=-1)
    forbidden = torch.stack([clamped & (unary > 0), clamped & (unary < 0)], dim=-1)
    row_costs = (share * costs).masked_fill(forbidden, torch.inf)
    column_costs = ((1 - share) * costs).masked_fill(forbidden, torch.inf)
    rows = _chain_minimum(row_costs, right)
    columns = _chain_minimum(column_costs.transpose(1, 2), down.transpose(1, 2))
    constant = model.constant.detach()
    # What float64 may have rounded away, generously.
    size = sum(t.abs().sum(dim=(1, 2)) for t in (finite, right, down)) + constant.abs()
    return constant + rows.sum(dim=1) + columns.sum(dim=1) - 1e-13 * size


def _chain_minimum(
    costs: Float[Tensor, "batch chains length 2"], coupling: Float[Tensor, "batch chains links"]
) -> Float[Tensor, "batch chains"]:
    """Minimum energy of each chain by the Viterbi recursion; of each ring if links == length."""
    length, links = costs.shape[2], coupling.shape[2]
    ring = links == length
    # best[..., s, t]: cheapest way to have pixel 0 in state s and the current pixel in state t.
    first = torch.full((*costs.shape[:2], 2, 2), torch.inf, dtype=costs.dtype, device=costs.device)
    first[..., 0, 0] = costs[..., 0, 0]
    first[..., 1, 1] = costs[..., 0, 1]
    best = first
    for k in range(1, length):
        best = _step(best, coupling[..., k - 1]) + costs[..., k, :].unsqueeze(-2)
    if ring:
        best = _step(best, coupling[..., links - 1])
        return torch.minimum(best[..., 0, 0], best[..., 1, 1])
    return best.amin(dim=(-1, -2))


def _step(best: Tensor, coupling: Tensor) -> Tensor:
    """Crosses one link: min over the old state of best + (-J if equal, +J if different)."""
    j = coupling[..., None]
    off, on = best[..., 0], best[..., 1]
    return torch.stack([torch.minimum(off - j, on + j), torch.minimum(off + j, on - j)], dim=-1)

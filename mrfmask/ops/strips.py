"""The operator of the bound by strips."""

from __future__ import annotations

import torch
from torch import Tensor

from mrfmask import _native
from mrfmask.ops.library import as_numpy, on_cpu, on_cuda, shapes_of, through_host


@on_cpu
def strip_dual(
    unary: Tensor,
    right: Tensor,
    down: Tensor,
    periodic: bool,
    cost: Tensor,
    amount: Tensor | None,
    at_most: bool,
    rows: int,
    sweeps: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Bounds from overlapping strips of rows, and masks near them; for any signs, no clamps.

    Args:
        unary: (batch, height, width) float64, finite, no more rows than columns; `right` and `down`
            as in IsingGrid, float64.
        right: couplings to the right.
        down: couplings down.
        periodic: whether they wrap around.
        cost: (batch, height, width) int64, at least 0, what each pixel costs.
        amount: (batch,) int64, what the pixels on come to, or None for any masks.
        at_most: whether less will do, too.
        rows: of the widest strips, 2 to 12, on a torus half of it; narrower ones come first.
        sweeps: over the image and back with strips of either width, at most; at least 1.

    Returns:
        bound (batch,) float64 of the energy, with an amount for masks that keep it; penalty
        (batch,) float64, energy per unit of cost at which that was found; masks that come to at
        most and to at least the amount, without one the best mask twice; advantage (batch, height,
        width) float64: masks that have the pixel off where it is positive, on where it is negative,
        cost at least so much more than the bound; sweeps done (batch,) int64.
    """
    outputs = _outputs(unary)
    amounts = torch.empty(0, dtype=torch.int64) if amount is None else amount
    _native.strip_dual(
        *(as_numpy(t) for t in (unary, right, down)),
        periodic,
        as_numpy(cost),
        as_numpy(amounts),
        at_most,
        rows,
        sweeps,
        *(as_numpy(t) for t in outputs),
        torch.get_num_threads(),
    )
    return outputs


@shapes_of(strip_dual)
def _(unary, *arguments):
    return _outputs(unary)


def _outputs(unary: Tensor) -> tuple[Tensor, ...]:
    batch = unary.shape[:1]
    shapes = (batch, batch, unary.shape, unary.shape, unary.shape, batch)
    kinds = (*[torch.float64] * 2, *[torch.bool] * 2, torch.float64, torch.int64)
    return tuple(unary.new_empty(s, dtype=k) for s, k in zip(shapes, kinds, strict=True))


@on_cuda("strip_dual")
def _(unary, *arguments):
    return through_host(strip_dual, unary, *arguments)

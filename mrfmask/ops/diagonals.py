"""Operators that run per pixel on grids with diagonals: Gibbs and mean-field sweeps."""

from __future__ import annotations

import torch
from torch import Tensor

from mrfmask import _native
from mrfmask.ops.library import as_numpy, check_devices, on_cpu, on_cuda, shapes_of


@on_cpu
def diagonal_gibbs(
    unary: Tensor,
    right: Tensor,
    down: Tensor,
    down_right: Tensor,
    down_left: Tensor,
    periodic: bool,
    beta: Tensor,
    seed: Tensor,
    start: Tensor | None,
    chains: int,
    burn_in: int,
    sweeps: int,
    sweep_offset: Tensor,
    keep_best: bool,
    keep_pairs: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Heat-bath sweeps over four colours, the parities of row and column.

    The colours follow one another as (0, 0), (0, 1), (1, 0), (1, 1); the last line of an odd side
    that wraps around is a class 2 of its own.

    Args:
        unary: (batch, height, width) float32; couplings as in IsingGrid.
        right: couplings to the right.
        down: couplings down.
        down_right: couplings down and to the right.
        down_left: couplings down and to the left.
        periodic: whether they wrap around.
        beta: this and all that follow as for `gibbs`.
        seed: as for `gibbs`.
        start: as for `gibbs`.
        chains: as for `gibbs`.
        burn_in: as for `gibbs`.
        sweeps: as for `gibbs`.
        sweep_offset: as for `gibbs`.
        keep_best: as for `gibbs`.
        keep_pairs: as for `gibbs`.

    Returns:
        What `gibbs` returns, and the counts of equal neighbours down right and down left.
    """
    batch, height, width = unary.shape
    shape = (batch, chains, height, width)
    masks = torch.empty(shape, dtype=torch.bool) if start is None else start.clone()
    masks = masks.contiguous()
    counts = torch.empty(shape, dtype=torch.int32)
    energies = torch.empty(batch, chains, sweeps, dtype=torch.float64)
    best = torch.empty(shape if keep_best else (0, *shape[1:]), dtype=torch.bool)
    couplings = (right, down, down_right, down_left)
    pairs = batch if keep_pairs else 0
    equal = [torch.zeros(pairs, *t.shape[1:], dtype=torch.int64) for t in couplings]
    _native.diagonal_gibbs(
        *(as_numpy(t) for t in (unary, *couplings)),
        periodic,
        as_numpy(beta.expand(batch, burn_in + sweeps)),
        as_numpy(seed),
        burn_in,
        int(sweep_offset),
        start is not None,
        *(as_numpy(t) for t in (masks, counts, energies, best, *equal)),
        torch.get_num_threads(),
        "",
    )
    return masks, counts, energies, best, *equal


@shapes_of(diagonal_gibbs)
def _(
    unary,
    right,
    down,
    down_right,
    down_left,
    periodic,
    beta,
    seed,
    start,
    chains,
    burn_in,
    sweeps,
    sweep_offset,
    keep_best,
    keep_pairs,
):
    batch, height, width = unary.shape
    shape = (batch, chains, height, width)
    pairs = batch if keep_pairs else 0
    return (
        unary.new_empty(shape, dtype=torch.bool),
        unary.new_empty(shape, dtype=torch.int32),
        unary.new_empty(batch, chains, sweeps, dtype=torch.float64),
        unary.new_empty(shape if keep_best else (0, *shape[1:]), dtype=torch.bool),
        *(
            unary.new_empty(pairs, *t.shape[1:], dtype=torch.int64)
            for t in (right, down, down_right, down_left)
        ),
    )


@on_cpu
def diagonal_mean_field(
    unary: Tensor,
    right: Tensor,
    down: Tensor,
    down_right: Tensor,
    down_left: Tensor,
    periodic: bool,
    beta: Tensor,
    start: Tensor | None,
    max_sweeps: int,
    tolerance: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean-field sweeps over the colours of `diagonal_gibbs`.

    Args:
        unary: (batch, height, width) float32; couplings as in IsingGrid.
        right: couplings to the right.
        down: couplings down.
        down_right: couplings down and to the right.
        down_left: couplings down and to the left.
        periodic: whether they wrap around.
        beta: this and all that follow as for `mean_field`.
        start: as for `mean_field`.
        max_sweeps: as for `mean_field`.
        tolerance: as for `mean_field`.

    Returns:
        What `mean_field` returns.
    """
    mean = torch.empty(unary.shape) if start is None else start.clone()
    mean = mean.contiguous()
    sweeps = torch.empty(unary.shape[0], dtype=torch.int64)
    change = torch.empty(unary.shape[0])
    _native.diagonal_mean_field(
        *(as_numpy(t) for t in (unary, right, down, down_right, down_left)),
        periodic,
        as_numpy(beta),
        max_sweeps,
        tolerance,
        start is not None,
        *(as_numpy(t) for t in (mean, sweeps, change)),
        torch.get_num_threads(),
        "",
    )
    return mean, sweeps, change


@shapes_of(diagonal_mean_field)
def _(
    unary,
    right,
    down,
    down_right,
    down_left,
    periodic,
    beta,
    start,
    max_sweeps,
    tolerance,
):
    images = unary.shape[0]
    return (
        torch.empty_like(unary, memory_format=torch.contiguous_format),
        unary.new_empty(images, dtype=torch.int64),
        unary.new_empty(images),
    )


@on_cuda("diagonal_gibbs")
def _(unary, right, down, down_right, down_left, periodic, beta, seed, start, *options):
    from mrfmask import cuda, cuda_diagonals

    check_devices(unary, beta=beta, seed=seed, start=start, sweep_offset=options[3])
    potentials = tuple(t.detach() for t in (unary, right, down, down_right, down_left))
    launcher = cuda.launcher(unary.device.index)
    return cuda_diagonals.DiagonalGibbsRun(
        launcher, *potentials, periodic, beta, seed, start, *options
    ).run()


@on_cuda("diagonal_mean_field")
def _(unary, right, down, down_right, down_left, periodic, beta, start, *options):
    from mrfmask import cuda, cuda_diagonals

    check_devices(unary, beta=beta, start=start)
    potentials = tuple(t.detach() for t in (unary, right, down, down_right, down_left))
    launcher = cuda.launcher(unary.device.index)
    return cuda_diagonals.DiagonalMeanFieldRun(
        launcher, *potentials, periodic, beta, start, *options
    ).run()

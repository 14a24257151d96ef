"""Operators that run per pixel: Gibbs and mean-field sweeps, and uniform numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from mrfmask import _native
from mrfmask.ops.library import (
    as_numpy,
    check_devices,
    on_cpu,
    on_cuda,
    shapes_of,
    through_host,
)


@on_cpu
def gibbs(
    unary: Tensor,
    right: Tensor,
    down: Tensor,
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
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Checkerboard heat-bath sweeps.

    Args:
        unary: (batch, height, width) float32; `right` and `down` as in IsingGrid.
        right: couplings to the right.
        down: couplings down.
        periodic: whether they wrap around.
        beta: (batch, burn_in + sweeps) float64, inverse temperature of each sweep, or (batch, 1)
            the same in all.
        seed: (batch, 2) int64, key and stream of each image's draws.
        start: (batch, chains, height, width) bool, or None for fair coins.
        chains: independent chains an image.
        burn_in: sweeps that are not counted.
        sweeps: sweeps that are.
        sweep_offset: (1,) int64, number of the first sweep: a tensor, so that a CUDA graph can be
            replayed with another one.
        keep_best: whether to return the kept state of lowest energy.
        keep_pairs: whether to count the kept states in which neighbours were equal.

    Returns:
        masks (batch, chains, height, width) bool, counts of the same shape in int32, energies
        (batch, chains, sweeps) float64 without the constant, best masks (same shape as masks, or
        with batch 0 when not kept), and for the couplings to the right and down the counts of equal
        neighbours over all chains, shaped like the couplings, int64 (batch 0 when not kept).
    """
    batch, height, width = unary.shape
    shape = (batch, chains, height, width)
    masks = torch.empty(shape, dtype=torch.bool) if start is None else start.clone()
    masks = masks.contiguous()
    counts = torch.empty(shape, dtype=torch.int32)
    energies = torch.empty(batch, chains, sweeps, dtype=torch.float64)
    best = torch.empty(shape if keep_best else (0, *shape[1:]), dtype=torch.bool)
    pairs = batch if keep_pairs else 0
    right_equal = torch.zeros(pairs, *right.shape[1:], dtype=torch.int64)
    down_equal = torch.zeros(pairs, *down.shape[1:], dtype=torch.int64)
    _native.gibbs(
        *(as_numpy(t) for t in (unary, right, down)),
        periodic,
        as_numpy(beta.expand(batch, burn_in + sweeps)),
        as_numpy(seed),
        burn_in,
        int(sweep_offset),
        start is not None,
        as_numpy(masks),
        as_numpy(counts),
        as_numpy(energies),
        as_numpy(best),
        as_numpy(right_equal),
        as_numpy(down_equal),
        torch.get_num_threads(),
        "",
    )
    return masks, counts, energies, best, right_equal, down_equal


@shapes_of(gibbs)
def _(
    unary,
    right,
    down,
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
        unary.new_empty(pairs, *right.shape[1:], dtype=torch.int64),
        unary.new_empty(pairs, *down.shape[1:], dtype=torch.int64),
    )


@on_cpu
def mean_field(
    unary: Tensor,
    right: Tensor,
    down: Tensor,
    periodic: bool,
    beta: Tensor,
    start: Tensor | None,
    max_sweeps: int,
    tolerance: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Checkerboard mean-field sweeps until no mean of an image moves more than `tolerance`.

    Args:
        unary: (batch, height, width) float32; `right` and `down` as in IsingGrid.
        right: couplings to the right.
        down: couplings down.
        periodic: whether they wrap around.
        beta: (batch,) float64, inverse temperature of each image.
        start: (batch, height, width) float32 in [-1, 1], or None for tanh(beta unary).
        max_sweeps: most sweeps for any image.
        tolerance: largest change of a mean in the last sweep that counts as converged.

    Returns:
        means (batch, height, width) float32, sweeps done (batch,) int64, largest change in the
        last sweep (batch,) float32.
    """
    mean = torch.empty(unary.shape) if start is None else start.clone()
    mean = mean.contiguous()
    sweeps = torch.empty(unary.shape[0], dtype=torch.int64)
    change = torch.empty(unary.shape[0])
    _native.mean_field(
        *(as_numpy(t) for t in (unary, right, down)),
        periodic,
        as_numpy(beta),
        max_sweeps,
        tolerance,
        start is not None,
        as_numpy(mean),
        as_numpy(sweeps),
        as_numpy(change),
        torch.get_num_threads(),
        "",
    )
    return mean, sweeps, change


@shapes_of(mean_field)
def _(unary, right, down, periodic, beta, start, max_sweeps, tolerance):
    images = unary.shape[0]
    return (
        torch.empty_like(unary, memory_format=torch.contiguous_format),
        unary.new_empty(images, dtype=torch.int64),
        unary.new_empty(images),
    )


@on_cpu
def exact_uniforms(seed: Tensor, samples: int, draws: int) -> Tensor:
    """Uniform numbers in [0, 1) of 53 bits: (samples, draws) float64 from key and stream (2,)."""
    out = torch.empty(samples, draws, dtype=torch.float64)
    _native.exact_uniforms(as_numpy(seed), as_numpy(out))
    return out


@shapes_of(exact_uniforms)
def _(seed, samples, draws):
    return seed.new_empty(samples, draws, dtype=torch.float64)


@on_cuda("gibbs")
def _(unary, right, down, periodic, beta, seed, start, *options):
    from mrfmask import cuda, cuda_gibbs

    check_devices(unary, beta=beta, seed=seed, start=start, sweep_offset=options[3])
    potentials = (unary.detach(), right.detach(), down.detach())
    launcher = cuda.launcher(unary.device.index)
    return cuda_gibbs.GibbsRun(launcher, *potentials, periodic, beta, seed, start, *options).run()


@on_cuda("mean_field")
def _(unary, right, down, periodic, beta, start, *options):
    from mrfmask import cuda, cuda_mean_field

    check_devices(unary, beta=beta, start=start)
    potentials = (unary.detach(), right.detach(), down.detach())
    launcher = cuda.launcher(unary.device.index)
    return cuda_mean_field.MeanFieldRun(
        launcher, *potentials, periodic, beta, start, *options
    ).run()


@on_cuda("exact_uniforms")
def _(seed, *arguments):
    return through_host(exact_uniforms, seed, *arguments)[0]

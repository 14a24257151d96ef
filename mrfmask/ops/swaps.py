"""Operators that exchange pixels and so keep how many are on."""

from __future__ import annotations

import torch
from torch import Tensor

from mrfmask import _native
from mrfmask.ops.library import as_numpy, on_cpu, on_cuda, shapes_of, through_host


@on_cpu
def kawasaki(
    unary: Tensor,
    right: Tensor,
    down: Tensor,
    periodic: bool,
    beta: Tensor,
    count: Tensor,
    seed: Tensor,
    start: Tensor | None,
    chains: int,
    burn_in: int,
    sweeps: int,
    sweep_offset: int,
    keep_pairs: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Kawasaki sweeps: as many moves as free pixels, each an exchange by heat bath.

    Args:
        unary: (batch, height, width) float32; `right` and `down` as in IsingGrid.
        right: couplings to the right.
        down: couplings down.
        periodic: whether they wrap around.
        beta: (batch,) float64, inverse temperature of each image.
        count: (batch,) int64, pixels on, clamped ones included, that some mask has.
        seed: (batch, 2) int64, key and stream of each image's draws.
        start: (batch, chains, height, width) bool with `count` pixels on, clamped pixels as they
            are clamped, or None for random masks.
        chains: independent chains an image.
        burn_in: sweeps that are not counted.
        sweeps: sweeps that are.
        sweep_offset: number of the first sweep.
        keep_pairs: whether to count the kept states in which neighbours were equal.

    Returns:
        masks (batch, chains, height, width) bool, counts of the same shape in int32, energies
        (batch, chains, sweeps) float64 without the constant, for the couplings to the right and
        down the counts of equal neighbours over all chains, shaped like the couplings, int64 (batch
        0 when not kept), and how many moves of the kept sweeps exchanged two pixels (batch,
        chains) int64.
    """
    outputs = _outputs(unary, right, down, chains, sweeps, keep_pairs)
    masks = outputs[0]
    if start is not None:
        masks.copy_(start)
    _native.kawasaki(
        *(as_numpy(t) for t in (unary, right, down)),
        periodic,
        *(as_numpy(t) for t in (beta, count, seed)),
        burn_in,
        sweep_offset,
        start is not None,
        *(as_numpy(t) for t in outputs),
        torch.get_num_threads(),
        "",
    )
    return outputs


@shapes_of(kawasaki)
def _(unary, right, down, periodic, beta, count, seed, start, chains, burn_in, sweeps, *options):
    return _outputs(unary, right, down, chains, sweeps, options[-1])


def _outputs(
    unary: Tensor, right: Tensor, down: Tensor, chains: int, sweeps: int, keep_pairs: bool
) -> tuple[Tensor, ...]:
    batch, height, width = unary.shape
    pairs = batch if keep_pairs else 0
    return (
        unary.new_empty(batch, chains, height, width, dtype=torch.bool),
        unary.new_empty(batch, chains, height, width, dtype=torch.int32),
        unary.new_empty(batch, chains, sweeps, dtype=torch.float64),
        unary.new_zeros(pairs, *right.shape[1:], dtype=torch.int64),
        unary.new_zeros(pairs, *down.shape[1:], dtype=torch.int64),
        unary.new_empty(batch, chains, dtype=torch.int64),
    )


@on_cuda("kawasaki")
def _(unary, *arguments):
    return through_host(kawasaki, unary, *arguments)

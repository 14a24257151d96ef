"""The native kernels as torch operators: schemas, shapes under tracing, implementations.

The only file that says ``mrfmask::``. Operators return what they compute and change nothing, so
they compose with torch.compile; inputs have been validated by `IsingGrid` and the methods.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mrfmask import _native

_LIBRARY = torch.library.Library("mrfmask", "DEF")


def _on_cpu(function: Callable) -> Callable:
    """Defines the operator ``mrfmask::<name>`` with this CPU implementation.

    As torch.library.custom_op does, which however imports torch's compiler on the first call and so
    makes that one a second slower.
    """
    name = function.__name__
    _LIBRARY.define(name + torch.library.infer_schema(function, mutates_args=()))
    _LIBRARY.impl(name, function, "CPU")
    return getattr(torch.ops.mrfmask, name).default


def _on_cuda(name: str) -> Callable:
    """Registers the implementation of an operator for CUDA tensors."""

    def register(function: Callable) -> Callable:
        _LIBRARY.impl(name, function, "CUDA")
        return function

    return register


@_on_cpu
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
    sweep_offset: int,
    keep_best: bool,
    keep_pairs: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Checkerboard heat-bath sweeps.

    Args:
        unary: (batch, height, width) float32; `right` and `down` as in IsingGrid.
        right: couplings to the right.
        down: couplings down.
        periodic: whether they wrap around.
        beta: (batch, burn_in + sweeps) float64, inverse temperature of each sweep.
        seed: (batch, 2) int64, key and stream of each image's draws.
        start: (batch, chains, height, width) bool, or None for fair coins.
        chains: independent chains an image.
        burn_in: sweeps that are not counted.
        sweep_offset: number of the first sweep.
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
    energies = torch.empty(batch, chains, beta.shape[1] - burn_in, dtype=torch.float64)
    best = torch.empty(shape if keep_best else (0, *shape[1:]), dtype=torch.bool)
    pairs = batch if keep_pairs else 0
    right_equal = torch.zeros(pairs, *right.shape[1:], dtype=torch.int64)
    down_equal = torch.zeros(pairs, *down.shape[1:], dtype=torch.int64)
    _native.gibbs(
        *(_numpy(t) for t in (unary, right, down)),
        periodic,
        _numpy(beta),
        _numpy(seed),
        burn_in,
        sweep_offset,
        start is not None,
        _numpy(masks),
        _numpy(counts),
        _numpy(energies),
        _numpy(best),
        _numpy(right_equal),
        _numpy(down_equal),
        torch.get_num_threads(),
        "",
    )
    return masks, counts, energies, best, right_equal, down_equal


@torch.library.register_fake("mrfmask::gibbs", lib=_LIBRARY)
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
        unary.new_empty(batch, chains, beta.shape[1] - burn_in, dtype=torch.float64),
        unary.new_empty(shape if keep_best else (0, *shape[1:]), dtype=torch.bool),
        unary.new_empty(pairs, *right.shape[1:], dtype=torch.int64),
        unary.new_empty(pairs, *down.shape[1:], dtype=torch.int64),
    )


@_on_cpu
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
        *(_numpy(t) for t in (unary, right, down)),
        periodic,
        _numpy(beta),
        max_sweeps,
        tolerance,
        start is not None,
        _numpy(mean),
        _numpy(sweeps),
        _numpy(change),
        torch.get_num_threads(),
        "",
    )
    return mean, sweeps, change


@torch.library.register_fake("mrfmask::mean_field", lib=_LIBRARY)
def _(unary, right, down, periodic, beta, start, max_sweeps, tolerance):
    images = unary.shape[0]
    return (
        torch.empty_like(unary, memory_format=torch.contiguous_format),
        unary.new_empty(images, dtype=torch.int64),
        unary.new_empty(images),
    )


def _numpy(tensor: Tensor):
    """A contiguous NumPy view; bool becomes uint8, which is what the kernels read and write."""
    tensor = tensor.detach().contiguous()
    return (tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor).numpy()


@_on_cpu
def exact_uniforms(seed: Tensor, samples: int, draws: int) -> Tensor:
    """Uniform numbers in [0, 1) of 53 bits: (samples, draws) float64 from key and stream (2,)."""
    out = torch.empty(samples, draws, dtype=torch.float64)
    _native.exact_uniforms(_numpy(seed), _numpy(out))
    return out


@torch.library.register_fake("mrfmask::exact_uniforms", lib=_LIBRARY)
def _(seed, samples, draws):
    return seed.new_empty(samples, draws, dtype=torch.float64)


@_on_cpu
def graph_cut(
    unary: Tensor,
    right: Tensor,
    down: Tensor,
    periodic: bool,
    start_right: Tensor | None,
    start_down: Tensor | None,
    start_mask: Tensor | None,
    start_exponent: Tensor | None,
    tie_max: bool,
    wide: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Minimum cuts of associative models, float32 or float64.

    Args:
        unary: (batch, height, width); `right` and `down` as in IsingGrid, none negative.
        right: couplings to the right.
        down: couplings down.
        periodic: whether they wrap around.
        start_right: net flows to start from, shaped like `right`, int32 or int64, or None for none
            at all; any will do, what exceeds the couplings is cut off.
        start_down: shaped like `down`, given if `start_right` is, as the next two.
        start_mask: (batch, height, width) bool, the cut that belonged to them.
        start_exponent: (batch,) int64, exponent of their scale.
        tie_max: the minimiser with the most pixels on, else the one with the fewest.
        wide: 64-bit capacities, else 32-bit.

    Returns:
        mask (batch, height, width) bool; exponent of the scale (batch,) int64; lower bound of the
        energy without the model's constant (batch,) float64, and what it lost by rounding, float64;
        net flows to the right and down, shaped like the couplings, int32 or int64.
    """
    outputs = _cut_outputs(unary, right, down, wide)
    start = (start_right, start_down, start_mask, start_exponent)
    if start_right is None:
        kinds = (outputs[-1].dtype, outputs[-1].dtype, torch.bool)
        start = (*(torch.empty(0, 0, 0, dtype=kind) for kind in kinds), outputs[1][:0])
    _native.graph_cut(
        *(_numpy(t) for t in (unary, right, down)),
        periodic,
        *(_numpy(t) for t in start),
        tie_max,
        *(_numpy(t) for t in outputs),
        torch.get_num_threads(),
    )
    return outputs


@torch.library.register_fake("mrfmask::graph_cut", lib=_LIBRARY)
def _(unary, right, down, *options):
    return _cut_outputs(unary, right, down, options[-1])


def _cut_outputs(unary: Tensor, right: Tensor, down: Tensor, wide: bool) -> tuple[Tensor, ...]:
    batch, flow = unary.shape[:1], torch.int64 if wide else torch.int32
    shapes = (unary.shape, batch, batch, batch, right.shape, down.shape)
    kinds = (torch.bool, torch.int64, torch.float64, torch.float64, flow, flow)
    return tuple(unary.new_empty(s, dtype=k) for s, k in zip(shapes, kinds, strict=True))


@_on_cpu
def reach_count(
    unary: Tensor, right: Tensor, down: Tensor, periodic: bool, count: Tensor, start: Tensor
) -> Tensor:
    """Masks with given numbers of pixels on, of low energy: greedy flips, then swaps.

    Args:
        unary: (batch, height, width) float32 or float64; `right` and `down` as in IsingGrid.
        right: couplings to the right.
        down: couplings down.
        periodic: whether they wrap around.
        count: (batch,) int64, pixels on, clamped ones included; at least the pixels clamped on and
            at most those not clamped off.
        start: (batch, height, width) bool, masks to change, clamped pixels as they are clamped.

    Returns:
        (batch, height, width) bool, which no swap of two pixels betters.
    """
    mask = start.clone(memory_format=torch.contiguous_format)
    _native.reach_count(
        *(_numpy(t) for t in (unary, right, down)),
        periodic,
        _numpy(count),
        _numpy(mask),
        torch.get_num_threads(),
    )
    return mask


@torch.library.register_fake("mrfmask::reach_count", lib=_LIBRARY)
def _(unary, right, down, periodic, count, start):
    return torch.empty_like(start, memory_format=torch.contiguous_format)


@_on_cpu
def budget_path(
    unary: Tensor, right: Tensor, down: Tensor, periodic: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The optimal masks for all penalties on pixels on, of associative models, float32 or float64.

    Args:
        unary: (batch, height, width); `right` and `down` as in IsingGrid, none negative.
        right: couplings to the right.
        down: couplings down.
        periodic: whether they wrap around.

    Returns:
        Masks of an image are numbered from 0, where only the pixels clamped on are on. order
        (batch, height, width) int32: number of the first mask with the pixel on, or how many masks
        there are; block, likewise: number of its connected component of equal order, -1 where it is
        clamped. By mask after the first, with a place for every pixel: penalty (batch, pixels)
        float64, the largest at which the mask is optimal, and drop (batch, pixels) int64, by how
        much its energy is below the previous one's, both in integer units. Numbers of masks
        (batch,) int64; exponent of the scale (batch,) int64; total rounding in integer units
        (batch,) float64.
    """
    outputs = _path_outputs(unary)
    arrays = (_numpy(t) for t in (unary, right, down))
    _native.budget_path(*arrays, periodic, *(_numpy(t) for t in outputs), torch.get_num_threads())
    return outputs


@torch.library.register_fake("mrfmask::budget_path", lib=_LIBRARY)
def _(unary, right, down, periodic):
    return _path_outputs(unary)


def _path_outputs(unary: Tensor) -> tuple[Tensor, ...]:
    batch, height, width = unary.shape
    shapes = (unary.shape, unary.shape, *[(batch, height * width)] * 2, *[(batch,)] * 3)
    kinds = (torch.int32, torch.int32, torch.float64, *[torch.int64] * 3, torch.float64)
    return tuple(unary.new_zeros(s, dtype=k) for s, k in zip(shapes, kinds, strict=True))


@_on_cuda("gibbs")
def _(unary, right, down, periodic, beta, seed, start, chains, burn_in, sweep_offset, *keep):
    from mrfmask import cuda, cuda_gibbs

    offset = torch.tensor([sweep_offset], device=unary.device)
    potentials = (unary.detach(), right.detach(), down.detach())
    return cuda_gibbs.GibbsRun(
        cuda.launcher(unary.device.index),
        *potentials,
        periodic,
        beta,
        seed,
        start,
        chains,
        burn_in,
        offset,
        *keep,
    ).run()


@_on_cuda("mean_field")
def _(unary, right, down, *options):
    from mrfmask import cuda, cuda_mean_field

    potentials = (unary.detach(), right.detach(), down.detach())
    launcher = cuda.launcher(unary.device.index)
    return cuda_mean_field.MeanFieldRun(launcher, *potentials, *options).run()


@_on_cuda("graph_cut")
def _(unary, *arguments):
    return _through_host(graph_cut, unary, *arguments)


@_on_cuda("reach_count")
def _(unary, *arguments):
    return _through_host(reach_count, unary, *arguments)[0]


def _through_host(op: Callable, *arguments) -> tuple[Tensor, ...]:
    """What an operator gives on CPU threads for CUDA tensors, by way of pinned memory."""
    device = arguments[0].device

    def to_host(value):
        if not isinstance(value, Tensor):
            return value
        pinned = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
        return pinned.copy_(value.detach(), non_blocking=True)

    host = [to_host(value) for value in arguments]
    torch.cuda.current_stream(device).synchronize()
    outputs = op(*host)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return tuple(t.pin_memory().to(device, non_blocking=True) for t in outputs)

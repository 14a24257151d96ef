"""What every comparison shares: the instances, the clock, one core, and the table of a result."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from types import SimpleNamespace
from unittest import mock

import torch

import mrfmask as mm
from mrfmask import _native
from mrfmask.ops import sweeps

CORES = sorted(os.sched_getaffinity(0))
NOT_INSTALLED = "not installed"


def use_cores(count: int) -> None:
    """Ties this thread, and all that start from it, to so many cores.

    The one setting that holds for everybody: OpenMP, XLA and the pools of the rivals too.
    """
    os.sched_setaffinity(0, CORES[:count])
    torch.set_num_threads(count)


def version_of(distribution: str) -> str:
    """The installed version of a distribution, or NOT_INSTALLED."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return NOT_INSTALLED


def best_of(repeats: int, run: Callable[[], object]) -> float:
    """Shortest of several runs, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def loops(isa: str):
    """In this context the operators take the loops of this instruction set."""

    def gibbs(*arguments: object) -> None:
        _native.gibbs(*arguments[:-1], isa)

    def mean_field(*arguments: object) -> None:
        _native.mean_field(*arguments[:-1], isa)

    loops_of = SimpleNamespace(gibbs=gibbs, mean_field=mean_field)
    return mock.patch.object(sweeps, "_native", loops_of)


def instance(height: int, width: int, coupling: float, batch: int = 1) -> mm.IsingGrid:
    """Unaries of unit variance, couplings `coupling` * uniform(0.2, 1)."""
    generator = torch.Generator().manual_seed(0)

    def pairs(*shape: int) -> torch.Tensor:
        return coupling * (0.2 + 0.8 * torch.rand(*shape, generator=generator))

    unary = torch.randn(batch, height, width, generator=generator)
    return mm.IsingGrid(unary, pairs(batch, height, width - 1), pairs(batch, height - 1, width))


def torch_fields(model: mm.IsingGrid) -> Callable[[torch.Tensor], torch.Tensor]:
    """Unary + sum of pairwise * neighbour, the way one writes it in PyTorch."""
    pad = torch.nn.functional.pad
    right, down = pad(model.right, (0, 1)), pad(model.down, (0, 0, 0, 1))
    left, up = right.roll(1, 2), down.roll(1, 1)

    def field(x: torch.Tensor) -> torch.Tensor:
        f = model.unary + right * x.roll(-1, 2) + left * x.roll(1, 2)
        return f + down * x.roll(-1, 1) + up * x.roll(1, 1)

    return field


def checkerboard(model: mm.IsingGrid) -> list[torch.Tensor]:
    """The pixels of each colour."""
    _, height, width = model.shape
    rows = torch.arange(height, device=model.device)[:, None]
    odd = (rows + torch.arange(width, device=model.device)) % 2 == 1
    return [~odd, odd]


def table(
    heading: str,
    cases: dict[str, dict],
    key: str,
    show: Callable[[float], str],
    rivals_across: bool = False,
) -> str:
    """Markdown: `key` of mrfmask and of each rival in each case, and how many times faster we are.

    Args:
        heading: the cell in the corner.
        cases: name of the work: {key: our figure, "rivals": {name: result or NOT_INSTALLED}}.
        key: what is shown; a rival's result has it beside "times_faster".
        show: how a figure is written.
        rivals_across: one column a rival and one row a case, else the other way round.
    """
    names = list(next(iter(cases.values()))["rivals"])

    def cell(case: dict, name: str) -> str:
        result = case["rivals"][name]
        if result == NOT_INSTALLED:
            return NOT_INSTALLED
        return f"{show(result[key])} ({result['times_faster']:.1f})"

    columns = [
        [heading, "mrfmask", *names],
        *([work, show(c[key]), *(cell(c, n) for n in names)] for work, c in cases.items()),
    ]
    rows = columns if rivals_across else list(zip(*columns, strict=True))
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])

"""Mean field: coordinate ascent by colours, means only, against the same in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

import mrfmask as mm
from bench.instances import best_of, checkerboard, instance, loops, torch_fields
from mrfmask import _native, ops
from mrfmask.inference.float32_potentials import float32_potentials

SWEEPS = 30
UNTIL_FIXED = 300


def pytorch(model: mm.IsingGrid, compiled: bool) -> Callable[[int], torch.Tensor]:
    """Means after so many sweeps."""
    field, colours = torch_fields(model), checkerboard(model)

    def half_sweep(m: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:
        return torch.where(colour, torch.tanh(field(m)), m)

    if compiled:
        half_sweep = torch.compile(half_sweep, dynamic=False)

    @torch.inference_mode()
    def ascend(sweeps: int) -> torch.Tensor:
        m = torch.tanh(model.unary)
        for _ in range(sweeps):
            for colour in colours:
                m = half_sweep(m, colour)
        return m

    return ascend


RIVALS = {
    "PyTorch": partial(pytorch, compiled=False),
    "PyTorch, compiled": partial(pytorch, compiled=True),
}


def compare(height: int, width: int) -> dict:
    """Seconds a sweep of everybody; all must end in the same fixed point."""
    model = instance(height, width, 0.3)
    potentials = float32_potentials(model)
    beta = torch.ones(1, dtype=torch.float64)

    def ours(sweeps: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return ops.mean_field(*potentials.arguments, beta, None, sweeps, 1e-30)

    def seconds_a_sweep() -> float:
        return best_of(10, lambda: ours(SWEEPS)) / ours(SWEEPS)[1].item()

    fixed = ours(UNTIL_FIXED)[0]
    assert (fixed - torch.tanh(torch_fields(model)(fixed))).abs().max() < 1e-5
    case = {"seconds_a_sweep": seconds_a_sweep(), "loops": {}, "rivals": {}}
    for isa in _native.isas():
        with loops(isa):
            case["loops"][isa] = seconds_a_sweep()
    for name, make in RIVALS.items():
        theirs = make(model)
        difference = (theirs(UNTIL_FIXED) - fixed).abs().max().item()
        assert difference < 1e-5, (name, difference)
        seconds = best_of(10, lambda theirs=theirs: theirs(SWEEPS)) / SWEEPS
        case["rivals"][name] = {
            "seconds_a_sweep": seconds,
            "times_faster": seconds / case["seconds_a_sweep"],
            "largest_difference": difference,
        }
    return case


def run() -> dict[str, dict]:
    """All works."""
    return {"100x100": compare(100, 100), "375x1242": compare(375, 1242)}

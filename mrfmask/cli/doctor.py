"""``mrfmask doctor``: what this machine can run, and whether it gives the right bits."""

from __future__ import annotations

import importlib
import os

import torch
import typer
from rich.console import Console

from mrfmask import _native
from mrfmask.cli.versions import versions
from mrfmask.inference import Gibbs, MeanField
from mrfmask.model import IsingGrid


def doctor() -> None:
    """Show versions, processor and CUDA devices, and check each device against the processor.

    Ends with status 1 if a device that is there cannot be used or gives other bits.
    """
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for name, version in {**versions(), "cupy": _cupy_version()}.items():
        console.print(f"{name}: {version}")
    isas = ", ".join(_native.isas())
    console.print(f"processor: {os.cpu_count()} cores, {torch.get_num_threads()} threads, {isas}")
    if not torch.cuda.is_available():
        console.print("CUDA: none that torch can use; everything runs on the processor")
        return
    failed = False
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        console.print(
            f"cuda:{index}: {properties.name}, compute capability {properties.major}."
            f"{properties.minor}, {properties.total_memory / 2**30:.0f} GiB"
        )
        try:
            same = _same_bits(f"cuda:{index}")
        except RuntimeError as error:
            console.print(f"cuda:{index}: cannot be used. {error}")
            failed = True
            continue
        verdict = "gives the bits of the processor" if same else "GIVES OTHER BITS"
        console.print(f"cuda:{index}: compiled the kernels, {verdict}")
        failed |= not same
    if failed:
        raise typer.Exit(1)


def _cupy_version() -> str:
    try:
        return importlib.import_module("cupy").__version__
    except ImportError:
        return "not installed; CUDA needs it: pip install 'mrfmask[cuda13]'"


def _same_bits(device: str) -> bool:
    """A second of sampling and mean field on the device and on the processor."""
    generator = torch.Generator().manual_seed(0)
    same = True
    for height, width in ((100, 100), (150, 333)):
        model = IsingGrid(
            torch.randn(2, height, width, generator=generator),
            torch.randn(2, height, width - 1, generator=generator),
            torch.randn(2, height - 1, width, generator=generator),
        )
        there = model.to(device)
        sampler = Gibbs(sweeps=20, burn_in=10, chains=2, seed=1)
        first, second = sampler.sample(model), sampler.sample(there)
        same &= torch.equal(first.counts, second.counts.cpu())
        same &= torch.equal(first.masks, second.masks.cpu())
        means = [MeanField(max_sweeps=50).marginals(m).probability.cpu() for m in (model, there)]
        same &= torch.equal(*means)
    return same

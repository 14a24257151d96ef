"""Gibbs and mean field on a CUDA device: updates per nanosecond, beside PyTorch on the same device.

Writes bench/results/gpu.json. Run by ``make gpu``, after the parity tests.
"""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Callable
from pathlib import Path

import torch

import mrfmask as mm
from bench.instances import instance

RESULTS = Path(__file__).parent / "results" / "gpu.json"
# Height, width, images, chains, sweeps, and the target in updates per nanosecond on an H200.
GIBBS = (
    (100, 100, 1, 1, 1000, None),
    (100, 100, 132, 1, 100, None),
    (100, 100, 264, 1, 100, 500),
    (350, 350, 1, 1, 200, None),
    (350, 350, 16, 1, 100, 300),
    (375, 1242, 1, 1, 200, 150),
    (375, 1242, 8, 1, 100, None),
    (2048, 2048, 1, 1, 100, None),
    (100, 100, 16, 512, 100, 900),
)
MEAN_FIELD = ((100, 100, 264, 100), (350, 350, 16, 100), (375, 1242, 8, 100))


def milliseconds(run: Callable[[], object], repeats: int = 5) -> float:
    """Shortest of several runs by the device's clock, after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return min(times)


def copy_bandwidth() -> float:
    """Gigabytes a second read and written by a copy of 1 GiB."""
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * 2**30 / milliseconds(lambda: target.copy_(source)) * 1e-6


def torch_checkerboard(model: mm.IsingGrid, sweeps: int) -> Callable[[], torch.Tensor]:
    """Gibbs sweeps as one writes them in PyTorch, one chain an image."""
    pad = torch.nn.functional.pad
    right, down = pad(model.right, (0, 1)), pad(model.down, (0, 0, 0, 1))
    left, up = right.roll(1, 2), down.roll(1, 1)
    _, height, width = model.shape
    rows = torch.arange(height, device="cuda")[:, None]
    odd = (rows + torch.arange(width, device="cuda")) % 2 == 1

    def run() -> torch.Tensor:
        x = torch.ones_like(model.unary)
        for _ in range(sweeps):
            for colour in (~odd, odd):
                field = model.unary + right * x.roll(-1, 2) + left * x.roll(1, 2)
                field = field + down * x.roll(-1, 1) + up * x.roll(1, 1)
                on = torch.rand_like(x) < torch.sigmoid(2 * field)
                x = torch.where(colour, on * 2.0 - 1.0, x)
        return x

    return run


def gibbs(height: int, width: int, images: int, chains: int, sweeps: int) -> dict[str, float]:
    """Updates per nanosecond, kept and in burn-in, and of PyTorch."""
    model = instance(height, width, 0.5, images).to("cuda")
    updates = height * width * images * chains * sweeps
    kept = mm.Gibbs(sweeps=sweeps, burn_in=0, chains=chains, seed=1)
    burnt = mm.Gibbs(sweeps=1, burn_in=sweeps - 1, chains=chains, seed=1)
    rates = {
        "kept": updates / milliseconds(lambda: kept.sample(model)) * 1e-6,
        "burn_in": updates / milliseconds(lambda: burnt.sample(model)) * 1e-6,
    }
    if chains == 1:
        few = max(sweeps // 10, 1)
        alone = milliseconds(torch_checkerboard(model, few), repeats=3)
        rates["torch"] = height * width * images * few / alone * 1e-6
    return rates


def mean_field(height: int, width: int, images: int, sweeps: int) -> float:
    """Pixel updates per nanosecond."""
    model = instance(height, width, 0.5, images).to("cuda")
    method = mm.MeanField(max_sweeps=sweeps, tolerance=1e-30)
    time = milliseconds(lambda: method.find_map(model))
    return height * width * images * sweeps / time * 1e-6


def main() -> None:
    """Measures everything and writes the results."""
    properties = torch.cuda.get_device_properties(0)
    results = {
        "date": datetime.date.today().isoformat(),
        "device": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "copy_gb_per_s": copy_bandwidth(),
        "gibbs": [],
        "mean_field": [],
    }
    for *shape, target in GIBBS:
        rates = gibbs(*shape)
        names = ("height", "width", "images", "chains", "sweeps")
        results["gibbs"].append({**dict(zip(names, shape, strict=True)), **rates, "target": target})
        print(results["gibbs"][-1], flush=True)
    for height, width, images, sweeps in MEAN_FIELD:
        rate = mean_field(height, width, images, sweeps)
        row = {"height": height, "width": width, "images": images, "rate": rate}
        results["mean_field"].append(row)
        print(row, flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

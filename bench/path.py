"""The whole path of minimum cuts against one of them, on one core.

The ratio counts: how many single cuts, each with its certificate, the time of a path would buy. A
path has hundreds to hundreds of thousands of masks. Both answers are compared: the mask at penalty
0 is the cut's. Writes bench/results/path.json and prints its table.

    python -m bench.path
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

import mrfmask as mm
from bench.instances import instance, use_cores
from bench.peers import processor

RESULTS = Path(__file__).parent / "results" / "path.json"
SIZES = ((100, 100), (375, 1242))
COUPLINGS = (0.1, 0.3, 1.0, 2.0)


def least_cpu_seconds(repeats: int, run: Callable[[], object]) -> float:
    """Shortest of several runs, in seconds of this thread: what others compute does not count."""
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return min(times)


def compare(height: int, width: int, coupling: float) -> dict:
    """Seconds of a path and of a cut, both from potentials to checked result."""
    model = instance(height, width, coupling)
    repeats = 3 if height * width > 10**5 else 20
    path, cut = mm.budget_path(model), mm.GraphCut()(model)
    assert torch.equal(path.mask_at(0.0), cut.mask)
    seconds = least_cpu_seconds(repeats, lambda: mm.budget_path(model))
    one_cut = least_cpu_seconds(repeats, lambda: mm.GraphCut()(model))
    return {
        "seconds": seconds,
        "seconds_one_cut": one_cut,
        "cuts": seconds / one_cut,
        "masks": len(path.count[0]),
        "rounding": path.stats["rounding"].item(),
    }


def table(cases: dict[str, dict]) -> str:
    """Markdown."""
    rows = [
        f"| {name} | {case['masks']} | {case['seconds'] * 1e3:.1f} ms "
        f"| {case['seconds_one_cut'] * 1e3:.1f} ms | {case['cuts']:.1f} |"
        for name, case in cases.items()
    ]
    return "\n".join(["| path | masks | path | one cut | ratio |", "|---" * 5 + "|", *rows])


def main() -> None:
    """Runs everything, writes the results, prints the table."""
    use_cores(1)
    cases = {
        f"{height}x{width}, c = {coupling}": compare(height, width, coupling)
        for height, width in SIZES
        for coupling in COUPLINGS
    }
    machine = {"processor": processor(), "cores": 1, "date": datetime.date.today().isoformat()}
    RESULTS.write_text(json.dumps({"machine": machine, "path": cases}, indent=1) + "\n")
    print(table(cases))


if __name__ == "__main__":
    main()

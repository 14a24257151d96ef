"""Time in which AMN reaches a duality gap of 10 % and of 1 % on two cores.

Targets are blobs: a smoothed normal field above its median. Node features: a constant, five that
see the target through noise, and fourteen that are noise alone; edge features: a constant and a
contrast of one node feature. Writes bench/results/amn.json and prints its table. CPU seconds are
those of all threads; wall seconds mean something on an idle machine only, so the load is written
down, too.

    python -m bench.amn
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from bench.instances import use_cores, version_of
from bench.peers import processor
from mrfmask.learn import AMN

RESULTS = Path(__file__).parent / "results" / "amn.json"
IMAGES, SIDE, FEATURES, INFORMATIVE = 300, 100, 20, 5
SEED, CORES = 0, 2
GAPS = (0.1, 0.01)
CASES = (("bcfw", 1e-4), ("bcfw", 1.0), ("cutting_plane", 1e-4), ("cutting_plane", 1.0))
MOST_PASSES = 300

Data = tuple[np.ndarray, tuple[np.ndarray, np.ndarray], np.ndarray]


def blobs(images: int, seed: int) -> Data:
    """Node features, edge features and targets; features float32."""
    draws = np.random.default_rng(seed)
    field = gaussian_filter(draws.standard_normal((images, SIDE, SIDE)), (0, 6, 6))
    masks = field > np.median(field)
    nodes = draws.standard_normal((images, SIDE, SIDE, FEATURES), dtype=np.float32)
    nodes[..., 0] = 1.0
    for k in range(1, 1 + INFORMATIVE):
        nodes[..., k] = 1.5 * nodes[..., k] + masks - 0.5
    smooth = gaussian_filter(nodes[..., 1], (0, 1, 1))

    def edges(axis: int) -> np.ndarray:
        contrast = np.exp(-3.0 * np.abs(np.diff(smooth, axis=axis)))
        return np.stack((np.ones_like(contrast), contrast), axis=-1)

    return nodes, (edges(2), edges(1)), masks


def measure(solver: str, cost: float, train: Data, test: Data) -> dict:
    """Seconds and passes to each gap, the bounds at the end, and how good the masks are."""
    case = {"solver": solver, "C": cost, "reached": {}}
    began = (time.perf_counter(), time.process_time())

    def watch(number: int, primal: float, dual: float) -> None:
        for gap in GAPS:
            if str(gap) not in case["reached"] and primal - dual <= gap * primal:
                case["reached"][str(gap)] = {
                    "passes": number,
                    "wall_s": time.perf_counter() - began[0],
                    "cpu_s": time.process_time() - began[1],
                }

    amn = AMN(C=cost, solver=solver, tolerance=GAPS[-1], max_passes=MOST_PASSES, seed=SEED)
    amn.fit(*train, callback=watch)
    case |= {"primal": amn.primal_, "dual": amn.dual_, "passes": len(amn.history_)}
    return case | {"load": os.getloadavg()[0], "test_accuracy": amn.score(*test)}


def table(cases: list[dict]) -> str:
    """Markdown."""
    rows = []
    for case in cases:
        row = f"| {case['solver']}, C = {case['C']:g} "
        for gap in GAPS:
            at = case["reached"].get(str(gap))
            row += (
                f"| {at['passes']} passes, {at['wall_s']:.0f} s, {at['cpu_s']:.0f} CPU s "
                if at
                else f"| not in {MOST_PASSES} passes "
            )
        rows.append(f"{row}| {case['load']:.1f} | {case['test_accuracy']:.4f} |")
    heads = " | ".join(f"gap {gap:.0%}" for gap in GAPS)
    return "\n".join([f"| AMN | {heads} | load | test accuracy |", "|---" * 5 + "|", *rows])


def main() -> None:
    """Runs everything, writes the results, prints the table."""
    use_cores(CORES)
    train, test = blobs(IMAGES, SEED), blobs(IMAGES // 10, SEED + 1)
    cases = []
    for solver, cost in CASES:
        cases.append(measure(solver, cost, train, test))
        print(table(cases[-1:]).splitlines()[-1], flush=True)
    results = {
        "machine": {
            "processor": processor(),
            "cores": CORES,
            "versions": {name: version_of(name) for name in ("mrfmask", "torch", "numpy")},
        },
        "data": {
            "images": IMAGES,
            "side": SIDE,
            "node_features": FEATURES,
            "edge_features": 2,
            "seed": SEED,
        },
        "cases": cases,
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(table(cases))


if __name__ == "__main__":
    main()

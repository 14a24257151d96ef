"""Published instances proven anew: quadratic programs, maximum cuts, UAI networks.

bqp50-1 to 10 (Beasley's, 50 variables), the toroidal Gaussian grids t2g10_5555, 6666 and 7777 (Biq
Mac library) by ilp, and the seven binary networks of the UAI 2014 competition: MAP by the method
that suits it, log Z by exact, its bracket by log_partition_bounds. Wall time with two cores, and
time of the processor. Every optimum and log Z must be the published one.

Writes bench/results/published.json and prints the table.

    python -m bench.published --data FOLDER    # with maxcut/ and uai/ in it
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import mrfmask as mm
from bench.instances import use_cores, version_of
from bench.peers import processor

RESULTS = Path(__file__).parent / "results" / "published.json"
BQP50 = (-2098, -3702, -4626, -3544, -4012, -3693, -4520, -4216, -3780, -3507)
TORI = {5555: 6049461, 6666: 5757868, 7777: 6509837}
# log Z is printed to six decimals, scores come from tables of as many.
PRINTED = 1e-5


def entries(path: Path) -> tuple[int, torch.Tensor, torch.Tensor]:
    """Number of nodes, pairs (entries, 2) from 0, and values of a file of the Biq Mac library."""
    head, *rows = (line.split() for line in path.read_text().splitlines() if line.strip())
    table = torch.tensor([[float(word) for word in row] for row in rows], dtype=torch.float64)
    return int(head[0]), table[:, :2].long() - 1, table[:, 2]


def quadratic(path: Path) -> mm.IsingGraph:
    """x'Qx, of which the file has every entry off the diagonal once."""
    nodes, pairs, value = entries(path)
    matrix = torch.zeros(nodes, nodes, dtype=torch.float64)
    matrix[pairs[:, 0], pairs[:, 1]] = torch.where(pairs[:, 0] == pairs[:, 1], value, 2 * value)
    return mm.IsingGraph.from_qubo(matrix)


def cut(path: Path) -> mm.IsingGraph:
    """Minus the weight that is cut."""
    nodes, pairs, weight = entries(path)
    unary = torch.zeros(1, nodes, dtype=torch.float64)
    return mm.IsingGraph(unary, pairs, -weight[None] / 2, -weight.sum()[None] / 2)


def timed(run: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What it gives, and seconds by the clock and of the processor."""
    began, used = time.perf_counter(), time.process_time()
    answer = run()
    return answer, {
        "seconds": time.perf_counter() - began,
        "processor_seconds": time.process_time() - used,
    }


def proven(model: mm.IsingGraph, energy: float) -> dict:
    """A proof by ilp of the published minimum."""
    found, seconds = timed(lambda: mm.find_map(model, method="ilp"))
    assert abs(found.energy.item() - energy) <= 1e-6 * abs(energy), (found.energy, energy)
    assert found.status[0] is mm.Status.OPTIMAL
    assert found.lower_bound.item() <= energy + 1e-6
    return {"energy": energy, "gap": found.gap.item(), **seconds}


def network(folder: Path, answer: dict) -> dict:
    """MAP, log Z and its bracket of one network."""
    name = Path(answer["file"]).name
    path = folder / "PR" / name
    model = mm.load_model(path, evidence=Path(f"{path}.evid"))
    best, map_seconds = timed(lambda: mm.find_map(model))
    exact, exact_seconds = timed(lambda: mm.marginals(model, method="exact"))
    bounds, bound_seconds = timed(lambda: mm.log_partition_bounds(model))
    assert best.status[0] is mm.Status.OPTIMAL
    assert abs(best.energy.item() + answer["map_logscore"]) <= PRINTED, name
    log_partition = exact.log_partition.item()
    assert abs(log_partition - answer["lnZ"]) <= PRINTED, name
    assert bounds.lower.item() <= answer["lnZ"] + PRINTED
    assert bounds.upper.item() >= answer["lnZ"] - PRINTED
    return {
        "nodes": model.shape[1],
        "edges": len(model.edges),
        "method": best.method,
        "map": map_seconds,
        "log_partition": log_partition,
        "exact": exact_seconds,
        "below": bounds.lower.item() - log_partition,
        "above": bounds.upper.item() - log_partition,
        "bounds": bound_seconds,
    }


def table(results: dict) -> str:
    """Markdown."""
    lines = ["| proven optimal | cases | together | processor |", "|---|---|---|---|"]
    for kind in ("bqp50", "t2g10"):
        done = results[kind].values()
        clock, used = (sum(c[k] for c in done) for k in ("seconds", "processor_seconds"))
        lines.append(f"| {kind} | {len(done)} | {clock:.2f} s | {used:.2f} s |")
    lines += [
        "",
        "| network | MAP by | MAP | log Z | bracket of log Z | bracket took |",
        "|---" * 6,
    ]
    for name, row in results["uai"].items():
        lines.append(
            f"| {name} | {row['method']} | {row['map']['seconds'] * 1e3:.0f} ms "
            f"| {row['log_partition']:.6f}, {row['exact']['seconds'] * 1e3:.0f} ms "
            f"| {row['below']:+.3g}, {row['above']:+.3g} | {row['bounds']['seconds']:.2f} s |"
        )
    return "\n".join(lines)


def main() -> None:
    """Runs all, writes the results, prints the table."""
    parser = argparse.ArgumentParser(description="Published instances, proven anew.")
    parser.add_argument("--data", type=Path, required=True, help="folder with maxcut/ and uai/")
    data = parser.parse_args().data
    use_cores(2)
    # What the first calls set up and compile belongs to no case.
    warm = mm.load_model(data / "uai" / "PR" / "Grids_11.uai")
    mm.find_map(warm, method="ilp")
    mm.marginals(warm, method="exact")
    mm.log_partition_bounds(warm)
    certified = json.loads((data / "uai" / "certified.json").read_text())
    results = {
        "machine": {
            "processor": processor(),
            "cores": 2,
            "date": datetime.date.today().isoformat(),
            "versions": {n: version_of(n) for n in ("mrfmask", "torch", "highspy")},
        },
        "bqp50": {
            n: proven(quadratic(data / "maxcut" / f"bqp50-{n}.sparse"), energy)
            for n, energy in enumerate(BQP50, 1)
        },
        "t2g10": {
            seed: proven(cut(data / "maxcut" / f"t2g10_{seed}"), -float(weight))
            for seed, weight in TORI.items()
        },
        "uai": {Path(a["file"]).stem: network(data / "uai", a) for a in certified},
    }
    print(table(results))
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

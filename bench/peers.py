"""Gibbs, mean field and graph cuts against others on the same instances, in one run.

Ratios count, not seconds: machines differ, and so does one machine from minute to minute. Answers
are compared, so nobody is fast by being wrong. Writes bench/results/peers.json and prints a table.

    make bench
"""

from __future__ import annotations

import datetime
import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import dimod
import maxflow
import numpy as np
import torch
from dwave.samplers import SimulatedAnnealingSampler

import mrfmask as mm
from mrfmask import _native, ops

RESULTS = Path(__file__).parent / "results" / "peers.json"


def best_of(repeats: int, run: Callable[[], object]) -> float:
    """Shortest of several runs, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


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
    odd = (torch.arange(height)[:, None] + torch.arange(width)) % 2 == 1
    return [~odd, odd]


def gibbs(height: int, width: int, sweeps: int) -> dict:
    """One chain on one thread: updates per nanosecond, and the mean energies."""
    model = instance(height, width, 0.5)
    beta, sites = 0.6, height * width

    def run_ours() -> mm.Samples:
        return mm.Gibbs(beta=beta, sweeps=sweeps, burn_in=0, seed=1).sample(model)

    first, second, pairwise = model.edges()
    bqm = dimod.BinaryQuadraticModel.from_numpy_vectors(
        -model.unary.flatten().double().numpy(),
        (first.numpy(), second.numpy(), -pairwise[0].double().numpy()),
        0.0,
        "SPIN",
    )
    dwave_sweeps = max(sweeps // 20, 200)

    def run_dwave(criterion: str = "Gibbs") -> dimod.SampleSet:
        return SimulatedAnnealingSampler().sample(
            bqm,
            beta_schedule_type="custom",
            beta_schedule=[beta],
            num_sweeps_per_beta=dwave_sweeps,
            num_reads=1,
            seed=1,
            proposal_acceptance_criteria=criterion,
        )

    field, colours = torch_fields(model), checkerboard(model)
    torch_sweeps = max(sweeps // 50, 20)

    def run_torch() -> torch.Tensor:
        x = torch.ones_like(model.unary)
        for _ in range(torch_sweeps):
            for colour in colours:
                on = torch.rand_like(x) < torch.sigmoid(2 * beta * field(x))
                x = torch.where(colour, on * 2.0 - 1.0, x)
        return x

    energies = run_ours().energies[0, 0, sweeps // 2 :]
    dwave_energy = np.mean([run_dwave().first.energy for _ in range(5)])
    # Five states against the spread of the chain: the same distribution.
    assert abs(dwave_energy - energies.mean()) < 7 * energies.std() / np.sqrt(5)
    return {
        "updates_per_ns": sites * sweeps / best_of(3, run_ours) * 1e-9,
        "burn_in_updates_per_ns": sites
        * sweeps
        / best_of(3, lambda: mm.Gibbs(beta=beta, sweeps=1, burn_in=sweeps - 1).sample(model))
        * 1e-9,
        "rivals": {
            "dwave-samplers, Gibbs": sites * dwave_sweeps / best_of(3, run_dwave) * 1e-9,
            "dwave-samplers, Metropolis": sites
            * dwave_sweeps
            / best_of(3, lambda: run_dwave("Metropolis"))
            * 1e-9,
            "PyTorch checkerboard": sites * torch_sweeps / best_of(3, run_torch) * 1e-9,
        },
    }


def mean_field(height: int, width: int) -> dict:
    """Coordinate ascent on one thread, means only (no bound, no trace): seconds a sweep."""
    model = instance(height, width, 0.3)
    sweeps = 30

    potentials = ops.float32_potentials(model)
    beta = torch.ones(1, dtype=torch.float64)

    def run_ours() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return ops.mean_field(*potentials.arguments, beta, None, sweeps, 1e-30)

    field, colours = torch_fields(model), checkerboard(model)

    def run_torch() -> torch.Tensor:
        m = torch.tanh(model.unary)
        for _ in range(sweeps):
            for colour in colours:
                m = torch.where(colour, torch.tanh(field(m)), m)
        return m

    difference = (run_ours()[0] - run_torch()).abs().max().item()
    assert difference < 1e-5
    done = int(run_ours()[1])
    ours = best_of(5, run_ours) / done
    return {
        "seconds_a_sweep": ours,
        "sites_per_ns": height * width / ours * 1e-9,
        "rivals": {"PyTorch": best_of(5, run_torch) / sweeps},
    }


def graph_cut(height: int, width: int, coupling: float) -> dict:
    """Potentials in, mask out, on one thread, in seconds; energies must agree."""
    model = instance(height, width, coupling)
    scale = 2.0**20

    def run_maxflow(kind: type, factor: float) -> np.ndarray:
        unary, right, down = (
            2 * factor * t[0].double().numpy() for t in (model.unary, model.right, model.down)
        )
        if kind is int:
            unary, right, down = (np.rint(a).astype(np.int64) for a in (unary, right, down))
        graph = maxflow.Graph[kind](height * width, 2 * height * width)
        nodes = graph.add_grid_nodes((height, width))
        to_right = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 0]])
        weights = np.zeros((height, width), dtype=right.dtype)
        weights[:, :-1] = right
        graph.add_grid_edges(nodes, weights, to_right, symmetric=True)
        weights = np.zeros((height, width), dtype=down.dtype)
        weights[:-1] = down
        graph.add_grid_edges(nodes, weights, to_right.T, symmetric=True)
        graph.add_grid_tedges(nodes, np.maximum(unary, 0), np.maximum(-unary, 0))
        graph.maxflow()
        return ~graph.get_grid_segments(nodes)

    repeats = 3 if height * width > 10**5 else 10
    result = mm.GraphCut().find_map(model)
    for kind, factor in ((float, 1.0), (int, scale)):
        mask = torch.from_numpy(run_maxflow(kind, factor))[None]
        assert abs((model.energy(mask) - result.energy).item()) <= result.gap.item() + 1e-3
    return {
        "seconds": best_of(repeats, lambda: mm.GraphCut().find_map(model)),
        "gap": result.gap.item(),
        "rivals": {
            "PyMaxflow, float": best_of(repeats, lambda: run_maxflow(float, 1.0)),
            "PyMaxflow, int": best_of(repeats, lambda: run_maxflow(int, scale)),
        },
    }


def batch_of_cuts() -> dict:
    """64 images of 100x100: two threads against one."""
    model = instance(100, 100, 1.0, batch=64)
    seconds = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        seconds[threads] = best_of(5, lambda: mm.GraphCut().find_map(model))
    torch.set_num_threads(1)
    return {"seconds_1_thread": seconds[1], "seconds_2_threads": seconds[2]}


def main() -> None:
    """Runs everything, prints a table, writes the results."""
    torch.set_num_threads(1)
    rows, results = [], {}
    for height, width, sweeps in ((100, 100, 4000), (375, 1242, 100)):
        r = results[f"gibbs {height}x{width}"] = gibbs(height, width, sweeps)
        for rival, rate in r["rivals"].items():
            ours = f"{r['updates_per_ns']:.3f}/ns"
            rows.append(
                (
                    f"Gibbs {height}x{width}",
                    ours,
                    rival,
                    f"{rate:.4f}/ns",
                    r["updates_per_ns"] / rate,
                )
            )
    for height, width in ((100, 100), (375, 1242)):
        r = results[f"mean_field {height}x{width}"] = mean_field(height, width)
        for rival, seconds in r["rivals"].items():
            rows.append(
                (
                    f"mean field {height}x{width}",
                    f"{r['seconds_a_sweep'] * 1e6:.1f} us",
                    rival,
                    f"{seconds * 1e6:.0f} us",
                    seconds / r["seconds_a_sweep"],
                )
            )
    for height, width in ((100, 100), (375, 1242), (1024, 1024)):
        for coupling in (0.3, 1.0, 2.0):
            name = f"graph cut {height}x{width}, c = {coupling}"
            r = results[name] = graph_cut(height, width, coupling)
            for rival, seconds in r["rivals"].items():
                rows.append(
                    (
                        name,
                        f"{r['seconds'] * 1e3:.1f} ms",
                        rival,
                        f"{seconds * 1e3:.1f} ms",
                        seconds / r["seconds"],
                    )
                )
    r = results["64 cuts"] = batch_of_cuts()
    rows.append(
        (
            "64 cuts of 100x100, 2 threads",
            f"{r['seconds_2_threads'] * 1e3:.0f} ms",
            "1 thread",
            f"{r['seconds_1_thread'] * 1e3:.0f} ms",
            r["seconds_1_thread"] / r["seconds_2_threads"],
        )
    )
    for row in rows:
        print("| {} | {} | {} | {} | {:.1f} |".format(*row))
    packages = ("torch", "numpy", "dwave-samplers", "PyMaxflow")
    results["machine"] = {
        "processor": processor(),
        "instruction_set": _native.isas()[0],
        "date": datetime.date.today().isoformat(),
        "versions": {name: version(name) for name in packages},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def processor() -> str:
    """The processor's own name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


if __name__ == "__main__":
    main()

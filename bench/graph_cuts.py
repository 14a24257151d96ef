"""Minimum cuts on graphs on one core, against solvers that take any graph; cuts must agree.

Everybody gets the same integers. mrfmask's figure includes everything from the model to the result;
of the rivals both are taken, the solve alone and with the building of the graph. CPU seconds.
Writes bench/results/graph_cuts.json and prints its tables.

    python -m bench.graph_cuts                 all works
    python -m bench.graph_cuts --work grid8    one of them, written nowhere
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import Delaunay

import mrfmask as mm
from bench.instances import NOT_INSTALLED, table, use_cores, version_of
from bench.path import least_cpu_seconds
from bench.peers import processor

RESULTS = Path(__file__).parent / "results" / "graph_cuts.json"
COUPLINGS = (0.3, 1.0)
SCALE = 2.0**16  # of the integers: potentials are rounded to multiples of 1 / SCALE


@dataclass
class Stopwatch:
    """CPU seconds of named stretches of one run, added up."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Takes the time of what happens in this context."""
        start = time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - start


def grid_edges(height: int, width: int, diagonals: bool) -> np.ndarray:
    """Pixels numbered row by row; four neighbours or eight."""
    pixel = np.arange(height * width).reshape(height, width)
    pairs = [(pixel[:, :-1], pixel[:, 1:]), (pixel[:-1], pixel[1:])]
    if diagonals:
        pairs += [(pixel[:-1, :-1], pixel[1:, 1:]), (pixel[:-1, 1:], pixel[1:, :-1])]
    return np.concatenate([np.stack([a.ravel(), b.ravel()], axis=1) for a, b in pairs])


def superpixel_edges(nodes: int) -> np.ndarray:
    """Neighbours of cells around random points in a square, in no order."""
    triangles = Delaunay(np.random.default_rng(0).random((nodes, 2))).simplices
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [0, 2]]])
    return np.unique(np.sort(pairs, axis=1), axis=0).astype(np.int64)


def regular_edges(nodes: int) -> np.ndarray:
    """Two random rings through all nodes: four neighbours each."""
    random = np.random.default_rng(0)
    rings = [random.permutation(nodes) for _ in range(2)]
    return np.concatenate([np.stack([ring, np.roll(ring, 1)], axis=1) for ring in rings])


WORKS: dict[str, Callable[[], tuple[int, np.ndarray]]] = {
    "grid": lambda: (375 * 1242, grid_edges(375, 1242, diagonals=False)),
    "grid8": lambda: (375 * 1242, grid_edges(375, 1242, diagonals=True)),
    "superpixels": lambda: (5000, superpixel_edges(5000)),
    "regular": lambda: (200_000, regular_edges(200_000)),
}


BATCHES = {"superpixels x 64": ("superpixels", 64)}  # models that share a graph, in one call


def instance(nodes: int, edges: np.ndarray, coupling: float, models: int = 1) -> mm.IsingGraph:
    """Fields of unit variance, all couplings equal; potentials are integers over SCALE."""
    unary = torch.randn(models, nodes, generator=torch.Generator().manual_seed(0))
    unary = (unary * SCALE).round() / SCALE
    pairwise = torch.full((models, len(edges)), round(coupling * SCALE) / SCALE)
    return mm.IsingGraph(unary, torch.from_numpy(edges), pairwise)


def integers(model: mm.IsingGraph) -> tuple[np.ndarray, np.ndarray]:
    """What it costs each node to be off (negative: on), and each pair to differ."""
    parts = (model.unary, model.pairwise)
    return tuple((2 * SCALE * t[0].double().numpy()).astype(np.int32) for t in parts)


def pymaxflow(model: mm.IsingGraph, watch: Stopwatch) -> np.ndarray:
    """Boykov and Kolmogorov's search."""
    import maxflow

    unary, pairwise = integers(model)
    first, second = model.edges.numpy().T
    with watch.of("build"):
        graph = maxflow.Graph[int](len(unary), len(pairwise))
        nodes = graph.add_nodes(len(unary))
        graph.add_edges(first, second, pairwise, pairwise)
        graph.add_grid_tedges(nodes, np.maximum(unary, 0), np.maximum(-unary, 0))
    with watch.of("solve"):
        graph.maxflow()
        return ~graph.get_grid_segments(nodes)


def or_tools(model: mm.IsingGraph, watch: Stopwatch) -> np.ndarray:
    """Push-relabel."""
    from ortools.graph.python.max_flow import SimpleMaxFlow

    unary, pairwise = integers(model)
    first, second = model.edges.numpy().astype(np.int32).T
    nodes = np.arange(len(unary), dtype=np.int32)
    source, sink = len(unary), len(unary) + 1
    on, off = nodes[unary > 0], nodes[unary < 0]
    with watch.of("build"):
        graph = SimpleMaxFlow()
        graph.add_arcs_with_capacity(
            np.concatenate([first, second, np.full_like(on, source), off]),
            np.concatenate([second, first, on, np.full_like(off, sink)]),
            np.concatenate([pairwise, pairwise, unary[unary > 0], -unary[unary < 0]]),
        )
    with watch.of("solve"):
        assert graph.solve(source, sink) == graph.OPTIMAL
        mask = np.zeros(len(unary) + 2, dtype=bool)
        mask[graph.get_source_side_min_cut()] = True
        return mask[: len(unary)]


RIVALS = {"PyMaxflow": ("PyMaxflow", pymaxflow), "OR-tools": ("ortools", or_tools)}


def compare(model: mm.IsingGraph, repeats: int) -> dict:
    """CPU seconds of everybody; energies must be the same."""
    result = mm.GraphCut().find_map(model)
    assert result.verify(model)
    seconds = least_cpu_seconds(repeats, lambda: mm.GraphCut().find_map(model))
    case = {"seconds": seconds, "gap": result.gap.max().item(), "rivals": {}}
    for name, (distribution, cut) in RIVALS.items():
        if version_of(distribution) == NOT_INSTALLED:
            case["rivals"] |= dict.fromkeys((f"{name}, solve", f"{name}, all"), NOT_INSTALLED)
            continue
        solves, wholes = [], []
        for _ in range(repeats):
            watch = Stopwatch()
            masks = np.stack([cut(model[b], watch) for b in range(len(model))])
            solves.append(watch.seconds["solve"])
            wholes.append(sum(watch.seconds.values()))
        above = (model.energy(torch.from_numpy(masks)) - result.energy).abs().max().item()
        assert above <= case["gap"] + 1e-6, (name, above)
        for kind, times in (("solve", solves), ("all", wholes)):
            case["rivals"][f"{name}, {kind}"] = {
                "seconds": min(times),
                "times_faster": min(times) / seconds,
                "energy_above_ours": above,
            }
    return case


def run(works: list[str], repeats: int = 3) -> dict[str, dict]:
    """All couplings of these works."""
    cases = {}
    for work in works:
        graph, models = BATCHES.get(work, (work, 1))
        nodes, edges = WORKS[graph]()
        for coupling in COUPLINGS:
            model = instance(nodes, edges, coupling, models)
            cases[f"{work}, c = {coupling}"] = compare(model, repeats)
    return cases


def main() -> None:
    """Runs the works, prints the table, and writes the results of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", choices=[*WORKS, *BATCHES], help="only this one, written nowhere")
    parser.add_argument("--repeats", type=int, default=3, help="runs, of which the best counts")
    options = parser.parse_args()
    use_cores(1)
    cases = run([options.work] if options.work else [*WORKS, *BATCHES], options.repeats)
    if not options.work:
        results = {
            "machine": {
                "processor": processor(),
                "cores": 1,
                "date": datetime.date.today().isoformat(),
                "versions": {n: version_of(n) for n in ("mrfmask", "PyMaxflow", "ortools")},
            },
            "graph_cuts": cases,
        }
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(table("cut", cases, "seconds", lambda x: f"{x * 1e3:.1f} ms", rivals_across=True))


if __name__ == "__main__":
    main()

"""Gibbs sampling on graphs: one chain and 32 chains against dwave-samplers on one core.

Both do the same number of sweeps of the same instance at one fixed temperature. dwave-samplers is
taken at its own clock, which leaves out building its model and its results; ours is the whole call,
that of a graph seen before, also with counts of every sweep, energies, and counts of equal pairs,
which the rival does not make. The last states of its runs must come from the distribution that ours
come from. Writes bench/results/graph_gibbs.json.

    python -m bench.graph_gibbs
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import networkx
import torch

import mrfmask as mm
from bench.gibbs import BETA, Answers, dwave
from bench.instances import use_cores, version_of

RESULTS = Path(__file__).parent / "results" / "graph_gibbs.json"
CRITERIA = ("Gibbs", "Metropolis")


def chimera(side: int) -> Iterator[tuple[int, int]]:
    """The couplers of a square of complete bipartite cells of 4 + 4 nodes."""
    for y in range(side):
        for x in range(side):
            cell = 8 * (side * y + x)
            yield from ((cell + i, cell + 4 + j) for i in range(4) for j in range(4))
            if y + 1 < side:
                yield from ((cell + i, cell + 8 * side + i) for i in range(4))
            if x + 1 < side:
                yield from ((cell + 4 + i, cell + 12 + i) for i in range(4))


def regular(degree: int, nodes: int) -> list[tuple[int, int]]:
    """A random graph in which every node has so many neighbours."""
    return list(networkx.random_regular_graph(degree, nodes, seed=1).edges)


def graph_instance(edges: list[tuple[int, int]]) -> mm.IsingGraph:
    """Gaussian unaries of unit variance, Gaussian couplings of a local field of about that size."""
    generator = torch.Generator().manual_seed(0)
    ends = torch.tensor(edges)
    nodes = int(ends.max()) + 1
    size = (nodes / (2 * len(edges))) ** 0.5
    pairwise = size * torch.randn(1, len(edges), generator=generator)
    return mm.IsingGraph(torch.randn(1, nodes, generator=generator), ends, pairwise)


def seconds_of(repeats: int, run: Callable[[], object]) -> float:
    """Least processor time of several runs: other work on the machine counts less."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def compare(edges: list[tuple[int, int]], chains: int, sweeps: int) -> dict:
    """One work: nanoseconds an update of both, and how the answers compare."""
    model = graph_instance(edges)
    updates = model.unary.numel() * chains * sweeps

    def ours(kept: int, pairs: bool = False) -> float:
        method = mm.Gibbs(beta=BETA, sweeps=kept, burn_in=sweeps - kept, chains=chains, seed=1)
        answer = method.marginals if pairs else method.sample
        answer(model)
        return 1e9 * seconds_of(5, lambda: answer(model)) / updates

    case = {
        "nodes": model.unary.numel(),
        "edges": len(edges),
        "chains": chains,
        "sweeps": sweeps,
        "ns_an_update": {
            "last states": ours(1),
            "counts and energies": ours(sweeps),
            "and pairs": ours(sweeps, pairs=True),
        },
        "rivals": {},
    }
    answers = Answers(model, chains=64)
    for criterion in CRITERIA:
        run = dwave(model, chains, sweeps, criterion)
        seconds, masks = [], []
        for seed in range(4):
            start = time.process_time()
            own_clock, states = run(seed)
            # Its own clock is that on the wall, which on a busy machine runs too fast.
            seconds.append(min(own_clock, time.process_time() - start))
            masks.append(states)
        away = answers.standard_errors(torch.cat(masks))
        assert max(map(abs, away.values())) < 7, (criterion, away)
        theirs = 1e9 * min(seconds) / updates
        case["rivals"][criterion] = {
            "ns_an_update": theirs,
            "times_faster": {name: theirs / ns for name, ns in case["ns_an_update"].items()},
            "standard_errors_away": away,
        }
    return case


def run() -> dict[str, dict]:
    """All works."""
    graphs = {
        "3-regular, 100,000 nodes": (regular(3, 100_000), 50),
        "6-regular, 20,000 nodes": (regular(6, 20_000), 100),
        "Chimera, 8,192 nodes": (list(chimera(32)), 200),
        "15-regular, 5,640 nodes": (regular(15, 5_640), 200),
    }
    return {
        f"{name}, {chains} chains" if chains > 1 else name: compare(
            edges, chains, sweeps if chains == 1 else sweeps // 4
        )
        for name, (edges, sweeps) in graphs.items()
        for chains in (1, 32)
    }


def main() -> None:
    """Runs everything, writes the results, prints a line a work."""
    use_cores(1)
    results = {"dwave-samplers": version_of("dwave-samplers"), **run()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    for name, case in results.items():
        if name == "dwave-samplers":
            continue
        ours = ", ".join(f"{ns:.2f}" for ns in case["ns_an_update"].values())
        theirs = ", ".join(
            f"{criterion} {rival['ns_an_update']:.1f} (x{rival['times_faster']['last states']:.1f},"
            f" x{rival['times_faster']['counts and energies']:.1f})"
            for criterion, rival in case["rivals"].items()
        )
        print(f"{name}: {ours} ns; dwave-samplers {theirs}")


if __name__ == "__main__":
    main()

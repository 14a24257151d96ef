"""Hard instances for minimum cuts, against PyMaxflow: ratios must stay bounded.

    python -m bench.worst_cases

Writes bench/results/worst_cases.json and prints a table.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path

import torch

import mrfmask as mm
from bench.graph_cut import pymaxflow
from bench.instances import best_of, use_cores

RESULTS = Path(__file__).parent / "results" / "worst_cases.json"
SIDE = 201


def uniform(unary: torch.Tensor, coupling: float) -> mm.IsingGrid:
    """One coupling everywhere."""
    right = torch.full((1, SIDE, SIDE - 1), coupling)
    return mm.IsingGrid(unary, right, torch.full((1, SIDE - 1, SIDE), coupling))


def random_unary() -> torch.Tensor:
    """Unit variance, always the same."""
    return torch.randn(1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def checkerboard() -> mm.IsingGrid:
    """Neighbours that want to differ, and couplings that just about let them."""
    y = torch.arange(SIDE)[:, None]
    signs = 1.0 - 2.0 * ((y + torch.arange(SIDE)) % 2)
    return uniform(signs[None], 0.25)


def snake() -> mm.IsingGrid:
    """A corridor of 20,000 pixels that winds through the image, with one terminal at each end."""
    unary = torch.zeros(1, SIDE, SIDE)
    right, down = torch.zeros(1, SIDE, SIDE - 1), torch.zeros(1, SIDE - 1, SIDE)
    right[:, ::2] = 1.0
    for turn, y in enumerate(range(0, SIDE - 2, 2)):
        down[0, y : y + 2, SIDE - 1 if turn % 2 == 0 else 0] = 1.0
    unary[0, 0, 0] = 5.0
    unary[0, -1, SIDE - 1 if (SIDE - 1) // 2 % 2 == 0 else 0] = -5.0
    return mm.IsingGrid(unary, right, down)


def halves() -> mm.IsingGrid:
    """Source on the left edge, sink on the right, equal couplings between: every cut is minimal."""
    unary = torch.zeros(1, SIDE, SIDE)
    unary[0, :, 0], unary[0, :, -1] = 10.0, -10.0
    return uniform(unary, 1.0)


CASES: dict[str, Callable[[], mm.IsingGrid]] = {
    "coupling 10, random unary": lambda: uniform(random_unary(), 10.0),
    "coupling 0.25 everywhere, unary +-1 checkerboard": checkerboard,
    "all unaries 0": lambda: uniform(torch.zeros(1, SIDE, SIDE), 1.0),
    "all unaries equal": lambda: uniform(torch.full((1, SIDE, SIDE), 0.5), 1.0),
    "edges pull apart, couplings equal": halves,
    "snake": snake,
}


def main() -> None:
    """Measures every case on one core."""
    use_cores(1)
    results = {"date": datetime.date.today().isoformat(), "side": SIDE, "cases": {}}
    print("| hard case, 201x201 | mrfmask | PyMaxflow | times faster |\n|---|---|---|---|")
    for name, make in CASES.items():
        model = make()
        result = mm.GraphCut().find_map(model)
        theirs_mask = torch.from_numpy(pymaxflow(model, float))[None]
        above = float(model.energy(theirs_mask) - result.energy)
        assert abs(above) <= float(result.gap) + 1e-3, (name, above)
        ours = best_of(3, lambda model=model: mm.GraphCut().find_map(model))
        theirs = best_of(3, lambda model=model: pymaxflow(model, float))
        results["cases"][name] = {"seconds": ours, "pymaxflow_seconds": theirs}
        print(f"| {name} | {ours * 1e3:.1f} ms | {theirs * 1e3:.1f} ms | {theirs / ours:.2g} |")
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

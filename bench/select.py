"""Selectors: time of each, spread of its picks, and how far long-range repulsion is from optimal.

Optimal masks on small grids come from two sources that must agree: all masks one by one, and the
integer program with a variable for every product, solved by HiGHS. Writes bench/results/select.json
and prints its tables.

    .venv/bin/python -m bench.select
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pulp
import torch

import mrfmask as mm
from bench.instances import use_cores, version_of
from bench.peers import processor

RESULTS = Path(__file__).parent / "results" / "select.json"
SIZES = ((100, 100, 100), (100, 100, 500), (375, 1242, 4658))
SMALL = ((6, 6, 4), (6, 6, 6), (7, 7, 5), (8, 8, 4), (8, 8, 6))
INSTANCES = 10
# Masks that enumeration can look at in seconds; above, the integer program is alone.
MOST_MASKS = 2_500_000
ILP_SECONDS = 60.0


def main() -> None:
    """Runs everything, writes the results, prints the tables."""
    use_cores(1)
    results = {
        "machine": {
            "processor": processor(),
            "cores": 1,
            "versions": {n: version_of(n) for n in ("mrfmask", "torch", "scikit-image", "highspy")},
        },
        "times": times(),
        "gap": [gap(*size) for size in SMALL],
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(tables(results))


def smooth_scores(height: int, width: int, seed: int) -> torch.Tensor:
    """Logits of unit variance that change over about a tenth of the picture, (1, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 1, 12, 12, generator=generator)
    scores = torch.nn.functional.interpolate(
        coarse, (height, width), mode="bicubic", align_corners=True
    )[0]
    return (scores - scores.mean()) / scores.std()


def thread_seconds(run: Callable[[], object], repeats: int) -> float:
    """Shortest of several runs, in seconds of this thread alone."""
    seconds = []
    for _ in range(repeats):
        start = time.thread_time()
        run()
        seconds.append(time.thread_time() - start)
    return min(seconds)


def times() -> list[dict]:
    """Milliseconds of every selector, and log E of its picks as long-range repulsion sees them."""
    rows = []
    for height, width, count in SIZES:
        scores = smooth_scores(height, width, 0)
        picture = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
        for name, selector in mm.SELECTORS.items():
            features = picture if name == "superpixel" else None

            def choose(selector=selector, scores=scores, count=count, features=features):
                return selector()(scores, budget=count, features=features)

            mask = choose()
            rows.append(
                {
                    "size": f"{height}x{width}",
                    "budget": count,
                    "selector": name,
                    "ms": thread_seconds(choose, 3 if count > 1000 else 10) * 1e3,
                    "log_energy": mm.LongRange().log_energy(scores, mask).item(),
                }
            )
    return rows


def couplings(scores: torch.Tensor) -> np.ndarray:
    """(rho_i rho_j)^-2 / d_ij^8 of all pairs of pixels of one image, zero on the diagonal."""
    places = (scores[0] < torch.inf).nonzero().double()
    weight = (-2 * scores.double().flatten()).exp()
    table = weight[:, None] * weight / torch.cdist(places, places).pow(8)
    return table.fill_diagonal_(0).numpy()


def least_of_all(table: np.ndarray, count: int) -> float:
    """The least energy over all masks, one by one: the last pixels of each are a vector."""
    pixels = len(table)
    least = math.inf
    for start in itertools.combinations(range(pixels), count - 2):
        rest = np.arange(start[-1] + 1 if start else 0, pixels)
        if len(rest) < 2:
            continue
        inner = table[np.ix_(start, start)].sum() / 2
        single = inner / 2 + table[np.ix_(start, rest)].sum(axis=0)
        pair = single[:, None] + single + table[np.ix_(rest, rest)]
        np.fill_diagonal(pair, np.inf)
        least = min(least, float(pair.min()))
    return least


def integer_program(table: np.ndarray, count: int, known: float) -> tuple[float, float, bool]:
    """(energy, seconds, proven) of ``min sum c_ij z_ij, z_ij >= y_i + y_j - 1, sum y = count``.

    Pairs that alone cost more than the `known` energy exclude each other and need no product.
    """
    problem = pulp.LpProblem("repulsion", pulp.LpMinimize)
    on = [problem.add_variable(f"y{i}", 0, 1, pulp.LpInteger) for i in range(len(table))]
    objective = {}
    for i, j in itertools.combinations(range(len(table)), 2):
        terms = {on[i]: 1, on[j]: 1}
        if table[i, j] <= known * (1 + 1e-9):
            product = problem.add_variable(f"z{i}_{j}", 0, 1)
            objective[product] = float(table[i, j] / known)
            terms[product] = -1
        problem.addConstraint(
            pulp.LpConstraint(pulp.LpAffineExpression(terms), pulp.LpConstraintLE, rhs=1)
        )
    problem += pulp.LpAffineExpression(objective)
    problem.addConstraint(
        pulp.LpConstraint(
            pulp.LpAffineExpression(dict.fromkeys(on, 1)), pulp.LpConstraintEQ, rhs=count
        )
    )
    start = time.thread_time()
    solver = pulp.HiGHS(msg=False, timeLimit=ILP_SECONDS, gapRel=1e-7, threads=1)
    status = problem.solve(solver)
    seconds = time.thread_time() - start
    chosen = [i for i, y in enumerate(on) if (y.varValue or 0) > 0.5]
    proven = status == pulp.LpStatusOptimal and seconds < ILP_SECONDS
    return float(table[np.ix_(chosen, chosen)].sum()) / 2, seconds, proven


def gap(height: int, width: int, count: int) -> dict:
    """How many times the least energy greedy insertion and the local optimum have."""
    greedy, swapped, agree, seconds, proven = [], [], [], [], 0
    enumerable = math.comb(height * width, count) <= MOST_MASKS
    for seed in range(INSTANCES):
        scores = smooth_scores(height, width, seed) * (0.0 if seed == 0 else 0.5)
        table = couplings(scores)
        result = mm.LongRange().search(scores, budget=count)
        found = math.exp(result.log_energy.item())
        best = math.inf
        # The program is slow on many pixels: the first instances show that it agrees.
        if not enumerable or seed < 3:
            energy, took, optimal = integer_program(table, count, found)
            seconds.append(took)
            proven += optimal
            best = energy
        if enumerable:
            least = least_of_all(table, count)
            if best < math.inf:
                agree.append(best / least)
            best = least
        assert found >= best * (1 - 1e-6), (found, best)
        greedy.append(math.exp(result.greedy_log_energy.item()) / best)
        swapped.append(found / best)
    return {
        "size": f"{height}x{width}",
        "budget": count,
        "instances": INSTANCES,
        "enumerated": enumerable,
        "greedy_median": statistics.median(greedy),
        "greedy_worst": max(greedy),
        "swaps_median": statistics.median(swapped),
        "swaps_worst": max(swapped),
        "optimal": sum(bool(ratio < 1 + 1e-6) for ratio in swapped),
        "programs": len(seconds),
        "programs_proven": proven,
        "program_over_enumeration_worst": max(agree, default=None),
        "program_seconds_median": statistics.median(seconds),
    }


def tables(results: dict) -> str:
    """Both tables in Markdown."""
    lines = ["| selector | " + " | ".join(f"{h}x{w}, {k}" for h, w, k in SIZES) + " |"]
    lines.append("|---" * (len(SIZES) + 1) + "|")
    for name in mm.SELECTORS:
        rows = [row for row in results["times"] if row["selector"] == name]
        lines.append(f"| {name} | " + " | ".join(f"{row['ms']:.1f} ms" for row in rows) + " |")
    lines += ["", "| grid, k | greedy / best | after swaps / best | optimal |", "|---|---|---|---|"]
    for row in results["gap"]:
        lines.append(
            f"| {row['size']}, {row['budget']} | {row['greedy_median']:.3f} (worst "
            f"{row['greedy_worst']:.3f}) | {row['swaps_median']:.4f} (worst "
            f"{row['swaps_worst']:.3f}) | {row['optimal']} of {row['instances']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

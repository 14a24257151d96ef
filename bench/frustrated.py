"""Frustrated grids: time to proof by method="ilp" against PuLP and HiGHS alone, on one core.

Open grids, couplings from a normal distribution of deviation 1, fields of deviation h. Reported are
the time until the mask is proven optimal, the inequalities that were added and the linear programs
they took. The rival solves the plain integer program, one variable a pixel and one a coupling, from
the same potentials and without odd-cycle inequalities; where it does not end in time, the ratio is
a lower one. Answers are compared. Seconds are of the processor, all threads, so that a loaded
machine matters less; the rival's limit is by the clock.

Writes bench/results/frustrated.json and prints the table.

    python -m bench.frustrated
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import time
from itertools import product
from pathlib import Path

import torch

import mrfmask as mm
from bench.instances import use_cores, version_of
from bench.peers import processor

RESULTS = Path(__file__).parent / "results" / "frustrated.json"
SIDES, FIELDS, SEEDS = (20, 40), (1.0, 0.3, 0.0), (0, 1, 2, 3, 4)
RIVAL_LIMIT_S = 5.0
# The same answer, relative to the energy.
SAME = 1e-7


def instance(side: int, field: float, seed: int) -> mm.IsingGrid:
    """Normal couplings, normal fields of deviation `field`."""
    generator = torch.Generator().manual_seed(seed)
    unary, right, down = (
        torch.randn(1, *shape, generator=generator, dtype=torch.float64)
        for shape in ((side, side), (side, side - 1), (side - 1, side))
    )
    return mm.IsingGrid(field * unary, right, down)


def plain_program(model: mm.IsingGrid) -> tuple[float | None, bool, float]:
    """Energy of the program's best mask, whether it is proven, and seconds."""
    import pulp

    began, clock = time.process_time(), time.monotonic()
    problem = pulp.LpProblem("map", pulp.LpMinimize)
    unary, coupling = model.unary.flatten().tolist(), model.pairwise[0].tolist()
    on = [problem.add_variable(f"y{i}", 0, 1, pulp.LpInteger) for i in range(len(unary))]
    differ = [problem.add_variable(f"z{k}", 0, 1) for k in range(len(coupling))]
    cost = {y: -2 * u for y, u in zip(on, unary, strict=True)}
    cost |= {z: 2 * c for z, c in zip(differ, coupling, strict=True)}
    problem += pulp.LpAffineExpression(cost)

    def require(terms: dict, sense: int, right_side: int) -> None:
        expression = pulp.LpAffineExpression(terms)
        problem.addConstraint(pulp.LpConstraint(expression, sense, rhs=right_side))

    for (i, j), c, z in zip(model.edges.tolist(), coupling, differ, strict=True):
        if c > 0:
            require({z: 1, on[i]: -1, on[j]: 1}, pulp.LpConstraintGE, 0)
            require({z: 1, on[i]: 1, on[j]: -1}, pulp.LpConstraintGE, 0)
        else:
            require({z: 1, on[i]: -1, on[j]: -1}, pulp.LpConstraintLE, 0)
            require({z: 1, on[i]: 1, on[j]: 1}, pulp.LpConstraintLE, 2)
    solver = pulp.HiGHS(msg=False, threads=1, timeLimit=RIVAL_LIMIT_S, gapRel=0.0, gapAbs=0.0)
    problem.solve(solver)
    seconds = time.process_time() - began
    # PuLP calls a reached limit optimal.
    in_time = time.monotonic() - clock < RIVAL_LIMIT_S
    if any(y.varValue is None for y in on):
        return None, False, seconds
    mask = torch.tensor([y.varValue > 0.5 for y in on]).reshape(model.shape)
    proven = problem.status == pulp.LpStatusOptimal and in_time
    return model.energy(mask).item(), proven, seconds


def measure(side: int, field: float, seed: int) -> dict:
    """One case: the proof, and the rival's."""
    model = instance(side, field, seed)
    began = time.process_time()
    found = mm.find_map(model, method="ilp")
    seconds = time.process_time() - began
    energy, proven, rival_seconds = plain_program(model)
    if proven:
        assert abs(energy - found.energy.item()) <= SAME * abs(energy), (energy, found)
    facts = {
        key: found.stats[key][0]
        for key in ("settled", "variables", "constraints", "cuts", "rounds")
    }
    return {
        "side": side,
        "field": field,
        "seed": seed,
        "energy": found.energy.item(),
        "gap": found.gap.item(),
        "proven": found.status[0] is mm.Status.OPTIMAL,
        "seconds": seconds,
        **facts,
        "rival": {
            "energy": energy,
            "proven": proven,
            "seconds": rival_seconds,
            "times_faster": rival_seconds / seconds,
        },
    }


def summary(done: list[dict]) -> dict[str, dict]:
    """By side and field: medians and worst."""
    rows = {}
    for side, field in product(SIDES, FIELDS):
        own = [c for c in done if (c["side"], c["field"]) == (side, field)]
        if not own:
            continue
        ratios = [c["rival"]["times_faster"] for c in own]
        rows[f"{side}x{side}, h = {field:g}"] = {
            "cases": len(own),
            "proven": sum(c["proven"] for c in own),
            "seconds_median": statistics.median(c["seconds"] for c in own),
            "seconds_most": max(c["seconds"] for c in own),
            "cuts_median": statistics.median(c["cuts"] for c in own),
            "rounds_median": statistics.median(c["rounds"] for c in own),
            "times_faster_median": statistics.median(ratios),
            "times_faster_least": min(ratios),
            "rival_proven": sum(c["rival"]["proven"] for c in own),
        }
    return rows


def table(rows: dict[str, dict]) -> str:
    """Markdown."""
    head = (
        "| frustrated grids | proven | time to proof, worst | cuts | rounds "
        "| HiGHS alone: times slower, least | it ended |"
    )

    def line(name: str, row: dict) -> str:
        return (
            f"| {name} | {row['proven']} of {row['cases']} | {row['seconds_median'] * 1e3:.0f} ms, "
            f"{row['seconds_most'] * 1e3:.0f} ms | {row['cuts_median']:.0f} "
            f"| {row['rounds_median']:.0f} | {row['times_faster_median']:.0f}, "
            f"{row['times_faster_least']:.0f} | {row['rival_proven']} of {row['cases']} |"
        )

    return "\n".join([head, "|---" * 7 + "|", *(line(n, r) for n, r in rows.items())])


def main() -> None:
    """Runs all cases, writes the results, prints the table."""
    parser = argparse.ArgumentParser(description="Frustrated grids against PuLP and HiGHS alone.")
    parser.add_argument("--few", action="store_true", help="20x20, one seed, no file")
    few = parser.parse_args().few
    use_cores(1)
    # What the first calls set up and compile belongs to no case.
    mm.find_map(instance(8, 0.3, 99), method="ilp")
    done = []
    for key in product(SIDES[:1] if few else SIDES, FIELDS, SEEDS[:1] if few else SEEDS):
        done.append(measure(*key))
        print(*key, json.dumps(done[-1]), flush=True)
    rows = summary(done)
    print(table(rows))
    if few:
        return
    results = {
        "machine": {
            "processor": processor(),
            "cores": 1,
            "date": datetime.date.today().isoformat(),
            "versions": {n: version_of(n) for n in ("mrfmask", "torch", "PuLP", "highspy")},
        },
        "limits_s": {"rival": RIVAL_LIMIT_S},
        "summary": rows,
        "cases": done,
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Budgets: gaps of find_map, and its proofs against PuLP and HiGHS alone, on one core.

A hundred by a hundred pixels, unaries of unit variance, couplings of deviation c: all positive, all
negative, or of both signs. Every instance gets a mask and a gap, then a proof by method="ilp". The
rival solves the plain integer program with the count as a constraint, from the same potentials, no
mask to start from and nothing taken out; where it does not end in time, the ratio is a lower one.
Answers are compared. Seconds are of the processor, all threads, so that a loaded machine matters
less; limits are by the clock.

Writes every case at once to bench/results/budgets.partial.json and goes on from there when started
again; at the end the file becomes budgets.json, and the table is printed.

    python -m bench.budgets
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

RESULTS = Path(__file__).parent / "results" / "budgets.json"
PARTIAL = RESULTS.with_suffix(".partial.json")
SIDE = 100
SIGNS = ("associative", "repulsive", "mixed")
COUPLINGS = (0.3, 1.0)
BUDGETS = (0.01, 0.02, 0.05, 0.1)
SEEDS = (0, 1, 2)
ILP_LIMIT_S, RIVAL_LIMIT_S = 10.0, 60.0
# Relative to the energy: what counts as closed, and as the same answer.
CLOSED, SAME = 1e-9, 1e-7


def instance(signs: str, coupling: float, seed: int) -> mm.IsingGrid:
    """Normal unaries, normal couplings of the wanted signs."""
    generator = torch.Generator().manual_seed(seed)
    unary = torch.randn(1, SIDE, SIDE, generator=generator)
    right, down = (
        coupling * torch.randn(1, *shape, generator=generator)
        for shape in ((SIDE, SIDE - 1), (SIDE - 1, SIDE))
    )
    if signs != "mixed":
        sign = 1 if signs == "associative" else -1
        right, down = sign * right.abs(), sign * down.abs()
    return mm.IsingGrid(unary, right, down)


def timed(run, *arguments, **options) -> tuple[object, float]:
    """The result, and seconds of the processor."""
    start = time.process_time()
    result = run(*arguments, **options)
    return result, time.process_time() - start


def plain_program(model: mm.IsingGrid, count: int, limit_s: float) -> tuple[float | None, bool]:
    """Energy of the program's best mask and whether it is proven, by PuLP and HiGHS alone.

    One variable a pixel and one a coupling, 1 where its pixels differ.
    """
    import pulp

    problem = pulp.LpProblem("budget", pulp.LpMinimize)
    unary = model.unary.double().flatten().tolist()
    (first, second), coupling = model.edges.T, model.pairwise
    on = [problem.add_variable(f"y{i}", 0, 1, pulp.LpInteger) for i in range(len(unary))]
    differ = [problem.add_variable(f"z{k}", 0, 1) for k in range(len(first))]
    cost = {y: -2 * u for y, u in zip(on, unary, strict=True)}
    cost |= {z: 2 * c for z, c in zip(differ, coupling[0].double().tolist(), strict=True)}
    problem += pulp.LpAffineExpression(cost)

    def require(terms: dict, sense: int, right_side: int) -> None:
        expression = pulp.LpAffineExpression(terms)
        problem.addConstraint(pulp.LpConstraint(expression, sense, rhs=right_side))

    ends = zip(first.tolist(), second.tolist(), coupling[0].tolist(), differ, strict=True)
    for i, j, c, z in ends:
        if c > 0:
            require({z: 1, on[i]: -1, on[j]: 1}, pulp.LpConstraintGE, 0)
            require({z: 1, on[i]: 1, on[j]: -1}, pulp.LpConstraintGE, 0)
        else:
            require({z: 1, on[i]: -1, on[j]: -1}, pulp.LpConstraintLE, 0)
            require({z: 1, on[i]: 1, on[j]: 1}, pulp.LpConstraintLE, 2)
    require(dict.fromkeys(on, 1), pulp.LpConstraintEQ, count)
    began = time.monotonic()
    problem.solve(pulp.HiGHS(msg=False, threads=1, timeLimit=limit_s, gapRel=0.0, gapAbs=0.0))
    # PuLP calls a reached limit optimal.
    proven = problem.status == pulp.LpStatusOptimal and time.monotonic() - began < limit_s
    if any(y.varValue is None for y in on):
        return None, False
    mask = torch.tensor([y.varValue > 0.5 for y in on]).reshape(model.shape)
    right_count = int(mask.sum()) == count
    return (model.energy(mask).item() if right_count else None), proven and right_count


def measure(signs: str, coupling: float, seed: int, budget: float) -> dict:
    """One case: find_map, its proof, and the rival's."""
    model = instance(signs, coupling, seed)
    found, seconds = timed(mm.find_map, model, budget=budget)
    closed, closed_seconds = timed(
        mm.find_map, model, method="ilp", budget=budget, time_limit_s=ILP_LIMIT_S
    )
    size = abs(closed.energy.item())
    case = {
        "signs": signs,
        "coupling": coupling,
        "seed": seed,
        "budget": budget,
        "energy": closed.energy.item(),
        "gap": found.gap.item(),
        "gap_relative": found.gap.item() / size,
        "seconds": seconds,
        "closed": closed.status[0] is mm.Status.OPTIMAL,
        "closed_gap": closed.gap.item(),
        "closed_seconds": closed_seconds,
    }
    count = round(budget * SIDE * SIDE)
    (energy, proven), rival_seconds = timed(plain_program, model, count, RIVAL_LIMIT_S)
    if proven and case["closed"]:
        assert abs(energy - case["energy"]) <= SAME * size, (energy, case)
    ratio = rival_seconds / closed_seconds if case["closed"] else None
    rival = {"energy": energy, "proven": proven, "seconds": rival_seconds, "times_faster": ratio}
    return case | {"rival": rival}


def summary(done: list[dict]) -> dict[str, dict]:
    """By signs and coupling: medians and worst of the gaps, times, share closed, ratios."""
    rows = {}
    for signs in SIGNS:
        for coupling in COUPLINGS:
            own = [c for c in done if (c["signs"], c["coupling"]) == (signs, coupling)]
            if not own:
                continue
            rivals = [c["rival"] for c in own if c["rival"]["times_faster"]]
            rows[f"{signs}, c = {coupling}"] = {
                "cases": len(own),
                "proven_at_once": sum(c["gap_relative"] <= CLOSED for c in own) / len(own),
                "gap_median": statistics.median(c["gap"] for c in own),
                "gap_most": max(c["gap"] for c in own),
                "gap_relative_median": statistics.median(c["gap_relative"] for c in own),
                "gap_relative_most": max(c["gap_relative"] for c in own),
                "seconds_median": statistics.median(c["seconds"] for c in own),
                "closed": sum(c["closed"] for c in own) / len(own),
                "closed_seconds_median": statistics.median(c["closed_seconds"] for c in own),
                "closed_seconds_most": max(c["closed_seconds"] for c in own),
                "times_faster_median": (
                    statistics.median(r["times_faster"] for r in rivals) if rivals else None
                ),
                "times_faster_least": min((r["times_faster"] for r in rivals), default=None),
                "rival_proven": sum(r["proven"] for r in rivals),
                "rival_cases": len(rivals),
            }
    return rows


def table(rows: dict[str, dict]) -> str:
    """Markdown."""
    head = (
        "| budgets of 1 to 10 % | proven at once | gap, worst | time | proven in 10 s "
        "| time to proof, worst | HiGHS alone: times slower, least | it ended |"
    )

    def line(name: str, row: dict) -> str:
        least, median = row["times_faster_least"], row["times_faster_median"]
        ratio = "" if least is None else f"{median:.0f}, {least:.0f}"
        return (
            f"| {name} | {row['proven_at_once']:.0%} | {row['gap_most']:.2g} "
            f"({row['gap_relative_most']:.1e}) | {row['seconds_median'] * 1e3:.0f} ms "
            f"| {row['closed']:.0%} | {row['closed_seconds_median'] * 1e3:.0f} ms, "
            f"{row['closed_seconds_most'] * 1e3:.0f} ms | {ratio} "
            f"| {row['rival_proven']} of {row['rival_cases']} |"
        )

    return "\n".join([head, "|---" * 8 + "|", *(line(n, r) for n, r in rows.items())])


def main() -> None:
    """Runs what is not yet done, writes the results, prints the table."""
    parser = argparse.ArgumentParser(description="Budgets against PuLP and HiGHS alone.")
    parser.add_argument("--few", action="store_true", help="one seed and one budget, no file")
    few = parser.parse_args().few
    use_cores(1)
    # What the first calls set up belongs to no case.
    mm.find_map(instance("mixed", 1.0, 99), method="ilp", budget=0.01)
    done = json.loads(PARTIAL.read_text()) if PARTIAL.exists() and not few else []
    known = {(c["signs"], c["coupling"], c["seed"], c["budget"]) for c in done}
    budgets, seeds = (BUDGETS[-1:], SEEDS[:1]) if few else (BUDGETS, SEEDS)
    for key in product(SIGNS, COUPLINGS, seeds, budgets):
        if key in known:
            continue
        done.append(measure(*key))
        print(*key, json.dumps(done[-1]), flush=True)
        if not few:
            # Whole or not at all, should the run be stopped here.
            fresh = PARTIAL.with_suffix(".tmp")
            fresh.write_text(json.dumps(done))
            fresh.replace(PARTIAL)
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
        "limits_s": {"ilp": ILP_LIMIT_S, "rival": RIVAL_LIMIT_S},
        "summary": rows,
        "cases": done,
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    PARTIAL.unlink()


if __name__ == "__main__":
    main()

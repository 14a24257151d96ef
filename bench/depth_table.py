"""The table of the depth benchmark: what its records say, in Markdown and as plain rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from mrfmask.depth.evaluate import Row, summarise
from mrfmask.depth.metrics import PairedRatio

Record = dict[str, Any]
HEADING = """# Where to measure depth: results

Made by `python -m bench.depth`; numbers, dates and the machine are in `bench/results/depth.json`.
Frames of held-out places, or of the last moments where a set has one place alone; crops of 100x100.
Values are RMSE over valid pixels as a share of that of random and of k-center masks with as many
pixels and the same reconstruction, from the means over frames; brackets are 95 % bootstrap
intervals over places or, where there are fewer than four, over moments. *linear* needs no training;
*net* is the predictor that went on training with what the method buys; *shared* is the predictor
trained on masks of all kinds. Errors are means over the seeds of all trainings. `greedy` knows all
depths: it is a ceiling for linear interpolation, no method. `shuffled` is ising_density shown
another frame's picture.
"""
WAYS = ("linear", "net", "shared")


def markdown(records: Sequence[Record]) -> tuple[str, list[dict[str, Any]]]:
    """The page, and all rows as plain values."""
    domains: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        domains[record["domain"]].append(record)
    parts, plain = [HEADING], []
    for domain, own in domains.items():
        rows = summarise(over_seeds(own))
        seeds = {key: len(found) for key, found in _seeds(own).items()}
        plain += [
            {"domain": domain, "seeds": seeds[row.method, row.phases], **row.plain()}
            for row in rows
        ]
        frames = max(row.frames for row in rows)
        parts.append(f"## {domain.capitalize()}: {frames} frames\n\n{_table(rows, seeds)}")
    return "\n".join(parts), plain


def over_seeds(records: Sequence[Record]) -> list[Record]:
    """Records with the metrics of several seeds averaged, frame by frame."""
    groups: dict[tuple, list[Record]] = defaultdict(list)
    for record in records:
        groups[tuple(record[n] for n in ("share", "method", "phases", "frame"))].append(record)
    return [_mean(group) for group in groups.values()]


def _seeds(records: Sequence[Record]) -> dict[tuple[str, int], set[int]]:
    """The seeds of every method and number of phases."""
    found: dict[tuple[str, int], set[int]] = defaultdict(set)
    for record in records:
        found[record["method"], record["phases"]].add(record["seed"])
    return found


def _mean(group: Sequence[Record]) -> Record:
    metrics: dict[str, dict[str, float]] = {}
    for way in dict.fromkeys(way for record in group for way in record["metrics"]):
        found = [record["metrics"][way] for record in group if way in record["metrics"]]
        metrics[way] = {n: sum(f[n] for f in found) / len(found) for n in found[0]}
    return {**group[0], "metrics": metrics}


def _table(rows: Sequence[Row], seeds: dict[tuple[str, int], int]) -> str:
    by_key = {(r.share, r.method, r.phases, r.reconstruction): r for r in rows}
    lines = []
    for share in sorted({row.share for row in rows}):
        ways = [f"{way} / {base}" for way in WAYS for base in ("random", "k-center")]
        lines += ["", f"### {share:.0%} of the pixels", ""]
        lines += ["| " + " | ".join(["method", "phases", "seeds", "RMSE linear, m", *ways]) + " |"]
        lines += ["|" + "|".join(["---"] * (4 + len(ways))) + "|"]
        for method, phases in dict.fromkeys((r.method, r.phases) for r in rows):
            own = {way: by_key.get((share, method, phases, way)) for way in WAYS}
            values = [_ratio(row, base) for row in own.values() for base in ("random", "k_center")]
            rmse = f"{own['linear'].means['rmse']:.3f}"
            about = [f"`{method}`", str(phases), str(seeds[method, phases])]
            lines.append("| " + " | ".join([*about, rmse, *values]) + " |")
    return "\n".join(lines) + "\n"


def _ratio(row: Row | None, base: str) -> str:
    ratio: PairedRatio | None = row.ratios.get(base) if row is not None else None
    if ratio is None or row.method == base:
        return "1" if row is not None and row.method == base else ""
    return f"{ratio.ratio:.3f} [{ratio.low:.2f}, {ratio.high:.2f}]"

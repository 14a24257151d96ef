"""Rows of an evaluation as text, for screens, Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from mrfmask.depth.evaluate import BASELINES, Row
from mrfmask.depth.metrics import PairedRatio

# Heading and format of the metrics that a table shows; table.json has all of them.
SHOWN = {
    "rmse": ("RMSE", ".3f"),
    "mae": ("MAE", ".3f"),
    "abs_rel": ("AbsRel", ".3f"),
    "delta_1": ("d<1.25", ".3f"),
}


def columns(rows: Sequence[Row]) -> list[str]:
    """The headings: what a row is about, metrics, ratios to the baselines there are, frames."""
    return [
        *("budget", "method", "phases", "fill"),
        *(heading for heading, _ in SHOWN.values()),
        *(f"RMSE / {name}" for name in _baselines(rows)),
        "frames",
    ]


def cells(row: Row, rows: Sequence[Row]) -> list[str]:
    """A row of the table, by `columns`."""
    return [
        *(f"{100 * row.share:g} %", row.method, str(row.phases), row.reconstruction),
        *(format(row.means[name], form) for name, (_, form) in SHOWN.items()),
        *(_ratio(row, name) for name in _baselines(rows)),
        str(row.frames),
    ]


def note(rows: Sequence[Row]) -> str:
    """What the numbers in brackets are."""
    over = sorted({row.over for row in rows if row.ratios})
    what = {"places": "places", "moments": "moments of few places, which says little of others"}
    known = " and ".join(what[name] for name in over if name)
    if not known:
        return "Means over frames, in metres; there are too few places for an interval."
    return f"Means over frames, in metres; in brackets 95 % intervals over {known}."


def markdown(rows: Sequence[Row]) -> str:
    """The table in Markdown, with the note below it."""
    headings = columns(rows)
    lines = [headings, ["---"] * 4 + ["---:"] * (len(headings) - 4)]
    lines += [cells(row, rows) for row in rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{note(rows)}\n"


def as_json(rows: Sequence[Row]) -> str:
    """All numbers of all rows."""
    return json.dumps([row.plain() for row in rows], indent=1, allow_nan=False) + "\n"


def _baselines(rows: Sequence[Row]) -> list[str]:
    found = {name for row in rows for name in row.ratios}
    return [name for name in BASELINES if name in found]


def _ratio(row: Row, baseline: str) -> str:
    ratio: PairedRatio | None = row.ratios.get(baseline)
    if ratio is None:
        return ""
    return f"{ratio.ratio:.3f} [{ratio.low:.2f},{ratio.high:.2f}]"

"""One HTML page with everything in it: it opens from a disk, a mail or a build server alike."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from mrfmask.bench import wording
from mrfmask.bench.conclusions import Conclusion
from mrfmask.bench.scores import Score, Scored

if TYPE_CHECKING:
    from mrfmask.bench.report import Figure

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; margin: 2em auto;
  max-width: 76em; padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin: 1.6em 0 .4em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15em .7em; text-align: right; white-space: nowrap; }
th { border-bottom: 2px solid #888; } tr.first td { border-top: 1px solid #bbb; }
td:first-child, td:nth-child(2), th:first-child, th:nth-child(2), td.reason { text-align: left; }
td.reason { white-space: normal; color: #777; } tr.optimal td { background: #e8f3ec; }
tr.open td:first-child { color: #a33; } .wide { overflow-x: auto; } .quiet { color: #666; }
img { max-width: 100%; height: auto; } details { margin: .6em 0; } summary { cursor: pointer; }
"""
COLUMNS = (
    "instance",
    "method",
    "energy",
    "lower bound",
    "gap",
    "gap %",
    "equal pixels",
    "time",
    "peak memory",
)
# Longer tables stall browsers; bench.json has all.
MOST_ROWS = 20_000


def make_page(
    results: Sequence[Scored],
    conclusions: Sequence[Conclusion],
    figures: Sequence[Figure],
    machine: dict[str, Any],
    settings: dict[str, Any],
) -> str:
    """The page; arguments as of `write_report`."""
    parts = ["<h1>Which method? mrfmask bench</h1>", _facts(machine, settings)]
    parts += _problems(results)
    for conclusion in conclusions:
        items = "".join(f"<li>{escape(line)}</li>" for line in conclusion.lines)
        parts.append(f"<h2>{escape(conclusion.question)}</h2><ul>{items}</ul>")
    parts.append("<h2>Gap against time</h2>")
    parts.append(
        "<p>A marker is a run; along a curve the method was given more sweeps or more time. Down "
        "is better, left is faster. The green band holds masks that are proven optimal; where "
        "nothing is proven, no mask can come below the best bound, and the hatched part is what "
        "nobody knows.</p>"
    )
    for number, figure in enumerate(figures):
        source = base64.b64encode(figure.png).decode()
        caption = escape(figure.caption)
        image = f'<img alt="{caption}" src="data:image/png;base64,{source}">'
        opened = " open" if number == 0 else ""
        parts.append(f"<details{opened}><summary>{caption}</summary>{image}</details>")
    parts.append("<h2>Every method with the most effort that it was given</h2>")
    parts.append(_table((r, score) for r in results for score in r.finals))
    runs = [(r, score) for r in results for scores in r.scores.values() for score in scores]
    parts.append(
        f"<details><summary>All {len(runs)} runs</summary>{_table(runs[:MOST_ROWS])}</details>"
    )
    parts.append(_columns_explained())
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>mrfmask bench</title><style>{STYLE}</style>"
    )
    body = "\n".join(parts)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _facts(machine: dict[str, Any], settings: dict[str, Any]) -> str:
    shown = [*machine.items(), *settings.items()]
    facts = "; ".join(f"{name.replace('_', ' ')}: {_plain(value)}" for name, value in shown)
    return f'<p class="quiet">{escape(facts)}</p>'


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _problems(results: Sequence[Scored]) -> list[str]:
    found = [r.contradiction for r in results if r.contradiction]
    found += [
        f"{score.method} on {r.instance.title}: {score.reason}"
        for r in results
        for scores in r.scores.values()
        for score in scores
        if score.status in ("failed", "killed")
    ]
    if not found:
        return []
    items = "".join(f"<li>{escape(text)}</li>" for text in found)
    return [f"<h2>Problems</h2><ul>{items}</ul>"]


def _table(rows: Iterable[tuple[Scored, Score]]) -> str:
    body, last = [], None
    for result, score in rows:
        instance = result.instance
        name = instance.title + ", not proven" * (not result.proven)
        classes = ["first"] * (instance is not last) + ["open"] * (not result.proven)
        classes += ["optimal"] * (result.proven and score.gap == 0)
        method = escape(f"{score.method}, {score.effort}" if score.effort else score.method)
        cells = f"<td>{escape(name) if instance is not last else ''}</td><td>{method}</td>"
        if score.energy is None:
            reason = escape(f"{score.status}: {score.reason}")
            cells += f'<td class="reason" colspan="{len(COLUMNS) - 2}">{reason}</td>'
        else:
            cells += "".join(f"<td>{escape(text)}</td>" for text in wording.cells(score))
        body.append(f'<tr class="{" ".join(classes)}">{cells}</tr>')
        last = instance
    heading = "".join(f"<th>{name}</th>" for name in COLUMNS)
    return f'<div class="wide"><table><tr>{heading}</tr>{"".join(body)}</table></div>'


def _columns_explained() -> str:
    texts = (
        "Lower energies are better. A gap is counted from the proven optimum; where no method "
        "proved one, from the best lower bound, and the instance is marked not proven. In percent: "
        "of the size of that energy, constants left out. A gap of 0 is 0 up to what the proof "
        "itself leaves open, its rounding.",
        "Equal pixels: share of the pixels that are as in the mask proven optimal. A tie is a mask "
        "of the same energy that differs.",
        "Time: of find_map on potentials in memory, to the mask, on one thread; the shortest of up "
        "to twenty runs where they are short. Heuristics also compute a lower bound, which the "
        "mask does not need: its time is left out here, and is bound_seconds in bench.json.",
        "Peak memory: the most resident memory during the run above what the process held before, "
        "imports and a first small run excluded; to about 0.3 MiB.",
        "Mean field runs at beta = 1 and takes the sign of every mean. Drawn models have unaries "
        "of unit variance and couplings c * uniform(0.2, 1); mixed ones have random signs.",
    )
    return "<h2>What is what</h2>" + "".join(f"<p>{escape(text)}</p>" for text in texts)

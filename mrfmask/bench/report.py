"""The files of a comparison: numbers as JSON, a picture, and a page that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mrfmask.bench.conclusions import Conclusion, conclude
from mrfmask.bench.page import make_page
from mrfmask.bench.picture import MOST_PANELS, draw_picture
from mrfmask.bench.scores import Score, Scored
from mrfmask.files import write_whole

SCHEMA = 1
JSON, PICTURE, PAGE = "bench.json", "bench.png", "bench.html"
MOST_PICTURES, FILES_A_ROW = 8, 3


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A picture and what it shows."""

    caption: str
    png: bytes


def write_report(
    folder: Path,
    results: Sequence[Scored],
    machine: dict[str, Any],
    settings: dict[str, Any],
) -> list[Conclusion]:
    """Writes bench.json, bench.png and bench.html, each whole or not at all.

    Args:
        folder: exists.
        results: at least one.
        machine: what was measured on and with.
        settings: of the run.

    Returns:
        What the page concludes.
    """
    conclusions = conclude(results)
    figures = draw_figures(results)
    text = make_json(results, conclusions, machine, settings).encode()
    page = make_page(results, conclusions, figures, machine, settings).encode()
    write_whole(folder / JSON, lambda file: file.write(text))
    write_whole(folder / PICTURE, lambda file: file.write(figures[0].png))
    write_whole(folder / PAGE, lambda file: file.write(page))
    return conclusions


def make_json(
    results: Sequence[Scored],
    conclusions: Sequence[Conclusion],
    machine: dict[str, Any],
    settings: dict[str, Any],
) -> str:
    """All numbers, a run a line."""
    lines = ["{"]
    lines.append(f'"schema": {SCHEMA},')
    lines.append(f'"machine": {_dump(machine)},')
    lines.append(f'"settings": {_dump(settings)},')
    lines.append(f'"conclusions": {_dump([asdict(c) for c in conclusions])},')
    lines.append('"instances": [')
    for number, result in enumerate(results):
        instance = result.instance
        heading = {
            "name": instance.name,
            "number": instance.number,
            "height": instance.size[0],
            "width": instance.size[1],
            "signs": instance.signs,
            "strength": instance.strength,
            "sha256": instance.sha256,
            "proven": result.proven,
            "energy": result.energy,
            "lower_bound": result.lower_bound,
        }
        runs = [_record(score) for scores in result.scores.values() for score in scores]
        lines.append(_dump(heading)[:-1] + ', "runs": [')
        lines.append(",\n".join(_dump(run) for run in runs))
        lines.append("]}" + "," * (number < len(results) - 1))
    lines.append("]}")
    return "\n".join(lines) + "\n"


def draw_figures(results: Sequence[Scored]) -> list[Figure]:
    """A picture a size, the largest first; of files, one for every few."""
    drawn = [r for r in results if r.instance.strength is not None and r.instance.number == 0]
    figures = []
    for size in sorted({r.instance.size for r in drawn}, reverse=True):
        rows: dict[str, list[Scored]] = {}
        for result in drawn:
            if result.instance.size == size:
                rows.setdefault(result.instance.signs, []).append(result)
        title = f"Gap and time on grids of {size[0]}x{size[1]} pixels"
        caption = f"{title}; the first draw of each kind."
        figures.append(Figure(caption=caption, png=draw_picture(list(rows.values()), title)))
    files = [r for r in results if r.instance.strength is None]
    for start in range(0, len(files), MOST_PANELS):
        some = files[start : start + MOST_PANELS]
        rows = [some[i : i + FILES_A_ROW] for i in range(0, len(some), FILES_A_ROW)]
        title = "Gap and time on the given models"
        figures.append(Figure(caption=f"{title}.", png=draw_picture(rows, title)))
        if len(figures) == MOST_PICTURES:
            break
    return figures


def _record(score: Score) -> dict[str, Any]:
    """The fields of a score that say something."""
    record = asdict(score)
    del record["effort"]
    return {n: v for n, v in record.items() if v is not None and v != "" and v is not False}


def _dump(value: Any) -> str:
    return json.dumps(_rounded(value), allow_nan=False)


def _rounded(value: Any) -> Any:
    """Numbers with ten figures: more than any of them is good for."""
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value

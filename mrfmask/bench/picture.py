"""Energy gap against time, a panel an instance, a curve a method."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mrfmask.bench import wording
from mrfmask.bench.efforts import able_methods
from mrfmask.bench.scores import Score, Scored

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers can tell apart, for able_methods() in order.
COLOURS = ("#009E73", "#0072B2", "#D55E00", "#E69F00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("D", "*", "s", "o", "v", "^", "P", "X")
# Where nothing but zero is left, there still must be an axis.
DEFAULT_FLOOR, DEFAULT_TOP = 0.01, 10.0
# Below a millionth nobody sees a gap; proofs leave about as much open.
LEAST_FLOOR, MOST_FLOOR = 1e-6, 0.1
MOST_PANELS = 12
# Inches: of a panel with its title, and around all of them.
WIDTH, HEIGHT = 2.5, 2.0
LEFT, RIGHT, TOP, BOTTOM = 1.0, 0.15, 0.75, 0.95


def draw_picture(rows: Sequence[Sequence[Scored]], title: str) -> bytes:
    """The PNG of a table of panels, each with gap (percent, log) against seconds (log).

    A gap of 0 has no place on a logarithmic axis: it lies in a band of its own at the bottom.

    Args:
        rows: panels, row by row, at least one and all rows of one length; at most MOST_PANELS in
            all are legible.
        title: above all of them.
    """
    # Imported where it is used: it takes longer than most commands, and nothing else needs it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(len(row) for row in rows)
    figure = Figure(figsize=_size(len(rows), columns))
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(rows), columns, sharex=True, sharey=True, squeeze=False)
    _place(figure, len(rows), columns)
    floor, top = _limits([result for row in rows for result in row])
    for axes_row, row in zip(panels, rows, strict=True):
        for axes in axes_row[len(row) :]:
            axes.set_visible(False)
        for axes, result in zip(axes_row, row, strict=False):
            _draw_panel(axes, result, floor, top)
    _label(figure, panels, title)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, pil_kwargs={"optimize": True})
    return content.getvalue()


def _size(rows: int, columns: int) -> tuple[float, float]:
    """Width and height in inches."""
    return columns * WIDTH + LEFT + RIGHT, rows * HEIGHT + TOP + BOTTOM


def _place(figure: Figure, rows: int, columns: int) -> None:
    """Leaves the same room around the panels, however many there are."""
    width, height = _size(rows, columns)
    figure.subplots_adjust(
        left=LEFT / width,
        right=1 - RIGHT / width,
        bottom=BOTTOM / height,
        top=1 - TOP / height,
        wspace=0.08,
        hspace=0.34,
    )


def _limits(results: Sequence[Scored]) -> tuple[float, float]:
    """Powers of ten around all positive gaps, in percent."""
    gaps = [s.gap_percent for r in results for m in r.scores.values() for s in m if s.gap_percent]
    if not gaps:
        return DEFAULT_FLOOR, DEFAULT_TOP
    least = min(max(min(gaps), LEAST_FLOOR), MOST_FLOOR)
    floor = 10.0 ** math.floor(math.log10(least))
    return floor, max(1.6 * max(gaps), 10 * floor)


def _draw_panel(axes: Axes, result: Scored, floor: float, top: float) -> None:
    # The band below the floor is where gaps of 0 lie.
    zero, bottom = floor / 10**0.5, floor / 10
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(bottom, top)
    axes.axhspan(bottom, floor, color="#e8f3ec", zorder=0)
    axes.grid(which="major", color="#dddddd", linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)
    exponents = range(round(math.log10(floor)), math.floor(math.log10(top)) + 1)
    ticks = [10.0**e for e in exponents]
    axes.set_yticks([zero, *ticks], ["optimal", *(f"{t:g} %" for t in ticks)])
    axes.minorticks_off()
    for method, scores in result.scores.items():
        _draw_curve(axes, method, scores, zero, floor)
    if not result.proven:
        best = min((s.gap_percent for s in result.finals if s.gap_percent), default=0.0)
        axes.axhspan(floor, max(best, floor), facecolor="none", edgecolor="#bbbbbb", hatch="///")
    note = "" if result.proven else "\nnot proven: gap to the best bound"
    axes.set_title(_name(result) + note, fontsize=9)
    axes.tick_params(labelsize=8)


def _draw_curve(
    axes: Axes, method: str, scores: Sequence[Score], zero: float, floor: float
) -> None:
    points = [s for s in scores if s.seconds is not None and s.gap_percent is not None]
    number = able_methods().index(method)
    axes.plot(
        [s.seconds for s in points],
        [zero if s.gap_percent == 0 else max(s.gap_percent, floor) for s in points],
        color=COLOURS[number % len(COLOURS)],
        marker=MARKERS[number % len(MARKERS)],
        markersize=9 if MARKERS[number % len(MARKERS)] == "*" else 5,
        linewidth=1.4,
        label=method,
        clip_on=False,
        zorder=3,
    )


def _name(result: Scored) -> str:
    instance = result.instance
    if instance.strength is None:
        # A dollar sign would begin a formula.
        return instance.title.replace("$", r"\$") + f", {instance.signs}"
    return f"{instance.signs}, c = {instance.strength:g}"


def _label(figure: Figure, panels: Sequence[Sequence[Axes]], title: str) -> None:
    width, height = figure.get_size_inches()
    figure.suptitle(title, fontsize=11, y=1 - 0.12 / height)
    figure.supxlabel("time to the mask, one thread", fontsize=9, y=0.45 / height)
    figure.supylabel("energy above the optimum", fontsize=9, x=0.18 / width)
    found: dict[str, object] = {}
    for row in panels:
        for axes in row:
            axes.xaxis.set_major_formatter(lambda seconds, _: wording.seconds(seconds))
            handles, labels = axes.get_legend_handles_labels()
            found |= {n: h for h, n in zip(handles, labels, strict=True) if len(h.get_xdata())}
    methods = [name for name in able_methods() if name in found]
    figure.legend(
        [found[name] for name in methods],
        methods,
        loc="lower center",
        ncols=max(len(methods), 1),
        fontsize=9,
        frameon=False,
    )

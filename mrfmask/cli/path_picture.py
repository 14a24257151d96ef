"""The curves of a budget path: pixels on against penalty, energy against pixels on."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from mrfmask.result import BudgetPath

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which colour-blind readers can tell apart.
CURVE, BEST = "#0072B2", "#D55E00"
# Beyond so many masks a dot for each is a thicker line.
MOST_DOTS = 60


def draw_path(path: BudgetPath, title: str) -> bytes:
    """The PNG of two panels for the first image of a path.

    Args:
        path: of one image.
        title: above both.
    """
    # Imported where it is used: it takes longer than most commands, and nothing else needs it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    penalty, count, energy = (t[0].numpy() for t in (path.penalty, path.count, path.energy))
    best = int(energy.argmin())
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, parse_math=False)
    by_penalty, by_count = figure.subplots(1, 2)
    _draw_counts(by_penalty, penalty[1:], count)
    marker = {"marker": "." if len(count) <= MOST_DOTS else "", "markersize": 5}
    by_count.plot(count, energy, color=CURVE, linewidth=1.4, **marker)
    by_count.set(xlabel="pixels on", ylabel="least energy", title="no mask lies below this curve")
    for axes, x in ((by_penalty, 0.0), (by_count, count[best])):
        y = count[best] if axes is by_penalty else energy[best]
        axes.plot(x, y, "o", color=BEST, label=f"lowest energy: {count[best]} on")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, pil_kwargs={"optimize": True})
    return content.getvalue()


def _draw_counts(axes: Axes, breakpoints: np.ndarray, count: np.ndarray) -> None:
    """Steps: each mask from the penalty at which it becomes best down to that of the next."""
    low, high = min(breakpoints, default=0.0), max(breakpoints, default=0.0)
    room = 0.05 * max(high - low, 1e-300) or 1.0
    edges = [min(low, 0.0) - room, *breakpoints[::-1], max(high, 0.0) + room]
    axes.stairs(count[::-1], edges, baseline=None, color=CURVE, linewidth=1.4)
    axes.set(xlabel="penalty (energy per pixel)", ylabel="pixels on", title="the best mask's size")
    axes.set_ylim(bottom=-0.03 * max(1, count[-1]))

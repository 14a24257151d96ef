"""Pictures of an evaluation: what was bought and what came of it, error against budget."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.depth.evaluate import Row
from mrfmask.depth.frames import Frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#000000", "#999999", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "os^Dv*Pp"
# Of picks on a picture, which has any other colour.
PICK, RIM = "#FFE800", "#000000"
DEPTHS, ERRORS, INVALID = "viridis", "inferno", "#B8B8B8"
# Percentiles of depths and errors at the ends of the colours: single pixels hide no others.
SHOWN = (2, 98)
# Inches: the longer side of a panel, what stands above it, and the scales below all.
SIDE, TITLE, BAR = 2.4, 0.28, 0.55
DPI = 110


def draw_frame(
    frame: Frame,
    ways: Mapping[str, tuple[Bool[Tensor, "height width"], Float[Tensor, "height width"]]],
) -> bytes:
    """The PNG of a frame: a row for each way to measure and complete its depth.

    Panels of a row are the picture with the picks, the mask, the true depth, the predicted depth
    and the error; depths share one scale, and so do errors. Pixels without a depth are grey.

    Args:
        frame: with all its depths.
        ways: mask and predicted depth by title, at least one.
    """
    height, width = frame.depth.shape
    scale = SIDE / max(height, width)
    panel = (max(scale * width, 1.2), max(scale * height, 0.8))
    figure = _figure(5 * panel[0] + 0.3, len(ways) * (panel[1] + TITLE) + 0.3 + BAR)
    figure.suptitle(frame.name, parse_math=False, fontsize=10)
    heights = [panel[1]] * len(ways) + [0.1]
    grid = figure.add_gridspec(len(ways) + 1, 5, height_ratios=heights)
    table = [[figure.add_subplot(grid[row, n]) for n in range(5)] for row in range(len(ways))]
    valid = frame.valid.numpy()
    true = np.where(valid, frame.depth.numpy(), np.nan)
    errors = {title: np.abs(predicted.numpy() - true) for title, (_, predicted) in ways.items()}
    low, high = np.nanpercentile(true, SHOWN)
    depths = {"vmin": low, "vmax": max(high, low + 1e-6), "cmap": _colours(DEPTHS)}
    worst = max(np.nanpercentile(error, SHOWN[1]) for error in errors.values())
    scales = {"vmin": 0, "vmax": max(worst, 1e-6), "cmap": _colours(ERRORS)}
    for row, (title, (mask, predicted)) in zip(table, ways.items(), strict=True):
        on, error = mask.numpy(), errors[title]
        row[0].imshow(frame.picture.permute(1, 2, 0).numpy())
        _dots(row[0], on, panel[0] / width)
        row[1].imshow(on, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        shown = row[2].imshow(true, interpolation="nearest", **depths)
        row[3].imshow(predicted.numpy(), interpolation="nearest", **depths)
        wrong = row[4].imshow(error, interpolation="nearest", **scales)
        rmse = np.sqrt(np.nanmean(error**2))
        headings = (title, f"{on.sum()} picks", "true depth", "prediction", f"RMSE {rmse:.3f} m")
        for axes, heading in zip(row, headings, strict=True):
            axes.set_title(heading, fontsize=8, parse_math=False)
            axes.set(xticks=[], yticks=[])
    for image, place, label in (
        (shown, grid[-1, 2:4], "depth [m]"),
        (wrong, grid[-1, 4], "error [m]"),
    ):
        bar = figure.colorbar(image, cax=figure.add_subplot(place), orientation="horizontal")
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=7)
    return _png(figure)


def draw_errors(rows: Sequence[Row], metric: str = "rmse") -> bytes:
    """The PNG of error against budget, a panel a reconstruction, a curve a method and its phases.

    Args:
        rows: of `summarise`.
        metric: which mean is drawn; positive.
    """
    names = list(dict.fromkeys(row.reconstruction for row in rows))
    figure = _figure(3.9 * len(names) + 1.8, 3.9)
    table = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    ways = list(dict.fromkeys((row.method, row.phases) for row in rows))
    shares = sorted({row.share for row in rows})
    for axes, name in zip(table, names, strict=True):
        for number, way in enumerate(ways):
            drawn = [r for r in rows if (r.method, r.phases, r.reconstruction) == (*way, name)]
            drawn = sorted((r for r in drawn if r.means[metric] > 0), key=lambda r: r.share)
            axes.plot(
                [100 * row.share for row in drawn],
                [row.means[metric] for row in drawn],
                color=COLOURS[number % len(COLOURS)],
                marker=MARKERS[number % len(MARKERS)],
                linestyle="-" if number < len(COLOURS) else "--",
                markersize=4.5,
                linewidth=1.3,
                label=f"{way[0]}, {way[1]} phases" if way[1] > 1 else way[0],
            )
        axes.set(xscale="log", yscale="log", title=f"completed by {name}")
        axes.set_xlabel("pixels bought [%]")
        _plain_budgets(axes, [100 * share for share in shares])
        _plain_numbers(axes)
    table[0].set_ylabel(f"{metric.upper()} [m]" if metric in ("rmse", "mae") else metric)
    handles, labels = table[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)
    return _png(figure)


def draw_counts(curves: Mapping[str, tuple[Sequence[float], Sequence[int]]]) -> bytes:
    """The PNG of pixels bought against the penalty of one left out, a curve a frame or method.

    Args:
        curves: penalties, positive, and the numbers of pixels that are best at them, by title.
    """
    figure = _figure(5.6, 3.9)
    axes = figure.subplots()
    for number, (title, (penalty, count)) in enumerate(curves.items()):
        axes.plot(
            penalty,
            count,
            color=COLOURS[(number + 2) % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=4,
            linewidth=1.3,
            label=title,
        )
    axes.set(xscale="log", yscale="log", xlabel="penalty of a pixel left out (the first is 1)")
    axes.set_ylabel("pixels bought")
    _plain_numbers(axes)
    axes.legend(frameon=False, fontsize=8)
    return _png(figure)


def _figure(width: float, height: float) -> Figure:
    # Imported where it is used: it takes longer than most commands. No pyplot: it keeps figures.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI, pil_kwargs={"optimize": True})
    figure.clear()
    return content.getvalue()


def _colours(name: str) -> object:
    """A colour map with grey for what is not there."""
    from matplotlib import colormaps

    return colormaps[name].with_extremes(bad=INVALID)


def _dots(axes: Axes, on: np.ndarray, pixel: float) -> None:
    """A dot for each pick, about as large as a pixel of so many inches, but always to be seen."""
    rows, columns = np.nonzero(on)
    points = max(90 * pixel, 2.6)
    axes.scatter(columns, rows, s=points**2, c=PICK, edgecolors=RIM, linewidths=0.45)


def _plain_budgets(axes: Axes, shares: Sequence[float]) -> None:
    """Marks the budgets there are."""
    from matplotlib.ticker import NullFormatter

    axes.set_xticks(shares, [f"{share:g}" for share in shares])
    axes.xaxis.set_minor_formatter(NullFormatter())


def _plain_numbers(axes: Axes) -> None:
    """Marks 1, 2, 5, 10, ... upwards, as plain numbers, with few lines."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.25, which="major", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)

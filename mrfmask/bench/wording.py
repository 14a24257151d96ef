"""Numbers as people read them: two or three figures and a unit; empty where there is none."""

from __future__ import annotations

from collections.abc import Sequence

from mrfmask.bench.scores import Score


def energy(value: float | None) -> str:
    """Seven figures."""
    return "" if value is None else f"{value:.7g}"


def percent(value: float | None) -> str:
    """Two figures; 0 only where it is exactly that."""
    if value is None:
        return ""
    return "0 %" if value == 0 else f"{_figures(value, 2)} %"


def share(value: float | None) -> str:
    """A share of pixels: one decimal, and never 100 unless it is all of them."""
    if value is None:
        return ""
    return "100 %" if value == 100 else f"{min(value, 99.9):.1f} %"


def seconds(value: float | None) -> str:
    """Two figures in us, ms or s."""
    if value is None:
        return ""
    for factor, unit in ((1e6, "us"), (1e3, "ms")):
        if value * factor < 999.5:
            return f"{_figures(value * factor, 2)} {unit}"
    return f"{_figures(value, 2)} s"


def mebibytes(value: float | None) -> str:
    """One decimal; the kernel counts pages in batches, so less than half a MiB is not told."""
    if value is None:
        return ""
    return "< 0.5 MiB" if value < 0.5 else f"{value:.1f} MiB"


def listing(words: Sequence[str], last: str = "and") -> str:
    """A, b and c."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def span(values: Sequence[float], form: object = percent) -> str:
    """The least and the greatest value: "1 % to 3 %", or one where they read the same."""
    least, most = form(min(values)), form(max(values))
    return least if least == most else f"{least} to {most}"


def cells(score: Score) -> tuple[str, ...]:
    """Energy, bound, gap, gap in percent, equal pixels, seconds and memory of a score."""
    return (
        energy(score.energy),
        energy(score.lower_bound),
        "" if score.gap is None else "0" if score.gap == 0 else _figures(score.gap, 3),
        percent(score.gap_percent),
        share(score.same_percent) + " (tie)" * score.tie,
        seconds(score.seconds),
        mebibytes(score.peak_mib),
    )


def _figures(value: float, figures: int) -> str:
    """So many figures, without an exponent unless it is tiny."""
    text = f"{value:.{figures}g}"
    return f"{value:.0f}" if "e+" in text else text

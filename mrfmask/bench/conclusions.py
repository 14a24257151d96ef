"""Three questions and what the numbers of a run answer, in words."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mrfmask.bench import wording
from mrfmask.bench.scores import Score, Scored

# What counts as good enough; the answers name the figures, so that readers can set other bars.
GOOD_GAP_PERCENT, GOOD_SAME_PERCENT = 2.0, 90.0
FREE_RATIO = 2.0


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """A question and its answer, a sentence or two a line."""

    question: str
    lines: tuple[str, ...]


def conclude(results: Sequence[Scored]) -> list[Conclusion]:
    """The answers; a question about methods that were not run is left out."""
    questions = {
        "When is mean field good enough?": _mean_field(results),
        "When does the integer program pay?": _ilp(results),
        "When is the cut free?": _graph_cut(results),
    }
    return [Conclusion(question=q, lines=tuple(lines)) for q, lines in questions.items() if lines]


def _mean_field(results: Sequence[Scored]) -> list[str]:
    judged = [r for r in results if _answers(r, "mean_field") and _gap(r, "mean_field") is not None]
    if not judged:
        return []
    lines = [
        "Good enough means here: on every instance the signs of the means (beta = 1) are at most "
        f"{GOOD_GAP_PERCENT:g} % above the optimal energy, and at least {GOOD_SAME_PERCENT:g} % of "
        "the pixels are as in the optimum. In brackets: the worst instance."
    ]
    for signs in _unique(r.instance.signs for r in judged):
        verdicts: dict[str, list[str]] = {"yes": [], "no": [], "not known": []}
        rows = [r for r in judged if r.instance.signs == signs]
        for label in _unique(_label(r) for r in rows):
            group = [r for r in rows if _label(r) == label]
            gap = max(_gap(r, "mean_field") for r in group)
            shares = [r.final("mean_field").same_percent for r in group]
            known = [s for s in shares if s is not None]
            bad = any(r.proven and not _is_good(r.final("mean_field")) for r in group)
            verdict = "no" if bad else "yes" if len(known) == len(group) else "not known"
            same = f", {wording.share(min(known))} of pixels" if known else ", pixels unknown"
            open_ones = "" if len(known) == len(group) else " against the bound where none is known"
            text = f"{label} (gap {wording.percent(gap)}{open_ones}{same})"
            verdicts[verdict].append(text)
        parts = [f"{word} at {wording.listing(t)}" for word, t in verdicts.items() if t]
        lines.append(f"{signs.capitalize()} couplings: {'; '.join(parts)}.")
    return lines


def _is_good(score: Score) -> bool:
    return score.gap_percent <= GOOD_GAP_PERCENT and score.same_percent >= GOOD_SAME_PERCENT


def _ilp(results: Sequence[Scored]) -> list[str]:
    tried = [r for r in results if _answers(r, "ilp")]
    if not tried:
        return []
    proven = [r for r in tried if r.final("ilp").proof]
    limit = max(r.final("ilp").options.get("time_limit_s", 0.0) for r in tried)
    within = f", given at most {limit:g} s" if limit else ""
    lines = [f"It proved the optimum of {len(proven)} of {_count(tried)}{within}."]
    needless = [(r, other) for r in proven if (other := _faster_proof(r))]
    if needless:
        times = [r.final("ilp").seconds / other.seconds for r, other in needless]
        others = wording.listing(_unique(other.method for _, other in needless))
        lines.append(
            f"Not where {others} can go: that proved the same optimum of {len(needless)} of them "
            f"{_times(statistics.median(times))} faster (median)."
        )
    paid = [r for r in proven if not _faster_proof(r)]
    if paid:
        where = wording.listing(_places(paid))
        took = wording.span([r.final("ilp").seconds for r in paid], wording.seconds)
        lines.append(
            f"It pays on {len(paid)}: {where}. It took {took}; nothing quicker proves "
            "anything there."
        )
        for name in _unique(name for r in paid for name in r.scores if name != "ilp"):
            rows = [r for r in paid if _answers(r, name) and _gap(r, name) is not None]
            if rows:
                gaps = wording.span([_gap(r, name) for r in rows])
                took = wording.span([r.final(name).seconds for r in rows], wording.seconds)
                lines.append(f"There {name} ended {gaps} above the optimum, after {took}.")
    for r in tried:
        if r not in proven and not r.proven:
            gaps = {name: _gap(r, name) for name in r.scores if _answers(r, name)}
            ends = [f"{name} {wording.percent(g)}" for name, g in gaps.items() if g is not None]
            lines.append(f"Not proven: {_place(r)}. Above the best bound: {', '.join(ends)}.")
    return lines


def _graph_cut(results: Sequence[Scored]) -> list[str]:
    cut = [r for r in results if _answers(r, "graph_cut")]
    if "graph_cut" not in {name for r in results for name in r.scores}:
        return []
    if not cut:
        return ["Never here: no instance has couplings of one sign."]
    longest = wording.seconds(max(r.final("graph_cut").seconds for r in cut))
    lines = [
        f"It solved {_count(cut)} with couplings of one sign exactly, all with proof, in at "
        f"most {longest}."
    ]
    lines += _free_cuts([r for r in cut if _answers(r, "mean_field")])
    others = [r for r in results if r not in cut]
    if others:
        places = wording.listing(_unique(f"{r.instance.signs} couplings" for r in others))
        lines.append(f"It cannot take {_count(others)}, of {places}.")
    return lines


def _free_cuts(results: Sequence[Scored]) -> list[str]:
    """Where a cut takes no more time than mean field, about."""
    if not results:
        return []
    verdicts: dict[str, list[str]] = {"free": [], "not free": []}
    for label in _unique(_label(r) for r in results):
        group = [r for r in results if _label(r) == label]
        cut = [r.final("graph_cut").seconds for r in group]
        mean = [r.final("mean_field").seconds for r in group]
        ratio = statistics.median(a / b for a, b in zip(cut, mean, strict=True))
        text = f"{label} ({_times(ratio)}, at most {wording.seconds(max(cut))})"
        verdicts["free" if ratio <= FREE_RATIO else "not free"].append(text)
    parts = [f"{word} at {wording.listing(texts)}" for word, texts in verdicts.items() if texts]
    return [
        f"Free means here: at most {FREE_RATIO:g} times the time that mean field takes to its mask "
        f"(median). That makes it {'; '.join(parts)}."
    ]


def _answers(result: Scored, method: str) -> bool:
    return method in result.scores and result.final(method).energy is not None


def _gap(result: Scored, method: str) -> float | None:
    return result.final(method).gap_percent


def _faster_proof(result: Scored) -> Score | None:
    """The quickest method that proved the optimum, where that is not the integer program."""
    proofs = [score for score in result.finals if score.proof]
    quickest = min(proofs, key=lambda score: score.seconds)
    return None if quickest.method == "ilp" else quickest


def _label(result: Scored) -> str:
    """What a drawn model is called by apart from size and signs; a file by its name."""
    instance = result.instance
    return instance.name if instance.strength is None else f"c = {instance.strength:g}"


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _place(result: Scored) -> str:
    instance = result.instance
    return f"{instance.signs} {_size(instance.size)} {_label(result)}"


def _places(results: Sequence[Scored]) -> list[str]:
    """The kinds of instances, each with its least and greatest size."""
    kinds: dict[str, list[tuple[int, int]]] = {}
    for r in results:
        kinds.setdefault(f"{r.instance.signs}, {_label(r)}", []).append(r.instance.size)
    return [f"{kind} ({wording.span(sizes, _size)})" for kind, sizes in kinds.items()]


def _count(results: Sequence[Scored]) -> str:
    return f"{len(results)} instance{'s' * (len(results) != 1)}"


def _times(ratio: float) -> str:
    return f"{ratio:.2g} times" if ratio < 10 else f"{ratio:.0f} times"


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))

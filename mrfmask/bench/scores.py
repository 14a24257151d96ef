"""From what was measured to gaps: each mask against the proven optimum of its instance."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from mrfmask.bench.efforts import name_of
from mrfmask.bench.instances import Instance
from mrfmask.bench.measure import Answer
from mrfmask.result import ROUNDING, Status

# A gap so small, relative to the energy, is a proof: what exact methods leave open by rounding is
# smaller. A run can reach its time limit with the proof in hand.
PROOF_GAP = 1e-8


@dataclass(frozen=True, kw_only=True)
class Run:
    """One method on one instance with one effort, as it was measured."""

    instance: Instance
    method: str
    options: dict[str, Any]
    answer: Answer

    @property
    def mask(self) -> Bool[np.ndarray, " pixels"]:
        """The mask as one row of pixels."""
        packed = np.frombuffer(base64.b64decode(self.answer["mask"]), dtype=np.uint8)
        height, width = self.instance.size
        return np.unpackbits(packed, count=height * width).astype(bool)


@dataclass(frozen=True, kw_only=True)
class Score:
    """What came of a run.

    Attributes:
        method: name in METHODS.
        options: what it was given.
        effort: the same for people.
        status: name of a Status in lower case, or "cannot", "failed", "killed".
        reason: why there is no mask.
        energy: of the mask.
        lower_bound: what the method itself proved.
        gap: energy above the instance's optimum, or above its best bound where nothing is proven.
        gap_percent: the same in percent of the size of that optimum or bound, constants left out.
        same_percent: pixels equal to the optimal mask, in percent; None where none is proven.
        tie: whether the mask is optimal and yet another one.
        proof: whether the run itself proved that its mask is optimal.
        seconds: to the mask; a bound that the mask did not need is left out.
        bound_seconds: for that bound.
        runs: how often it was timed.
        peak_mib: resident memory above what was there before; to about 0.3 MiB.
    """

    method: str
    options: dict[str, Any]
    effort: str
    status: str
    reason: str = ""
    energy: float | None = None
    lower_bound: float | None = None
    gap: float | None = None
    gap_percent: float | None = None
    same_percent: float | None = None
    tie: bool = False
    proof: bool = False
    seconds: float | None = None
    bound_seconds: float | None = None
    runs: int = 0
    peak_mib: float | None = None


@dataclass(frozen=True, kw_only=True)
class Scored:
    """An instance with all runs on it.

    Attributes:
        instance: the model.
        proven: whether the best mask is proven optimal, by a run or by the bound of another.
        energy: the optimum, or the best energy of any method.
        lower_bound: the best of any method.
        scores: by method in the order they ran, least effort first.
        contradiction: two methods that cannot both be right, or "".
    """

    instance: Instance
    proven: bool
    energy: float | None
    lower_bound: float | None
    scores: dict[str, list[Score]]
    contradiction: str = ""

    def final(self, method: str) -> Score:
        """The run with most effort that has a mask, or else the one that says why none has."""
        scores = self.scores[method]
        return next((s for s in reversed(scores) if s.energy is not None), scores[-1])

    @property
    def finals(self) -> list[Score]:
        """One score a method."""
        return [self.final(method) for method in self.scores]


def score(runs: Sequence[Run]) -> Scored:
    """Scores all runs on one instance.

    Args:
        runs: at least one.
    """
    instance = runs[0].instance
    good = [run for run in runs if run.answer.get("energy") is not None]
    bounded = [run for run in good if run.answer["lower_bound"] is not None]
    best = min(good, key=lambda r: (r.answer["energy"], not _is_proof(r.answer)), default=None)
    bound = max(bounded, key=lambda run: run.answer["lower_bound"], default=None)
    energy = best and best.answer["energy"]
    lower_bound = bound and bound.answer["lower_bound"]
    by_method: dict[str, list[Score]] = {}
    # A bound may exceed the best energy in the last digits: two sums of the same terms.
    slack = 0.0 if energy is None else ROUNDING * (1 + abs(energy))
    proven = any(_is_proof(run.answer) for run in good) or (
        bound is not None and energy - lower_bound <= PROOF_GAP * (1 + abs(energy))
    )
    reference = energy if proven else lower_bound
    zero = slack + max(energy - lower_bound, 0.0) if proven and bound else slack
    constant = float(instance.model.constant[0])
    for run in runs:
        scored = _score(run, reference, constant, zero, best.mask if proven else None)
        by_method.setdefault(run.method, []).append(scored)
    contradiction = ""
    if bound is not None and lower_bound > energy + slack:
        contradiction = (
            f"lower_bound must not exceed energy; got {lower_bound} from {bound.method} and "
            f"{energy} from {best.method} for {instance.name}. Please report this as a bug."
        )
    return Scored(
        instance=instance,
        proven=proven,
        energy=energy,
        lower_bound=lower_bound,
        scores=by_method,
        contradiction=contradiction,
    )


def _score(
    run: Run,
    reference: float | None,
    constant: float,
    zero: float,
    exact_mask: Bool[np.ndarray, " pixels"] | None,
) -> Score:
    """The score of a run; gaps up to `zero` are what the proof of the optimum leaves open."""
    answer = run.answer
    common = {
        "method": run.method,
        "options": run.options,
        "effort": name_of(run.options),
        "status": answer["status"],
    }
    if answer.get("energy") is None:
        return Score(**common, reason=answer.get("reason", "no mask"))
    gap = gap_percent = same = None
    if reference is not None:
        gap = answer["energy"] - reference
        gap = 0.0 if gap <= zero else gap
        size = abs(reference - constant)
        gap_percent = 0.0 if gap == 0 else 100 * gap / size if size else None
    if exact_mask is not None:
        same = 100 * float((run.mask == exact_mask).mean())
    return Score(
        **common,
        energy=answer["energy"],
        lower_bound=answer["lower_bound"],
        gap=gap,
        gap_percent=gap_percent,
        same_percent=same,
        tie=gap == 0 and same is not None and same < 100,
        proof=_is_proof(answer),
        seconds=answer["seconds"],
        bound_seconds=answer["bound_seconds"],
        runs=answer["runs"],
        peak_mib=None if answer["peak_bytes"] is None else answer["peak_bytes"] / 2**20,
    )


def _is_proof(answer: Answer) -> bool:
    energy, lower_bound = answer["energy"], answer["lower_bound"]
    tight = lower_bound is not None and energy - lower_bound <= PROOF_GAP * (1 + abs(energy))
    return tight or answer["status"] == Status.OPTIMAL.name.lower()

"""What can be judged: methods and controls by name, and the numbers of phases that make sense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mrfmask.depth.checkpoint import DepthModel
from mrfmask.depth.controls import Control, Flat, Greedy, Shuffled
from mrfmask.depth.frames import Frames
from mrfmask.depth.masking import MASKINGS, Masking
from mrfmask.depth.phases import Phases
from mrfmask.inference.method import check_choice

CONTROLS: dict[str, type[Control]] = {kind.name: kind for kind in (Flat, Shuffled, Greedy)}
# Of the methods without a network, those that buy where bought depths ask for it.
WEIGHING = ("superpixel", "weighted_farthest", "long_range")
# Without a pick there is nothing to complete depth from.
JUDGED = tuple(name for name in (*MASKINGS, *CONTROLS) if name != "none")


@dataclass(frozen=True, eq=False)
class Case:
    """One way to spend a budget.

    Attributes:
        masking: says what to buy.
        phases: how it is spent.
        share: the budget, a share of all pixels.
    """

    masking: Masking | Control
    phases: Phases
    share: float


def make_cases(
    names: Sequence[str],
    counts: Sequence[int],
    shares: Sequence[float],
    model: DepthModel | None,
    frames: Frames,
) -> list[Case]:
    """All combinations of methods, numbers of phases and budgets that differ.

    Methods that phases do not change are taken once, in one phase.

    Args:
        names: in JUDGED; of those with a network, only that of `model`.
        counts: of phases.
        shares: budgets.
        model: gives the network and all about phases but their number; None for neither.
        frames: where the control shuffled takes pictures from.

    Raises:
        ValueError: a name is unknown, or asks for a network that is not there.
    """
    style = Phases() if model is None else model.phases
    cases = []
    for name in dict.fromkeys(names):
        masking = _make(name, model, frames)
        tried = counts if _phased(masking) else [1]
        ways = [replace(style, count=count) for count in tried]
        cases += [Case(masking, phases, share) for share in shares for phases in ways]
    return cases


def _make(name: str, model: DepthModel | None, frames: Frames) -> Masking | Control:
    check_choice("methods", name, JUDGED)
    if name == "shuffled":
        if model is None or model.masking.net_class is None:
            raise ValueError(
                "methods must not hold shuffled without a network to be shown other pictures; got "
                "shuffled. Give --checkpoint a model with one."
            )
        return Shuffled(masking=model.masking, frames=frames)
    if name in CONTROLS:
        return CONTROLS[name]()
    if model is not None and name == model.masking.name:
        return model.masking
    if MASKINGS[name].net_class is not None:
        got = "no checkpoint" if model is None else f"one of {model.masking.name}"
        raise ValueError(
            f"methods must not hold {name} without a network that was trained for it; got {got}. "
            f"Run mrfmask depth train --method {name}, and give --checkpoint its folder."
        )
    return MASKINGS[name]()


def _phased(masking: Masking | Control) -> bool:
    if isinstance(masking, Control):
        return masking.phased
    return masking.net_class is not None or masking.name in WEIGHING

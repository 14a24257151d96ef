"""Trains what later phases of buying go by."""

from __future__ import annotations

from pathlib import Path

from mrfmask.depth.buyer import base_buyers
from mrfmask.depth.phases import Phases, Weight
from mrfmask.depth.saved_weights import taken_apart
from mrfmask.depth.training.ensemble import fit_ensemble
from mrfmask.depth.training.error_head import fit_error_head
from mrfmask.depth.training.task import Task
from mrfmask.depth.weights import WEIGHTS, ExpectedError
from mrfmask.inference.method import check_choice
from mrfmask.learn.loop import Watcher
from mrfmask.learn.plan import Plan

UNTRAINED = "variance"


def check_weight(name: str, phases: Phases) -> None:
    """Raises ValueError unless phases can go by this weight, trained for them."""
    check_choice("weight", name, tuple(WEIGHTS))
    kind, _ = taken_apart(phases.weight)
    if name == UNTRAINED:
        return
    if phases.count == 1:
        raise ValueError(
            f"weight must be {UNTRAINED} where all is bought at once: one phase looks at no depth; "
            f"got {name!r}. Use more phases."
        )
    if kind != UNTRAINED:
        raise ValueError(
            f"weight must be {UNTRAINED} where phases have one of their own; got {name!r} beside "
            f"{kind!r}. Leave one of them out."
        )


def fit_weight(
    name: str, task: Task, folder: Path, *, plan: Plan | None, watcher: Watcher | None
) -> Weight:
    """Trains a weight on what base buyers have bought; goes on where it was stopped.

    Args:
        name: in WEIGHTS, one with networks.
        task: frames and shares.
        folder: of this training alone.
        plan: how long and how fast; None for the recipe.
        watcher: is told how it goes.
    """
    if name == "ensemble":
        return fit_ensemble(task, folder, base_buyers(), plan=plan, watcher=watcher)
    return ExpectedError(fit_error_head(task, folder, plan=plan, watcher=watcher))

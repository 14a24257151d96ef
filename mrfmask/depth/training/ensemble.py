"""Trains predictors that differ in their seeds, so that they disagree where they cannot know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mrfmask.depth.buyer import Buyer
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.training.fit import before_later_phases
from mrfmask.depth.training.predictor import fit_predictor, plan_of
from mrfmask.depth.training.task import Task
from mrfmask.depth.weights import EnsembleVariance
from mrfmask.inference.method import check_count
from mrfmask.learn.loop import Watcher
from mrfmask.learn.plan import Plan


def fit_ensemble(
    task: Task,
    folder: Path,
    buyers: Sequence[Buyer],
    members: int = 3,
    start: Predictor | None = None,
    *,
    plan: Plan | None = None,
    watcher: Watcher | None = None,
) -> EnsembleVariance:
    """Trains predictors one after the other; goes on where it was stopped.

    They see what has been bought when later phases begin, see `before_later_phases`.

    Args:
        task: see `fit_predictor`, as all that follows.
        folder: gets a folder for every member, named by its number.
        buyers: the same for all members.
        members: how many, at least 2.
        start: of all members.
        plan: member k has its seed plus k.
        watcher: of all members, one after the other.

    Returns:
        The weight for later phases that goes by their disagreement.

    Raises:
        ValueError: fewer members, or see `fit_predictor`.
        RuntimeError: see `fit_predictor`.
    """
    check_count("members", members, least=2)
    task = before_later_phases(task)
    plan = plan_of(task, start) if plan is None else plan
    return EnsembleVariance(
        tuple(
            fit_predictor(
                task,
                folder / str(member),
                buyers,
                plan=replace(plan, seed=plan.seed + member),
                start=start,
                watcher=watcher,
            )
            for member in range(members)
        )
    )

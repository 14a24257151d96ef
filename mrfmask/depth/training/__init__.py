"""Trainings of masking and prediction networks; each resumes where it was stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from mrfmask.depth.masking import Masking
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.training.density import train_density
from mrfmask.depth.training.joint_methods import JOINT
from mrfmask.depth.training.prior import train_prior
from mrfmask.depth.training.ssvm import train_ssvm
from mrfmask.depth.training.task import Task
from mrfmask.learn.loop import Watcher
from mrfmask.learn.plan import Plan


class Training(Protocol):
    """Trains a masking method."""

    def __call__(
        self,
        task: Task,
        folder: Path,
        predictor: Predictor,
        *,
        plan: Plan | None = None,
        watcher: Watcher | None = None,
    ) -> Masking:
        """Trains in `folder`, going on from where it was stopped there.

        Args:
            task: frames, budgets, seed.
            folder: of this training alone; made if need be.
            predictor: completes depth; looked at by methods that learn from its errors, never
                changed.
            plan: how long and how fast; None for the recipe of the method.
            watcher: is told how it goes.
        """


# The trained masking methods by name.
TRAININGS: dict[str, Training] = {
    "prior": train_prior,
    "ising_density": train_density,
    "ising_ssvm": train_ssvm,
    **JOINT,
}

# Those that do not look at the predictor: one training serves all rounds of alternating ones.
STEADY = frozenset({"prior", "ising_density", *JOINT})

"""Trains masking and predictor in turns, each on what the other has become."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from mrfmask.depth.buyer import Buyer, base_buyers
from mrfmask.depth.checkpoint import DepthModel, check_info, load_depth_model
from mrfmask.depth.density_net import PositionPrior
from mrfmask.depth.describe import describe, digest_of
from mrfmask.depth.health import Finding, history_faults, mask_faults
from mrfmask.depth.masking import MASKINGS, Masking
from mrfmask.depth.phases import Phases
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.targets import Target
from mrfmask.depth.training import STEADY, TRAININGS
from mrfmask.depth.training.judge import judge
from mrfmask.depth.training.predictor import fit_predictor
from mrfmask.depth.training.rounds import Round, read_object, read_rounds
from mrfmask.depth.training.task import Task
from mrfmask.depth.training.weight import UNTRAINED, check_weight, fit_weight
from mrfmask.files import write_whole
from mrfmask.folder_lock import FolderLock
from mrfmask.inference.method import check_choice, check_count, check_positive
from mrfmask.learn.loop import Watcher
from mrfmask.learn.plan import Plan

SETTINGS_FILE, ROUNDS_FILE = "settings.json", "rounds.jsonl"
# Validation frames that a round is judged by, at most.
JUDGED = 48
POLYAK = 0.5


@dataclass(frozen=True, kw_only=True)
class Plans:
    """How long and how fast the stages train; None for the recipe of each.

    Attributes:
        base: of the first predictor, and of what later phases go by.
        masking: of the masking method, every round.
        predictor: of the predictor, every round.
    """

    base: Plan | None = None
    masking: Plan | None = None
    predictor: Plan | None = None


class FitPredictor(Protocol):
    """Trains a predictor in a folder, see `fit_predictor`."""

    def __call__(
        self,
        task: Task,
        folder: Path,
        buyers: Sequence[Buyer],
        *,
        plan: Plan | None = None,
        start: Predictor | None = None,
        watcher: Watcher | None = None,
    ) -> Predictor:
        """Goes on where it was stopped; never changes `start`."""


def train_depth(
    task: Task,
    folder: str | os.PathLike,
    method: str,
    *,
    budget: float,
    phases: Phases | None = None,
    rounds: int = 3,
    polyak: float | None = None,
    every: int | None = None,
    weight: str = UNTRAINED,
    plans: Plans | None = None,
    info: Mapping[str, Any] | None = None,
    watcher: Watcher | None = None,
    notice: Callable[[str], None] = lambda text: None,
    fit: FitPredictor = fit_predictor,
) -> DepthModel:
    """Trains a masking method and the predictor that completes what it buys, in turns.

    First a predictor learns from masks of methods that need no training (``base/``), and so does
    what later phases go by, if it is to be trained (``phases/``). Then, in every round, the masking
    learns from the errors of the target, a copy of the predictor (``round-1/masking/``); the
    predictor goes on with what that masking buys (``round-1/predictor/``); and the target follows
    it by Polyak averaging, or every few rounds, so that the masking does not chase the errors of
    one predictor alone. Methods in STEADY do not look at the predictor: all rounds have the masking
    of the first. A method without training has one round, with nothing to learn but the predictor.
    Rounds end once the validation error no longer falls; the best round is the model that `folder`
    holds. Stopped anywhere, the same call goes on to the same bytes.

    Args:
        task: frames, shares and seed.
        folder: of this training alone; made if need be.
        method: name in MASKINGS.
        budget: share of all pixels that rounds are judged by, at most the largest of the task.
        phases: how the budget is spent; None for all at once.
        rounds: at most, >= 1; more may be asked for later.
        polyak: share by which the target follows the predictor each round, in (0, 1]; 1 makes it
            the predictor. None for 0.5, unless `every` is given.
        every: rounds after which the target becomes the predictor, instead; >= 1.
        weight: what later phases go by, name in WEIGHTS; ensemble and head are trained for it.
        plans: how long and how fast; None for the recipes.
        info: plain facts for the checkpoint, such as names of the data.
        watcher: is told how the stages go.
        notice: is told which stage begins, how rounds end, and what is wrong with masks.
        fit: trains predictors.

    Returns:
        The best round's model, as `load_depth_model` reads it from the folder.

    Raises:
        ValueError: an argument is not what it must be, there are no validation frames, or the
            folder is of another training.
        RuntimeError: masks collapsed, the error diverged, a loss is not finite, or another run is
            training in the folder; says what to do.

    Reference:
        Polyak and Juditsky 1992, Mnih et al. 2015 and Lillicrap et al. 2016, see `Target`.
    """
    check_choice("method", method, tuple(MASKINGS))
    check_count("rounds", rounds, least=1)
    if not 0 < budget <= max(task.shares):
        raise ValueError(
            f"budget must be above 0 and at most the largest share of the task, "
            f"{max(task.shares)}; got {budget}. Make the task with this share."
        )
    if every is not None:
        check_count("every", every, least=1)
        if polyak is not None:
            raise ValueError(
                f"polyak must be left out where every is given; got {polyak} and every={every}. "
                "The target follows in one way."
            )
    else:
        polyak = POLYAK if polyak is None else polyak
        check_positive("polyak", polyak)
        if polyak > 1:
            raise ValueError(f"polyak must lie in (0, 1]; got {polyak}. 1 follows at once.")
    phases = phases or Phases()
    # What the checkpoint cannot hold is said before anything is trained.
    check_weight(weight, phases)
    check_info(info or {})
    if not len(task.validation):
        raise ValueError(
            "validation must leave frames to judge rounds by; got none. Ask for a larger share, or "
            "give more places."
        )
    if not MASKINGS[method].budgeted:
        raise ValueError(
            f"method must be one that keeps a budget; got {method!r}. There is nothing to learn "
            "where nothing, or everything, is bought."
        )
    if method not in TRAININGS:
        if MASKINGS[method].net_class is not None:
            raise ValueError(
                f"method must be one with a training or without a network; got {method!r}. Use "
                f"one of {', '.join(TRAININGS)}."
            )
        rounds = 1
    folder = Path(folder)
    alternation = _Alternation(
        task=task,
        folder=folder,
        method=method,
        budget=budget,
        phases=phases,
        weight=weight,
        polyak=polyak,
        every=every,
        plans=plans or Plans(),
        info=dict(info or {}),
        watcher=watcher,
        notice=notice,
        fit=fit,
    )
    with FolderLock(folder):
        alternation.claim()
        alternation.with_weight().run(rounds)
        return load_depth_model(folder)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Alternation:
    """What all rounds share; see `train_depth`."""

    task: Task
    folder: Path
    method: str
    budget: float
    phases: Phases
    weight: str
    polyak: float | None
    every: int | None
    plans: Plans
    info: dict[str, Any]
    watcher: Watcher | None
    notice: Callable[[str], None]
    fit: FitPredictor

    def claim(self) -> None:
        """Writes down what is trained, or compares it with what was trained here before."""
        wanted = {
            "method": self.method,
            "budget": self.budget,
            "phases": describe(self.phases),
            "polyak": self.polyak,
            "every": self.every,
            # None, as folders have it that were begun before there was a choice.
            "weight": None if self.weight == UNTRAINED else self.weight,
            "data": self.task.digest,
            "shares": list(self.task.shares),
            "seed": self.task.seed,
            "info": self.info,
            **{name: _plain(plan) for name, plan in vars(self.plans).items()},
        }
        path = self.folder / SETTINGS_FILE
        if path.exists():
            before = read_object(path, path.read_bytes())
            for name in wanted:
                if before.get(name) != wanted[name]:
                    raise ValueError(
                        f"--out must be of a training with the same settings; got {self.folder}, "
                        f"where {name} is {before.get(name)!r} and not {wanted[name]!r}. Use "
                        "another folder, or remove this one."
                    )
            return
        text = json.dumps(wanted, indent=2, sort_keys=True) + "\n"
        write_whole(path, lambda file: file.write(text.encode()))

    def with_weight(self) -> _Alternation:
        """The same, with phases that go by the weight once it is trained."""
        if self.weight == UNTRAINED:
            return self
        self.notice(f"phases: what later ones go by, {self.weight}")
        # In a folder of another name than the checkpoint's, which that replaces.
        trained = fit_weight(
            self.weight,
            self.task,
            self.folder / "phases",
            plan=self.plans.base,
            watcher=self.watcher,
        )
        return replace(self, phases=replace(self.phases, weight=trained))

    def run(self, rounds: int) -> None:
        """All rounds that are still to be done."""
        done = read_rounds(self.folder / ROUNDS_FILE)
        for record in done:
            record.stop_if_faulty(self.folder)
        self.notice("base: a predictor of masks of all kinds")
        predictor = self.fit(
            self.task,
            self.folder / "base",
            base_buyers(),
            plan=self.plans.base,
            watcher=self.watcher,
        )
        target = Target(predictor, tau=self.polyak, every=self.every)
        for number in range(1, rounds + 1):
            if done and not done[-1].best:
                return
            learned_from = target.digest()
            masking, predictor = self._round(number, predictor, target.net)
            target.update(predictor)
            if number > len(done):
                done.append(self._judge(done, masking, predictor, learned_from))
                done[-1].stop_if_faulty(self.folder)

    def _round(
        self, number: int, predictor: Predictor, aim: Predictor
    ) -> tuple[Masking, Predictor]:
        """The masking and the predictor of a round; finished ones are read."""
        place = self.folder / f"round-{number}"
        if self.method in TRAININGS:
            steady = self.method in STEADY
            if number == 1 or not steady:
                self.notice(f"round {number}: masking by {self.method}")
            masking = TRAININGS[self.method](
                self.task,
                (self.folder / "round-1" if steady else place) / "masking",
                aim,
                plan=self.plans.masking,
                watcher=self.watcher,
            )
        else:
            masking = MASKINGS[self.method]()
        self.notice(f"round {number}: the predictor of what it buys")
        predictor = self.fit(
            self.task,
            place / "predictor",
            [Buyer(masking, self.phases)],
            plan=self.plans.predictor,
            start=predictor,
            watcher=self.watcher,
        )
        return masking, predictor

    def _judge(
        self, done: list[Round], masking: Masking, predictor: Predictor, target: str
    ) -> Round:
        """Judges a round, keeps it if it is the best, and writes it down."""
        task, buyer = self.task, Buyer(masking, self.phases)
        found = judge(buyer, predictor, task.validation, self.budget, seed=task.seed, most=JUDGED)
        # The linear fill comes first: a predictor far worse than that has diverged, too.
        errors = [record.error for record in done] + [found.error]
        linear = done[0].linear if done else found.linear
        faults = history_faults([linear, *errors])
        faults += [f for f in mask_faults(found.masks, found.valid) if not _meant(f, masking)]
        record = Round(
            round=len(errors),
            error=found.error,
            linear=found.linear,
            best=found.error < min((r.error for r in done), default=math.inf),
            masking=describe(masking),
            predictor=digest_of(predictor),
            target=target,
            faults=faults,
        )
        if record.best and not any(fault.stops for fault in faults):
            DepthModel(
                masking=masking,
                predictor=predictor,
                phases=self.phases,
                budget=self.budget,
                info=self.info | self._facts(record),
            ).save(self.folder)
        lines = "".join(json.dumps(asdict(r)) + "\n" for r in [*done, record])
        write_whole(self.folder / ROUNDS_FILE, lambda file: file.write(lines.encode()))
        self.notice(
            f"round {record.round}: RMSE {found.error:.4g}, of the linear fill {found.linear:.4g}"
        )
        for fault in faults:
            self.notice(f"round {record.round}: {fault.text}")
        return record

    def _facts(self, record: Round) -> dict[str, Any]:
        return {
            "round": record.round,
            "error": record.error,
            "linear": record.linear,
            "digest": self.task.digest,
            "shares": list(self.task.shares),
            "seed": self.task.seed,
            "torch": str(torch.__version__),
        }


def _meant(fault: Finding, masking: Masking) -> bool:
    """Whether a method is so by design: picks of cells lie on a lattice, priors are the same."""
    if fault.kind == "lattice":
        return masking.name == "grid" or getattr(masking, "by_cells", False)
    return fault.kind == "same" and masking.net_class in (None, PositionPrior)


def _plain(plan: Plan | None) -> dict[str, Any] | None:
    """A plan without what does not change the result."""
    if plan is None:
        return None
    return {n: v for n, v in asdict(plan).items() if n not in ("workers", "save_every_s")}

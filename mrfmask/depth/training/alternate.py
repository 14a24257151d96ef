"""Trains masking and predictor in turns, each on what the other has become."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
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
from mrfmask.depth.saved_weights import taken_apart
from mrfmask.depth.targets import Target
from mrfmask.depth.training import STEADY, TRAININGS
from mrfmask.depth.training.judge import judge
from mrfmask.depth.training.predictor import fit_predictor
from mrfmask.depth.training.task import Task
from mrfmask.files import reason, write_whole
from mrfmask.folder_lock import FolderLock
from mrfmask.inference.method import check_choice, check_count, check_positive
from mrfmask.learn.loop import Watcher
from mrfmask.learn.plan import Plan

SETTINGS_FILE, ROUNDS_FILE = "settings.json", "rounds.jsonl"
# Validation frames that a round is judged by, at most.
JUDGED = 48


@dataclass(frozen=True, kw_only=True)
class Plans:
    """How long and how fast the stages train; None for the recipe of each.

    Attributes:
        base: of the first predictor.
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


@dataclass(frozen=True, kw_only=True)
class Round:
    """What came of a round: a line of rounds.jsonl.

    Attributes:
        round: counts from 1.
        error: RMSE of the predictor on validation frames at the budget, in metres.
        linear: the same of the linear fill on the same masks.
        best: whether the error is below that of all rounds before.
        masking: what the masking method was, with a digest of its network.
        predictor: digest of the predictor.
        target: digest of the predictor that the masking learned from.
        faults: what was found to be wrong.
    """

    round: int
    error: float
    linear: float
    best: bool
    masking: str
    predictor: str
    target: str
    faults: list[Finding] = field(default_factory=list)


def train_depth(
    task: Task,
    folder: str | os.PathLike,
    method: str,
    *,
    budget: float,
    phases: Phases | None = None,
    rounds: int = 3,
    polyak: float = 0.5,
    plans: Plans | None = None,
    info: Mapping[str, Any] | None = None,
    watcher: Watcher | None = None,
    notice: Callable[[str], None] = lambda text: None,
    fit: FitPredictor = fit_predictor,
) -> DepthModel:
    """Trains a masking method and the predictor that completes what it buys, in turns.

    First a predictor learns from masks of methods that need no training (``base/``). Then, in every
    round, the masking learns from the errors of the target, a copy of the predictor
    (``round-1/masking/``); the predictor goes on with what that masking buys
    (``round-1/predictor/``); and the target follows it by Polyak averaging, so that the masking
    does not chase the errors of one predictor alone. Methods in STEADY do not look at the
    predictor: all rounds have the masking of the first. A method without training has one round,
    with nothing to learn but the predictor. Rounds end once the validation error no longer falls;
    the best round is the model that `folder` holds. Stopped anywhere, the same call goes on to the
    same bytes.

    Args:
        task: frames, shares and seed.
        folder: of this training alone; made if need be.
        method: name in MASKINGS.
        budget: share of all pixels that rounds are judged by, at most the largest of the task.
        phases: how the budget is spent; None for all at once.
        rounds: at most, >= 1; more may be asked for later.
        polyak: share by which the target follows the predictor each round, in (0, 1]; 1 makes it
            the predictor.
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
        Polyak and Juditsky 1992 and Lillicrap et al. 2016, see `Target`.
    """
    check_choice("method", method, tuple(MASKINGS))
    check_count("rounds", rounds, least=1)
    if not 0 < budget <= max(task.shares):
        raise ValueError(
            f"budget must be above 0 and at most the largest share of the task, "
            f"{max(task.shares)}; got {budget}. Make the task with this share."
        )
    check_positive("polyak", polyak)
    if polyak > 1:
        raise ValueError(f"polyak must lie in (0, 1]; got {polyak}. 1 follows at once.")
    phases = phases or Phases()
    # What the checkpoint cannot hold is said before anything is trained.
    taken_apart(phases.weight)
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
        plans=plans or Plans(),
        info=dict(info or {}),
        watcher=watcher,
        notice=notice,
        fit=fit,
    )
    with FolderLock(folder):
        alternation.claim(polyak)
        alternation.run(rounds, polyak)
        return load_depth_model(folder)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Alternation:
    """What all rounds share; see `train_depth`."""

    task: Task
    folder: Path
    method: str
    budget: float
    phases: Phases
    plans: Plans
    info: dict[str, Any]
    watcher: Watcher | None
    notice: Callable[[str], None]
    fit: FitPredictor

    def claim(self, polyak: float) -> None:
        """Writes down what is trained, or compares it with what was trained here before."""
        wanted = {
            "method": self.method,
            "budget": self.budget,
            "phases": describe(self.phases),
            "polyak": polyak,
            "data": self.task.digest,
            "shares": list(self.task.shares),
            "seed": self.task.seed,
            "info": self.info,
            **{name: _plain(plan) for name, plan in vars(self.plans).items()},
        }
        path = self.folder / SETTINGS_FILE
        if path.exists():
            before = _read(path, path.read_bytes())
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

    def run(self, rounds: int, polyak: float) -> None:
        """All rounds that are still to be done."""
        done = self._journal()
        for record in done:
            _stop_if_faulty(record, self.folder)
        self.notice("base: a predictor of masks of all kinds")
        predictor = self.fit(
            self.task,
            self.folder / "base",
            base_buyers(),
            plan=self.plans.base,
            watcher=self.watcher,
        )
        target = Target(predictor, tau=polyak)
        for number in range(1, rounds + 1):
            if done and not done[-1].best:
                return
            learned_from = target.digest()
            masking, predictor = self._round(number, predictor, target.net)
            target.update(predictor)
            if number > len(done):
                done.append(self._judge(done, masking, predictor, learned_from))
                _stop_if_faulty(done[-1], self.folder)

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

    def _journal(self) -> list[Round]:
        """The rounds that are finished."""
        path = self.folder / ROUNDS_FILE
        if not path.exists():
            return []
        records = [_read(path, line) for line in path.read_bytes().splitlines()]
        return [
            Round(**record | {"faults": [Finding(**fault) for fault in record["faults"]]})
            for record in records
        ]


def _stop_if_faulty(record: Round, folder: Path) -> None:
    for fault in record.faults:
        if fault.stops:
            raise RuntimeError(
                f"Round {record.round} must give masks and errors to go on from; got: "
                f"{fault.text} Begin again in a folder other than {folder}."
            )


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


def _read(path: Path, text: bytes) -> dict[str, Any]:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(
            f"--out must hold files that can be read; got {str(path)!r}: {reason(error)}. Remove "
            "the folder to begin again."
        ) from error

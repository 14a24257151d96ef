"""The training loop: resumable anywhere, with early stopping, in one process or several."""

from __future__ import annotations

import gc
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mrfmask.files import PART_PREFIX, PART_SUFFIX, write_whole
from mrfmask.learn.augment import Augmented, augment, stream
from mrfmask.learn.average import Average
from mrfmask.learn.plan import Plan
from mrfmask.learn.processes import Processes
from mrfmask.learn.state import load_state, save_state

HISTORY_FILE = "history.jsonl"
# What stream() mixes in so that order and draws do not meet the augmentation's numbers.
ORDER, DRAWS = 2**32 + 1, 2**32 + 2


class Watcher(Protocol):
    """Is told how a training goes, in the process of rank 0."""

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        """After every step; both count from 0."""

    def epoch(self, record: dict[str, Any], net: nn.Module) -> None:
        """After every pass: its line of history.jsonl and the network that it was scored by."""


class Trainer:
    """Trains a network, saving its state so that a killed training goes on to the same result.

    Order, augmentation and draws of a step are pure functions of the seed, the pass and the step;
    all else that a step depends on is in the state. The same number of processes and threads
    therefore gives the same bits.

    Args:
        net: gives what `loss_of` takes; its weights are changed.
        loss_of: ``loss_of(net, batch) -> scalar``, gradient included.
        examples: the training examples.
        collate: makes a batch of examples.
        plan: how long and how fast.
        score: ``score(net) -> numbers`` on validation examples; called in rank 0.
        watch: name of the number that should grow.
        keep_best: ``keep_best(net)`` writes the network, after a pass that was the best so far.
        folder: for the state and history.jsonl; exists.
        settings: what must be the same for a resumed training; plain values.
        processes: those that train together.
        change: ``change(example, draws)`` augments an example, see `Augmented`.
        loss: module whose state the loss depends on (persistent chains), if any.
        average: decay of the moving average of the weights, see `Average`, which `score`,
            `keep_best` and the watcher then get in place of the network; 0 for the network itself.
    """

    def __init__(
        self,
        net: nn.Module,
        loss_of: Callable[[nn.Module, Any], Tensor],
        examples: Dataset,
        collate: Callable[[list], Any],
        *,
        plan: Plan,
        score: Callable[[nn.Module], dict[str, float]],
        watch: str,
        keep_best: Callable[[nn.Module], None],
        folder: Path,
        settings: dict[str, Any],
        processes: Processes,
        change: Callable[[Any, torch.Generator], Any] = augment,
        loss: nn.Module | None = None,
        average: float = 0.0,
    ) -> None:
        if plan.batch % processes.count:
            raise ValueError(
                f"batch must be a multiple of the {processes.count} processes; got {plan.batch}. "
                f"Use e.g. {processes.count * math.ceil(plan.batch / processes.count)}."
            )
        if len(examples) < processes.count:
            raise ValueError(
                f"--data must have an example for each process; got {len(examples)} for "
                f"{processes.count}. Use fewer processes."
            )
        self.plan, self.folder, self.processes = plan, folder, processes
        self.examples, self.collate = examples, collate
        self.loss_of, self.loss, self.change = loss_of, loss, change
        self.score, self.watch, self.keep_best = score, watch, keep_best
        self.settings = {**settings, **asdict(plan), "processes": processes.count}
        # How it is read and how often it is saved do not change the result.
        for free in ("workers", "save_every_s"):
            del self.settings[free]
        self.bare = net.to(processes.device)
        self.average = Average(self.bare, average) if average else None
        if average:
            self.settings["average"] = average
        self.net = processes.wrap(self.bare)
        self.optimizer = torch.optim.AdamW(
            self.bare.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
        )
        half = plan.precision == "float16"
        self.scaler = torch.amp.GradScaler(processes.device.type, enabled=half)
        self.epoch = self.step = 0
        self.total_loss = 0.0
        self.best, self.best_epoch = -math.inf, -1
        self.history: list[dict[str, Any]] = []

    @property
    def steps(self) -> int:
        """Steps a pass; examples that fill no batch wait for another pass."""
        return max(len(self.examples) // self.plan.batch, 1)

    @property
    def judged(self) -> nn.Module:
        """The network that is scored and kept."""
        return self.bare if self.average is None else self.average.net

    @property
    def finished(self) -> bool:
        """Whether all passes are done, or the score has not grown for long enough."""
        waited = self.epoch - 1 - self.best_epoch
        return self.epoch >= self.plan.epochs or waited >= self.plan.patience

    def resume(self) -> bool:
        """Goes on from the state in the folder, if there is one; says whether there was."""
        state = self.processes.share(self._load)
        if state is None:
            return False
        self.bare.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.loss is not None:
            self.loss.load_state_dict(state["loss"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        for name in ("epoch", "step", "total_loss", "best", "best_epoch", "history"):
            setattr(self, name, state[name])
        return True

    def _load(self) -> dict[str, Any] | None:
        for part in self.folder.glob(f"{PART_PREFIX}*{PART_SUFFIX}"):
            part.unlink(missing_ok=True)  # what a killed training was writing
        return load_state(self.folder, self.settings)

    def run(self, watcher: Watcher | None = None) -> list[dict[str, Any]]:
        """Trains to the end and returns a record for each pass.

        Raises:
            RuntimeError: the loss or its gradient is no longer finite.
        """
        try:
            while not self.finished:
                self._pass(watcher)
                self.bare.eval()
                self._note(self.processes.share(lambda: self.score(self.judged)), watcher)
        finally:
            if self.net is not self.bare:
                # Holds the group of processes, which must outlive it.
                self.net = self.bare
                gc.collect()
        return self.history

    def _pass(self, watcher: Watcher | None) -> None:
        """The steps of a pass that are still to be done."""
        self.net.train()
        saved = time.monotonic()
        for batch in self._batches():
            loss = self.processes.mean(self._step(batch))
            self.total_loss += loss
            if watcher is not None and self.processes.rank == 0:
                watcher.step(self.epoch, self.step, self.steps, loss)
            self.step += 1
            if time.monotonic() - saved > self.plan.save_every_s and self.step < self.steps:
                self._save()
                saved = time.monotonic()

    def _batches(self) -> DataLoader:
        """This process's part of each batch that is left of the pass."""
        plan, here = self.plan, self.processes
        draws = torch.Generator().manual_seed(stream(plan.seed, self.epoch, ORDER))
        order = torch.randperm(len(self.examples), generator=draws).tolist()
        size = min(plan.batch, len(order) // here.count * here.count)
        batches = [
            list(range(first + here.rank, first + size, here.count))
            for first in range(0, self.steps * size, size)
        ]
        return DataLoader(
            Augmented(self.examples, order, plan.seed, self.epoch, self.change),
            batch_sampler=batches[self.step :],
            num_workers=plan.workers,
            collate_fn=self.collate,
        )

    def _step(self, batch: Any) -> float:
        plan, device = self.plan, self.processes.device
        torch.manual_seed(stream(plan.seed, self.epoch, DRAWS, self.step, self.processes.rank))
        done = (self.epoch + self.step / self.steps) / plan.epochs
        for group in self.optimizer.param_groups:
            group["lr"] = plan.rate(done)
        low = plan.precision != "float32"
        with torch.autocast(device.type, getattr(torch, plan.precision), enabled=low):
            try:
                loss = self.loss_of(self.net, batch)
            except ValueError as error:
                # A model refuses potentials that are not finite. The first step had proper ones.
                if self.epoch == self.step == 0:
                    raise
                raise self._diverged(error) from error
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.bare.parameters(), 1.0)
        # Half precision overflows now and then; the scaler leaves such a step out.
        if not (loss.isfinite() and (norm.isfinite() or self.scaler.is_enabled())):
            raise self._diverged(f"{loss.item()}, gradient {norm.item()}")
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update(self.bare)
        return loss.item()

    def _diverged(self, what: object) -> RuntimeError:
        return RuntimeError(
            f"loss must stay finite; got {what} in step {self.step} of pass {self.epoch}. "
            "Use a lower learning rate, or float32."
        )

    def _note(self, scores: dict[str, float], watcher: Watcher | None) -> None:
        """Ends a pass: history, best network, state."""
        record = {"epoch": self.epoch, "loss": self.total_loss / self.steps, **scores}
        better = scores[self.watch] > self.best
        record["best"] = better
        self.history.append(record)
        if better:
            self.best, self.best_epoch = scores[self.watch], self.epoch
        self.epoch, self.step, self.total_loss = self.epoch + 1, 0, 0.0
        if self.processes.rank == 0:
            if better:
                self.keep_best(self.judged)
            if watcher is not None:
                watcher.epoch(record, self.judged)
            lines = "".join(json.dumps(r) + "\n" for r in self.history)
            write_whole(self.folder / HISTORY_FILE, lambda file: file.write(lines.encode()))
        self._save()

    def _save(self) -> None:
        """Writes the state; a stateful loss must be the same in all processes (see state_dict)."""
        if self.processes.rank:
            return
        save_state(
            self.folder,
            {
                "settings": self.settings,
                "net": self.bare.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "loss": {} if self.loss is None else self.loss.state_dict(),
                "average": {} if self.average is None else self.average.state_dict(),
                "epoch": self.epoch,
                "step": self.step,
                "total_loss": self.total_loss,
                "best": self.best,
                "best_epoch": self.best_epoch,
                "history": self.history,
            },
        )

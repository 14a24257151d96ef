"""The training of networks that look at bought depths, whatever they make of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mrfmask.depth.buyer import BASE_PHASES, Buyer
from mrfmask.depth.describe import describe, digest_of
from mrfmask.depth.training.bought import Bought, BuyAnew, buy_some, collate_bought
from mrfmask.depth.training.task import Repeated, Task
from mrfmask.learn.loop import Trainer, Watcher
from mrfmask.learn.plan import Plan
from mrfmask.learn.processes import Processes
from mrfmask.nn.hub import Pretrained

# A pass has so many steps, however many frames there are.
STEPS = 50
# Examples to judge by, of all shares together.
JUDGED = 96
AVERAGE = 0.99

Net = TypeVar("Net", bound=Pretrained)


def fit_bought(
    net: Net,
    loss_of: Callable[[nn.Module, Bought], Tensor],
    judge: Callable[[nn.Module, list[list[Bought]]], float],
    task: Task,
    folder: Path,
    buyers: Sequence[Buyer],
    *,
    plan: Plan,
    settings: dict[str, Any],
    watcher: Watcher | None,
) -> Net:
    """Trains a network on frames changed anew and bought of anew; goes on where it was stopped.

    Args:
        net: as it is to start; changed.
        loss_of: ``loss_of(net, batch) -> scalar``.
        judge: ``judge(net, batches) -> value`` that should fall; a list of batches for every share,
            made of validation frames. The network of the best pass is kept; without validation
            frames the last.
        task: frames and shares.
        folder: of this training alone; made if need be.
        buyers: of every example one, drawn.
        plan: how long and how fast.
        settings: what else must be the same for a training to go on; plain values.
        watcher: is told how it goes.

    Returns:
        The network that the folder then holds, in evaluation mode.

    Raises:
        ValueError: no buyers, or the folder is of another training.
        RuntimeError: the loss is no longer finite.
    """
    if not buyers:
        raise ValueError("buyers must be at least one; got none. Use base_buyers() if in doubt.")
    folder.mkdir(parents=True, exist_ok=True)

    # Made once it is needed, which in a finished training it is not.
    @cache
    def held_out() -> list[list[Bought]]:
        return [_batches(task, buyers, share, plan.batch) for share in task.shares]

    @torch.no_grad()
    def score(judged: nn.Module) -> dict[str, float]:
        if not len(task.validation):
            return {"score": float(trainer.epoch)}
        return {"score": -judge(judged, held_out())}

    trainer = Trainer(
        net,
        loss_of,
        Repeated(task.train, STEPS * plan.batch),
        collate_bought,
        plan=plan,
        score=score,
        watch="score",
        keep_best=lambda best: best.save_pretrained(folder),
        folder=folder,
        settings={
            **settings,
            "data": task.digest,
            "shares": list(task.shares),
            "buyers": describe(buyers),
            "start": digest_of(net),
            "torch": str(torch.__version__),
        },
        processes=Processes(0, 1, torch.device("cpu")),
        change=BuyAnew(tuple(buyers), task.shares),
        average=AVERAGE,
    )
    trainer.resume()
    trainer.run(watcher)
    return type(net).from_pretrained(folder)


def before_later_phases(task: Task) -> Task:
    """The same with the shares that have been bought when later phases begin.

    Args:
        task: with the shares that are bought in the end, in 4 phases.
    """
    pixels = task.train[0].depth.numel()
    totals = [max(round(share * pixels), 1) for share in task.shares]
    counts = {count for total in totals for count in BASE_PHASES.counts(total)[:-1]}
    return replace(task, shares=tuple(count / pixels for count in sorted(counts)))


def _batches(task: Task, buyers: Sequence[Buyer], share: float, size: int) -> list[Bought]:
    examples = buy_some(task.validation, buyers, share, max(JUDGED // len(task.shares), 1))
    return [collate_bought(examples[k : k + size]) for k in range(0, len(examples), size)]

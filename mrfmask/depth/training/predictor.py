"""Trains predictors on the masks of those who buy."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from mrfmask.depth.buyer import Buyer
from mrfmask.depth.losses import LOSSES, Rmse
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.training.bought import Bought
from mrfmask.depth.training.fit import fit_bought
from mrfmask.depth.training.task import Task
from mrfmask.inference.method import check_choice
from mrfmask.learn.loop import Watcher
from mrfmask.learn.plan import Plan

# For a predictor from nothing, on masks of all kinds, and for a further training on those of one;
# a frame comes with its mirror image.
BASE_PLAN = Plan(epochs=10, batch=6, learning_rate=1.2e-3, weight_decay=0.05, precision="bfloat16")
FINE_PLAN = replace(BASE_PLAN, epochs=5, learning_rate=6e-4)


def fit_predictor(
    task: Task,
    folder: Path,
    buyers: Sequence[Buyer],
    *,
    plan: Plan | None = None,
    start: Predictor | None = None,
    watcher: Watcher | None = None,
    loss: str = "relative",
) -> Predictor:
    """Trains a network that completes what the buyers buy; goes on where it was stopped.

    Every example is a frame changed anew, bought of by one of the buyers for one of the task's
    shares. The network of the pass is kept whose RMSE on validation frames is the smallest share of
    that of the linear fill; without validation frames the last.

    Args:
        task: frames and shares.
        folder: of this training alone, for its state and the network; made if need be.
        buyers: those whose masks are to be completed, at least one.
        plan: how long and how fast; None for `BASE_PLAN`, or `FINE_PLAN` where there is a `start`,
            with the seed of the task.
        start: what to start from; None for a new network. It is not changed.
        watcher: is told how it goes.
        loss: name in LOSSES.

    Returns:
        The network in evaluation mode. One that was trained before is read from the folder.

    Raises:
        ValueError: no buyers, no such loss, or the folder is of another training.
        RuntimeError: the loss is no longer finite.
    """
    check_choice("loss", loss, tuple(LOSSES))
    if plan is None:
        plan = plan_of(task, start)
    if start is None:
        torch.manual_seed(plan.seed)
        net = Predictor()
    else:
        net = copy.deepcopy(start)
    measure_loss = LOSSES[loss]()

    def loss_of(trained: nn.Module, batch: Bought) -> Tensor:
        frames = batch.frames
        predicted = _complete(trained, batch, net.picture)
        return measure_loss(predicted, frames.depth, frames.valid, batch.fills.linear)

    return fit_bought(
        net,
        loss_of,
        ratio_to_linear,
        task,
        folder,
        buyers,
        plan=plan,
        settings={"loss": loss},
        watcher=watcher,
    )


def plan_of(task: Task, start: Predictor | None) -> Plan:
    """The recipe for a predictor from nothing, or for one from a start, with the task's seed."""
    return replace(BASE_PLAN if start is None else FINE_PLAN, seed=task.seed)


@torch.no_grad()
def ratio_to_linear(net: Predictor, batches: Sequence[Sequence[Bought]]) -> float:
    """RMSE of a predictor over that of the linear fill, each summed over images.

    Args:
        net: the predictor.
        batches: for every share its batches; the mean of their ratios is given.
    """
    ratios = []
    for share in batches:
        ours = theirs = 0.0
        for batch in share:
            depth, valid, linear = batch.frames.depth, batch.frames.valid, batch.fills.linear
            predicted = _complete(net, batch, net.picture)
            ours += Rmse().per_image(predicted, depth, valid, linear).sum().item()
            theirs += Rmse().per_image(linear, depth, valid, linear).sum().item()
        ratios.append(ours / theirs)
    return sum(ratios) / len(ratios)


def _complete(net: nn.Module, batch: Bought, picture: bool) -> Tensor:
    seen = batch.frames.picture if picture else None
    return net(batch.measured, batch.mask, seen, fills=batch.fills)

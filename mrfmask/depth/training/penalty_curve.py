"""How many pixels a price buys: trainings without a budget at several penalties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask.depth import cells
from mrfmask.depth.budget import budget_of
from mrfmask.depth.frames import FrameBatch, collate_frames
from mrfmask.depth.masking.grid import cell_model, features_of
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.training.joint_score import fill_error
from mrfmask.depth.training.penalised import PenalisedTraining
from mrfmask.depth.training.task import Task
from mrfmask.learn.loop import Watcher
from mrfmask.learn.plan import Plan
from mrfmask.nn import MaskNet


@dataclass(frozen=True, kw_only=True)
class PenaltyPoint:
    """What a network trained at a penalty buys of the validation frames.

    Attributes:
        penalty: see `PenalisedTraining`.
        share: of pixels, which gives the size of the cells and the unit of the penalty.
        count: mean number of pixels an image with a probability above 1/2.
        rmse: mean RMSE of the linear fill of these, in metres; where there are none of the most
            probable one.
    """

    penalty: float
    share: float
    count: float
    rmse: float


def penalty_curve(
    training: PenalisedTraining,
    penalties: Sequence[float],
    task: Task,
    folder: Path,
    predictor: Predictor,
    *,
    plan: Plan | None = None,
    watcher: Watcher | None = None,
) -> list[PenaltyPoint]:
    """Trains at every penalty; goes on where it was stopped.

    Args:
        training: its penalty is not looked at.
        penalties: positive, in any order.
        task: see `JointTraining`.
        folder: each training has a folder of its own in it, named by its penalty.
        predictor: see `mrfmask.depth.training.Training`.
        plan: of each training.
        watcher: is told how each goes.

    Returns:
        A point for each penalty and share of the task, in their order.
    """
    trainings = [replace(training, penalty=penalty) for penalty in penalties]
    frames = collate_frames([task.validation[i] for i in range(len(task.validation))])
    points = []
    for one in trainings:
        own = folder / f"{one.penalty:g}"
        one(task, own, predictor, plan=plan, watcher=watcher)
        net = MaskNet.from_pretrained(own)
        for share in task.shares:
            mask = _likely(net, frames, budget_of(frames.valid, share))
            point = PenaltyPoint(
                penalty=one.penalty,
                share=share,
                count=mask.sum((1, 2)).double().mean().item(),
                rmse=fill_error(frames, mask).mean().item(),
            )
            points.append(point)
    return points


@torch.no_grad()
def _likely(net: MaskNet, frames: FrameBatch, count: int) -> Bool[Tensor, "batch height width"]:
    """Pixels of the cells with a probability above 1/2, or of the most probable one."""
    masks = []
    for image, valid in enumerate(frames.valid):
        side = cells.cell_side(valid, count)
        features = features_of(net, frames.picture[image : image + 1])
        unary = cell_model(net, features, side).unary[0]
        unary = unary.where(cells.some(valid[None], side)[0], -torch.inf)
        # With exactly 0 both are equally likely.
        chosen = (unary > 0) if (unary > 0).any() else unary == unary.max()
        masks.append(cells.picks(chosen, valid, side))
    return torch.stack(masks)

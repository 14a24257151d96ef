"""How far a density should be trusted: tried on frames that it was not trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from mrfmask.depth.budget import budget_of
from mrfmask.depth.cache import FrameCache
from mrfmask.depth.density_net import SHARES
from mrfmask.depth.describe import digest_of
from mrfmask.depth.frames import Frame, collate_frames
from mrfmask.depth.losses import Rmse
from mrfmask.depth.masking.density import IsingDensity
from mrfmask.depth.phases import Phases, buy
from mrfmask.depth.reconstruct import linear
from mrfmask.depth.training.task import Task

TRIED = (0.25, 0.5, 0.75, 1.0, 1.3, 1.7, 2.2)
# Frames that it is tried on.
MOST = 60
KEPT = "sharpness"


def tune_sharpness(masking: IsingDensity, frames: Dataset) -> IsingDensity:
    """Sets the sharpness of every share to the one in TRIED with the least mean error.

    Errors are RMSE of the linear fill, summed over the frames of a data set and divided by those of
    even masks, so that data sets count alike. Frames with too few valid pixels do not count for a
    share; where none is left its sharpness stays.

    Args:
        masking: its network's `sharpness` is changed.
        frames: of other places than it was trained on; at most MOST of them are looked at, evenly.
    """
    sharpness = masking.net.sharpness
    step = max(1, -(-len(frames) // MOST))
    some = [frames[i] for i in range(0, len(frames), step)]
    for place, share in enumerate(SHARES):
        kept = [f for f in some if f.valid.sum() >= round(share * f.valid.numel())]
        if not kept:
            continue
        errors = []
        for tried in (0.0, *TRIED):
            sharpness[place] = tried
            errors.append(torch.tensor([_rmse(masking, frame, share) for frame in kept]))
        sharpness[place] = TRIED[_least(torch.stack(errors), [f.name for f in kept])]
    return masking


def tune_once(masking: IsingDensity, task: Task, folder: Path) -> IsingDensity:
    """The same on the validation frames of a task, kept in a folder: tuning takes a while.

    Args:
        masking: its network's `sharpness` is changed.
        task: the task that the network was trained for.
        folder: of the training; gets a folder for what was found.
    """
    sharpness = masking.net.sharpness
    cache = FrameCache(folder / KEPT, f"{task.digest} {digest_of(masking.net)}")

    def tune() -> dict[str, np.ndarray]:
        return {KEPT: tune_sharpness(masking, task.validation).net.sharpness.numpy()}

    sharpness.copy_(torch.from_numpy(cache.get(KEPT, tune)[KEPT]))
    return masking


def _least(errors: Float[Tensor, "tried+1 frames"], names: list[str]) -> int:
    """Which of the tried ones has the least mean ratio to even masks, the first row."""
    # Names are "set/frame", and "kind-seed-frame" for synthetic frames.
    sets = [name.rpartition("/")[0] or name.partition("-")[0] for name in names]
    ratios = torch.zeros(len(errors) - 1)
    for one in sorted(set(sets)):
        summed = errors[:, [name == one for name in sets]].sum(dim=1)
        ratios += summed[1:] / summed[0].clamp(min=1e-9)
    return int(ratios.argmin())


def _rmse(masking: IsingDensity, frame: Frame, share: float) -> float:
    batch = collate_frames([frame])
    mask = buy(masking, batch, budget_of(batch.valid, share), Phases())
    filled = linear(batch.depth, mask)
    return Rmse().per_image(filled, batch.depth, batch.valid, filled).item()

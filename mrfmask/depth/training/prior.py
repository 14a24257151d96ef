"""The mean of all pictures' errors at every place, as a density that does not look at pictures."""

from __future__ import annotations

from pathlib import Path

import torch
from scipy.ndimage import gaussian_filter

from mrfmask.depth.cache import FrameCache
from mrfmask.depth.density_loss import POWER
from mrfmask.depth.density_net import SHARES, PositionPrior
from mrfmask.depth.error_maps import cached_error_maps
from mrfmask.depth.masking.density import Prior
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.training.density import ERRORS
from mrfmask.depth.training.sharpness import tune_once
from mrfmask.depth.training.task import Task
from mrfmask.learn.loop import Watcher
from mrfmask.learn.plan import Plan

# In pixels: a place is rarely hit twice. Relative errors below the floor count as it.
SMOOTHING, FLOOR = 4.0, 0.05


def train_prior(
    task: Task,
    folder: Path,
    predictor: Predictor,
    *,
    plan: Plan | None = None,
    watcher: Watcher | None = None,
) -> Prior:
    """Averages error maps over the training frames; ``rho = error^(1 / 1.7)`` is best then.

    Its sharpness is tuned on validation frames, as that of learned densities is.

    Args:
        task: frames, all of one size.
        folder: of this training alone.
        predictor: not looked at.
        plan: not looked at: there are no steps.
        watcher: not told anything.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cache = FrameCache(folder / ERRORS, f"{task.digest} {SHARES}")
    height, width = task.train[0].depth.shape
    errors, valid = torch.zeros(len(SHARES), height, width), torch.zeros(height, width)
    for index in range(len(task.train)):
        frame = task.train[index]
        errors += cached_error_maps(frame, SHARES, cache)
        valid += frame.valid
    seen = gaussian_filter(valid.double().numpy(), SMOOTHING)
    net = PositionPrior(height, width)
    for place, summed in enumerate(errors.double().numpy()):
        mean = torch.from_numpy(gaussian_filter(summed, SMOOTHING) / (seen + 1e-3))
        net.maps[place] = mean.clamp(min=FLOOR).log() / (1 + POWER)
    net.save_pretrained(folder)
    return tune_once(Prior(net=net.eval()), task, folder)

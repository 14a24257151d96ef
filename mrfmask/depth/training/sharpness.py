"""How far a density should be trusted: tried on frames that it was not trained on."""

from __future__ import annotations

import torch
from torch.utils.data import Dataset

from mrfmask.depth.budget import budget_of
from mrfmask.depth.density_net import SHARES
from mrfmask.depth.frames import Frame, collate_frames
from mrfmask.depth.losses import Rmse
from mrfmask.depth.masking.density import IsingDensity
from mrfmask.depth.phases import Phases, buy
from mrfmask.depth.reconstruct import linear

TRIED = (0.25, 0.5, 0.75, 1.0, 1.3, 1.7, 2.2)
# Frames that it is tried on.
MOST = 60


def tune_sharpness(masking: IsingDensity, frames: Dataset) -> IsingDensity:
    """Sets the sharpness of every share to the one in TRIED with the least mean error.

    Errors are RMSE of the linear fill over those of even masks, so that frames count alike. Frames
    with too few valid pixels do not count for a share; where none is left its sharpness stays.

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
        ratios = [(e / errors[0].clamp(min=1e-9)).mean().item() for e in errors[1:]]
        sharpness[place] = TRIED[min(range(len(TRIED)), key=ratios.__getitem__)]
    return masking


def _rmse(masking: IsingDensity, frame: Frame, share: float) -> float:
    batch = collate_frames([frame])
    mask = buy(masking, batch, budget_of(batch.valid, share), Phases())
    filled = linear(batch.depth, mask)
    return Rmse().per_image(filled, batch.depth, batch.valid, filled).item()

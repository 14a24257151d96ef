"""How well a masking method and a predictor do together on frames held out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.utils.data import Dataset

from mrfmask.depth.budget import budget_of, measure
from mrfmask.depth.buyer import Buyer
from mrfmask.depth.frames import collate_frames
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.reconstruct import fill


@dataclass(frozen=True, kw_only=True, eq=False)
class Judgement:
    """Errors at a budget, and the masks that they are of.

    Attributes:
        error: RMSE over valid pixels of the predictor, mean over frames, in metres.
        linear: the same of the linear fill.
        masks: what was bought.
        valid: what could have been.
    """

    error: float
    linear: float
    masks: Bool[Tensor, "frames height width"]
    valid: Bool[Tensor, "frames height width"]


@torch.no_grad()
def judge(
    buyer: Buyer, predictor: Predictor, frames: Dataset, budget: float, *, seed: int, most: int
) -> Judgement:
    """Buys of frames and completes them.

    Args:
        buyer: says what to buy.
        predictor: completes depth.
        frames: of one size, at least one; each with valid pixels enough.
        budget: share of all pixels.
        seed: of random numbers.
        most: frames that are looked at, evenly spread over all.
    """
    count = min(most, len(frames))
    errors: dict[str, list[float]] = {"error": [], "linear": []}
    masks, valid = [], []
    for number in range(count):
        batch = collate_frames([frames[number * len(frames) // count]])
        mask = buyer(batch, budget_of(batch.valid, budget), seed)
        bought, fills = measure(batch.depth, batch.valid, mask), fill(batch.depth, mask)
        seen = batch.picture if predictor.picture else None
        predicted = predictor.eval()(bought, mask, seen, fills=fills)
        for name, depth in (("error", predicted), ("linear", fills.linear)):
            off = (depth - batch.depth)[batch.valid].double()
            errors[name].append(math.sqrt(off.square().mean().item()))
        masks.append(mask[0])
        valid.append(batch.valid[0])
    means = {name: math.fsum(values) / count for name, values in errors.items()}
    return Judgement(**means, masks=torch.stack(masks), valid=torch.stack(valid))

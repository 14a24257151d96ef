"""Where a frame is hard to complete: squared errors of interpolation under masks not chosen."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mrfmask.depth.cache import FrameCache
from mrfmask.depth.frames import Frame
from mrfmask.depth.reconstruct import linear
from mrfmask.learn.augment import stream
from mrfmask.select import select

# Evenly spread masks, and ones without any order: further picks come to lie between the two.
SELECTORS = ("long_range", "poisson_disk", "poisson_disk", "random", "random")


def error_maps(frame: Frame, shares: tuple[float, ...]) -> Float[Tensor, "shares height width"]:
    """The mean squared error of the linear fill over spread and random masks, 0 where not valid.

    The errors of a mask are divided by their mean over valid pixels, so that every mask counts
    alike; units cancel. Draws hang on the frame's name alone. Where a share buys all valid pixels,
    no errors are left, and the map is even.

    Args:
        frame: with a valid pixel.
        shares: budgets, one map each; at least one pixel is bought, and at most the valid ones.
    """
    valid, depth = frame.valid[None], frame.depth[None]
    scores = torch.zeros_like(depth).where(valid, -torch.inf)
    seed = crc32(frame.name.encode())
    maps = torch.zeros(len(shares), *frame.depth.shape)
    for row, share in enumerate(shares):
        count = min(max(round(share * valid.numel()), 1), int(valid.sum()))
        for turn, name in enumerate(SELECTORS):
            options = {} if name == "long_range" else {"seed": stream(seed, turn)}
            mask = select(scores, name, budget=count, **options)
            squared = (linear(depth, mask) - depth).square().where(valid, 0)[0]
            mean = squared.sum() / valid.sum()
            maps[row] += squared / mean if mean > 0 else frame.valid.float()
    return maps / len(SELECTORS)


def cached_error_maps(
    frame: Frame, shares: tuple[float, ...], cache: FrameCache
) -> Float[Tensor, "shares height width"]:
    """The same, kept in float16."""

    def make() -> dict[str, np.ndarray]:
        # Half precision holds up to 65504: more than any pixel's share of a frame's error is worth.
        maps = error_maps(frame, shares).clamp(max=6e4)
        return {"maps": maps.numpy().astype(np.float16)}

    return torch.from_numpy(cache.get(frame.name, make)["maps"]).float()

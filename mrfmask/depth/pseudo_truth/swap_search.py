"""Masks made better pick by pick: one moves to where the error is largest, if that pays."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree
from torch import Tensor

from mrfmask.depth.frames import FrameBatch
from mrfmask.depth.pseudo_truth.pseudo_truth import Target, errors, smoothed
from mrfmask.learn.augment import stream

# Other picks that say what a pick's depth would be taken for without it.
NEIGHBOURS = 4
# Of the picks, the share that is needed least and may be moved.
MOVABLE = 0.25
SMOOTHING = 0.7


def swap_search(
    target: Target,
    frames: FrameBatch,
    mask: Bool[Tensor, "batch height width"],
    swaps: int,
    seed: int = 0,
) -> Bool[Tensor, "batch height width"]:
    """Masks whose squared error on valid pixels is at most that of `mask`, image by image.

    Each try moves one of the picks that the others predict best, drawn at random, to the free
    pixel with the largest smoothed squared error that was not tried since the last improvement; it
    stays there if the sum of squared errors falls.

    Args:
        target: completes depth.
        frames: with true depths.
        mask: picks to start from, at least two an image.
        swaps: tries; every one completes the image once.
        seed: of the draws; an image's hang on it and its name alone.
    """
    images = range(len(frames))
    return torch.stack([_improved(target, _one(frames, i), mask[i], swaps, seed) for i in images])


def _one(frames: FrameBatch, image: int) -> FrameBatch:
    part = slice(image, image + 1)
    return FrameBatch(
        frames.picture[part],
        frames.depth[part],
        frames.valid[part],
        frames.places[part],
        frames.names[part],
    )


def _improved(
    target: Target, frame: FrameBatch, mask: Bool[Tensor, "height width"], swaps: int, seed: int
) -> Bool[Tensor, "height width"]:
    draws = np.random.default_rng(stream(seed, crc32(frame.names[0].encode())))
    squared = errors(target, frame, mask[None]).square()
    tried = torch.zeros_like(mask)
    for _ in range(swaps):
        free = frame.valid[0] & ~mask & ~tried
        if not free.any() or mask.sum() < 2:
            break
        worst = int(smoothed(squared, SMOOTHING)[0].where(free, -1.0).argmax())
        moved = mask.clone().flatten()
        moved[_needless(frame.depth[0], mask, draws)] = False
        moved[worst] = True
        moved = moved.reshape(mask.shape)
        after = errors(target, frame, moved[None]).square()
        if after.double().sum() < squared.double().sum():
            mask, squared = moved, after
            tried = torch.zeros_like(mask)
        else:
            tried.view(-1)[worst] = True
    return mask


def _needless(
    depth: Float[Tensor, "height width"],
    mask: Bool[Tensor, "height width"],
    draws: np.random.Generator,
) -> int:
    """A pick that its neighbours predict well, weighted by the area it would leave to them."""
    places, values = mask.nonzero().numpy(), depth[mask].double().numpy()
    others = min(NEIGHBOURS, len(places) - 1)
    distance, found = cKDTree(places).query(places, k=range(2, others + 2))
    lost = (values - values[found].mean(axis=1)) ** 2 * distance.mean(axis=1) ** 2
    order = np.argsort(lost, kind="stable")
    row, column = places[order[draws.integers(max(1, round(MOVABLE * len(order))))]]
    return int(row) * mask.shape[1] + int(column)

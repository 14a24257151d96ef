"""Tasks of depth so small that a training takes a second."""

from __future__ import annotations

from functools import cache

import torch

from mrfmask.depth.synthetic import SyntheticFrames
from mrfmask.depth.training.task import Task

SIZE, SHARES = (32, 40), (0.02, 0.05)


def tiny_task(train=4, validation=2, seed=0):
    """Synthetic rooms; few suffice where nothing is to be learned well."""
    return Task(
        train=rooms(train, seed=1),
        validation=rooms(validation, seed=2),
        test=[],
        shares=SHARES,
        seed=seed,
        digest="tiny",
    )


@cache
def rooms(count, seed):
    """Some frames, made once."""
    return list(SyntheticFrames(count, seed, SIZE, kinds=("room",))) if count else []


def random_depth(batch=2, height=24, width=20, share=0.1, seed=0):
    """Random depths, measured pixels, and valid ones around them."""
    rng = torch.Generator().manual_seed(seed)
    depth = 2 + 10 * torch.rand(batch, height, width, generator=rng)
    mask = torch.rand(batch, height, width, generator=rng) < share
    mask[:, 0, 0] = True
    valid = mask | (torch.rand(batch, height, width, generator=rng) < 0.8)
    return depth.where(valid, 0), mask, valid


class Stop:
    """Stops a training as an exception would, after a given step."""

    def __init__(self, epoch, step):
        self.at = (epoch, step)

    def step(self, epoch, step, steps, loss):
        if (epoch, step) == self.at:
            raise KeyboardInterrupt

    def epoch(self, record, net):
        pass

"""A problem of seconds: half of every frame is flat, half is rough, and the picture shows which."""

from __future__ import annotations

import torch
from torch.utils.data import Dataset

from mrfmask.depth.frames import Frame
from mrfmask.depth.training.task import Task

HEIGHT, WIDTH = 12, 24


class RoughHalf(Dataset):
    """Frames of 12x24 pixels; the rough half is left or right, and light in the picture."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Frame:
        draws = torch.Generator().manual_seed(1000 * self.seed + index)
        rough = rough_half(self.seed + index)
        blocks = 2 + 8 * torch.rand(HEIGHT // 3, WIDTH // 3, generator=draws)
        depth = blocks.repeat_interleave(3, 0).repeat_interleave(3, 1)
        depth = depth.where(rough, 6.0)
        valid = torch.rand(HEIGHT, WIDTH, generator=draws) < 0.8
        noise = 0.1 * torch.rand(3, HEIGHT, WIDTH, generator=draws)
        picture = noise + 0.2 + 0.6 * rough
        name = f"{self.seed}-{index}"
        return Frame(picture, depth.where(valid, 0.0), valid, name, name)


def rough_half(number: int) -> torch.Tensor:
    """Left in even frames, right in odd ones."""
    left = torch.arange(WIDTH).expand(HEIGHT, -1) < WIDTH // 2
    return left if number % 2 == 0 else ~left


def rough_task(shares: tuple[float, ...] = (0.1,)) -> Task:
    """16 frames to learn from, 8 each to choose by and to test."""
    sides = [RoughHalf(count, seed) for count, seed in ((16, 2), (8, 4), (8, 6))]
    return Task(
        train=sides[0],
        validation=sides[1],
        test=sides[2],
        shares=shares,
        seed=0,
        digest="rough",
    )

"""Random changes of training examples, each a pure function of its seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import Dataset

from mrfmask.learn.images import Example

# Largest zoom into an example, and largest change of its brightness and contrast.
ZOOM, LIGHT = 1.25, 0.2


def stream(*numbers: int) -> int:
    """A seed that mixes numbers, so that neighbouring ones give unlike draws (SplitMix64)."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) % 2**64
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) % 2**64
        state ^= state >> 31
    return state >> 1


def augment(example: Example, draws: torch.Generator, moving: bool = True) -> Example:
    """Mirrors and zooms in by up to ZOOM, mask alike, if `moving`; changes light and contrast."""
    uniform = torch.rand(6, generator=draws).tolist()
    planes = torch.cat([example.picture, example.target[None].float(), example.weights[None]])
    height, width = example.target.shape
    zoom = 1 + uniform[0] * (ZOOM - 1) if moving else 1.0
    rows, columns = max(round(height / zoom), 1), max(round(width / zoom), 1)
    top, left = round(uniform[1] * (height - rows)), round(uniform[2] * (width - columns))
    planes = planes[:, top : top + rows, left : left + columns]
    if moving and uniform[3] < 0.5:
        planes = planes.flip(-1)
    picture = _resize(planes[:3], (height, width), "bilinear")
    target, weights = _resize(planes[3:], (height, width), "nearest-exact")
    contrast, shift = (1 + LIGHT * (2 * u - 1) for u in uniform[4:])
    picture = ((picture - 0.5) * contrast + 0.5 * shift).clamp(0, 1)
    return replace(example, picture=picture, target=target > 0.5, weights=weights)


@dataclass(frozen=True)
class Augmented(Dataset):
    """Some examples of a data set as an epoch sees them.

    Attributes:
        examples: the data set.
        indices: of the examples to be seen.
        seed: of the training.
        epoch: number of the epoch; another one changes the examples otherwise.
        change: ``change(example, draws)`` gives the example as it is to be seen.
    """

    examples: Dataset
    indices: Sequence[int]
    seed: int
    epoch: int
    change: Callable[[Any, torch.Generator], Any] = augment

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> Any:
        index = self.indices[place]
        draws = torch.Generator().manual_seed(stream(self.seed, self.epoch, index))
        return self.change(self.examples[index], draws)


def _resize(planes: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    return interpolate(planes[None], size, mode=mode)[0]

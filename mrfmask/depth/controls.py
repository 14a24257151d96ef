"""Controls: what a density is worth, and how far it could be bettered. None is of practical use."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter
from torch import Tensor

from mrfmask.depth.density_net import PositionPrior
from mrfmask.depth.frames import FrameBatch, Frames
from mrfmask.depth.masking import Masking, Prior
from mrfmask.depth.phases import Phases, buy
from mrfmask.depth.reconstruct import linear
from mrfmask.inference.method import check_count
from mrfmask.learn.augment import stream

# How the ceiling spends its budget: the share bought before any error is known; and in mean
# distances of picks how close two picks of a round may lie, and the standard deviation by which
# errors are smoothed.
FIRST, APART, SMOOTHING = 0.15, 0.5, 0.2


class Control(ABC):
    """Base of the controls; each is a frozen, keyword-only dataclass.

    Attributes:
        name: as it is asked for.
        phased: whether phases change what it buys.
    """

    name: ClassVar[str]
    phased: ClassVar[bool] = True

    @abstractmethod
    def buy(
        self, frames: FrameBatch, count: int, phases: Phases, seed: int = 0
    ) -> Bool[Tensor, "batch height width"]:
        """Spends a budget; arguments as those of `mrfmask.depth.phases.buy`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shuffled(Control):
    """A masking method that is shown the picture of another frame: is it the picture that helps?

    Args:
        masking: the method.
        frames: where pictures are taken from: for each frame always the same one, of another place
            where there is one.
    """

    masking: Masking
    frames: Frames

    name: ClassVar = "shuffled"

    def __post_init__(self) -> None:
        if len(self.frames) < 2:
            raise ValueError(
                f"frames must hold another frame for shuffled; got {len(self.frames)}. Give more."
            )

    def buy(
        self, frames: FrameBatch, count: int, phases: Phases, seed: int = 0
    ) -> Bool[Tensor, "batch height width"]:
        """See `Control`."""
        pictures = [self.frames[self._other(name, seed)].picture for name in frames.names]
        return buy(
            self.masking, replace(frames, picture=torch.stack(pictures)), count, phases, seed
        )

    def _other(self, name: str, seed: int) -> int:
        own = self.frames.names.index(name)
        places = self.frames.places
        others = [index for index, place in enumerate(places) if place != places[own]]
        others = others or [index for index in range(len(places)) if index != own]
        return others[stream(seed, zlib.crc32(name.encode())) % len(others)]


@dataclass(frozen=True, kw_only=True)
class Flat(Control):
    """The long-range model with one density everywhere: what is left without any picture.

    Args:
        exponent: s, see `mm.LongRange`.
    """

    exponent: int = 8

    name: ClassVar = "flat"

    def buy(
        self, frames: FrameBatch, count: int, phases: Phases, seed: int = 0
    ) -> Bool[Tensor, "batch height width"]:
        """See `Control`."""
        # Of one pixel, the map is the same everywhere: 0 in a new one.
        density = Prior(net=PositionPrior(1, 1), exponent=self.exponent)
        return buy(density, frames, count, phases, seed)


@dataclass(frozen=True, kw_only=True)
class Greedy(Control):
    """A ceiling, on average, that knows all depths: buys where linear interpolation is worst.

    Errors are squared and smoothed a little. In a round, picks go to the largest ones at some
    distance from each other; then errors are computed anew.

    Args:
        rounds: >= 1.
    """

    rounds: int = 30

    name: ClassVar = "greedy"
    phased: ClassVar = False

    def __post_init__(self) -> None:
        check_count("rounds", self.rounds, least=1)

    def buy(
        self, frames: FrameBatch, count: int, phases: Phases, seed: int = 0
    ) -> Bool[Tensor, "batch height width"]:
        """See `Control`; phases are not looked at."""
        first = min(max(round(FIRST * count), 1), count)
        mask = Flat().buy(frames, first, Phases(), seed)
        for turn in range(self.rounds):
            total = first + round((count - first) * (turn + 1) / self.rounds)
            fills = linear(frames.depth, mask)
            error = (fills - frames.depth).square().where(frames.valid, 0.0)
            for image, (on, valid) in enumerate(zip(mask, frames.valid, strict=True)):
                apart = (int(valid.sum()) / count) ** 0.5
                smooth = torch.from_numpy(gaussian_filter(error[image].numpy(), SMOOTHING * apart))
                mask[image] = _worst(smooth, on, valid, total, APART * apart)
        return mask


def _worst(
    error: Float[Tensor, "height width"],
    on: Bool[Tensor, "height width"],
    valid: Bool[Tensor, "height width"],
    total: int,
    apart: float,
) -> Bool[Tensor, "height width"]:
    """Adds valid pixels of the largest error, apart from each other as long as any are left."""
    mask, width = on.clone(), on.shape[1]
    rows, columns = (torch.arange(side) for side in on.shape)
    order = torch.where(valid, error, -1.0).flatten().argsort(descending=True, stable=True)
    order = order[(valid & ~on).flatten()[order]].tolist()
    missing, late = total - int(on.sum()), []
    blocked = torch.zeros_like(on)
    for pixel in order:
        if missing == 0:
            break
        row, column = divmod(pixel, width)
        if blocked[row, column]:
            late.append(pixel)
            continue
        mask[row, column] = True
        missing -= 1
        away = (rows[:, None] - row) ** 2 + (columns - column) ** 2
        blocked |= away < apart**2
    mask.view(-1)[late[:missing]] = True
    return mask

"""Completing a depth map of which a given percentage is zeroed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.utils.data import Dataset

from mrfmask.depth.frames import Frame, Frames
from mrfmask.inference.method import check_count
from mrfmask.learn.augment import stream


@dataclass(frozen=True, eq=False)
class Completion:
    """A frame, and which of its depths are known: the others are to be completed.

    Attributes:
        frame: with all depths, for the error.
        given: valid pixels that were not zeroed.
    """

    frame: Frame
    given: Bool[Tensor, "height width"]


class ZeroedFrames(Dataset):
    """Frames, aerial or other, with a percentage of their valid depths zeroed at random.

    Args:
        frames: the whole depth maps; `open_frames` reads them, pictures are not needed.
        percentage: of each frame's valid pixels, in [0, 100]; exactly ``round(percentage / 100 *
            valid)`` of them are zeroed.
        seed: in [0, 2^63); which ones hangs on it, the frame's number and validity.

    Raises:
        TypeError, ValueError: an option is not what it must be.
    """

    def __init__(self, frames: Frames, percentage: float, seed: int = 0) -> None:
        check_count("seed", seed, 0, 2**63 - 1)
        if not 0 <= percentage <= 100:
            raise ValueError(
                f"percentage must lie in 0..100; got {percentage}. 90 zeroes nine of ten pixels."
            )
        self.frames, self.percentage, self.seed = frames, percentage, seed

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Completion:
        frame = self.frames[index]
        places = frame.valid.flatten().nonzero()[:, 0]
        zeroed = round(self.percentage / 100 * len(places))
        draws = torch.Generator().manual_seed(stream(self.seed, index))
        kept = places[torch.randperm(len(places), generator=draws)[zeroed:]]
        given = torch.zeros(frame.valid.numel(), dtype=torch.bool)
        given[kept] = True
        return Completion(frame, given.reshape(frame.valid.shape))

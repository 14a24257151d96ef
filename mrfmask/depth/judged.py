"""Frames to judge by: those that a training on the same data sets has not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from mrfmask.depth.budget import budget_of
from mrfmask.depth.frames import Frame, Frames, JoinedFrames
from mrfmask.depth.sources import open_frames
from mrfmask.depth.splits import split_frames
from mrfmask.inference.method import check_choice

SPLITS = ("test", "all")


class ChosenFrames(Frames):
    """Some frames of a data set.

    Args:
        frames: the data set.
        indices: which.
    """

    def __init__(self, frames: Frames, indices: Sequence[int]) -> None:
        self._frames, self._indices = frames, list(indices)
        self.names = [frames.names[index] for index in self._indices]
        self.places = [frames.places[index] for index in self._indices]
        self.test = frozenset(
            own for own, index in enumerate(self._indices) if index in frames.test
        )
        self.left_out = frames.left_out

    def __getitem__(self, index: int) -> Frame:
        return self._frames[self._indices[index]]


def judged_frames(
    specs: Sequence[str],
    *,
    shares: Sequence[float],
    split: str = "test",
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    notice: Callable[[str], None] = lambda text: None,
    **options: Any,
) -> Frames:
    """Opens data sets and takes their test sides, or all of them.

    Args:
        specs: data sets, see `open_frames`.
        shares: budgets; frames whose valid pixels are fewer than the largest asks for are left out.
        split: "test", the side that `make_task` with the same seed leaves for testing; or "all".
        validation: share of every data set, see `split_frames`.
        test: likewise.
        seed: of the splits and of synthetic frames.
        notice: is told what was left out and why.
        **options: of `open_frames`.

    Raises:
        FileNotFoundError, ValueError: see `open_frames` and `split_frames`; or nothing is left, or
            a budget buys no pixel.
    """
    check_choice("split", split, SPLITS)
    parts, most = [], max(shares)
    for spec in specs:
        frames = open_frames(spec, seed=seed, **options)
        for path, reason in frames.left_out:
            notice(f"Left out {path}: {reason}")
        for share in shares:
            budget_of(torch.ones_like(frames[0].valid), share)
        side = range(len(frames))
        if split == "test":
            side = split_frames(frames, validation, test, seed).test
        kept = [index for index in side if _enough(frames, index, most, notice)]
        if kept:
            parts.append(ChosenFrames(frames, kept))
    if not parts:
        raise ValueError(
            f"--data must hold frames with valid pixels enough for {most:.1%}; got none to judge "
            "by. Lower the budget, or use --split all."
        )
    return parts[0] if len(parts) == 1 else JoinedFrames(parts)


def _enough(frames: Frames, index: int, share: float, notice: Callable[[str], None]) -> bool:
    try:
        budget_of(frames[index].valid, share)
    except ValueError as error:
        notice(f"Left out {frames.names[index]}: {error}")
        return False
    return True

"""What a training of depth networks works on: frames to learn from and frames to choose by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import Dataset, Subset

from mrfmask.depth.budget import budget_of
from mrfmask.depth.checks import check_share
from mrfmask.depth.frames import Frame, JoinedFrames
from mrfmask.depth.sources import open_frames
from mrfmask.depth.splits import split_frames


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """Frames of places that do not meet, and what is to be spent on them.

    Attributes:
        train: frames to learn from.
        validation: frames of other places, or later ones, to choose by.
        test: frames that no training looks at.
        shares: budgets to learn for, shares of all pixels.
        seed: of everything random.
        digest: tells these data, and who gets which of them, from others.
    """

    train: Dataset
    validation: Dataset
    test: Dataset
    shares: tuple[float, ...]
    seed: int
    digest: str


def make_task(
    specs: Sequence[str],
    *,
    shares: tuple[float, ...] = (0.01, 0.05),
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    notice: Callable[[str], None] = lambda text: None,
    **options: Any,
) -> Task:
    """Opens data sets, splits each by itself and joins the sides.

    Names of frames are unique over all data sets, see `JoinedFrames`.

    Args:
        specs: data sets, at least one, see `open_frames`.
        shares: budgets, at least one; frames are left out whose valid pixels are fewer than the
            largest asks for, or that have so few pixels that the smallest buys none.
        validation: share of every data set, see `split_frames`.
        test: likewise.
        seed: of the splits, and of the training.
        notice: is told what was left out and why.
        **options: of `open_frames`.

    Raises:
        TypeError: a share is no number.
        FileNotFoundError, ValueError: a share that is not in (0, 1], no frames for a side that
            should have some; or see `open_frames` and `split_frames`.
    """
    _check(specs, shares)
    parts = [open_frames(spec, seed=seed, **options) for spec in specs]
    frames = JoinedFrames(parts)
    for path, reason in frames.left_out:
        notice(f"Left out {path}: {reason}")
    kept: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    digest = hashlib.sha256()
    first, reason = 0, ""
    for part in parts:
        split = split_frames(part, validation, test, seed)
        for side, indices in kept.items():
            for index in (first + own for own in getattr(split, side)):
                frame = frames[index]
                if few := _too_few(frame, shares):
                    reason = f"Left out {frame.name}: {few}"
                    notice(reason)
                    continue
                indices.append(index)
                digest.update(f"{side} {frame.name} {tuple(frame.depth.shape)}".encode())
                for values in (frame.picture, frame.depth):
                    digest.update(values.numpy().tobytes())
        first += len(part)
    for side, wanted in (("train", True), ("validation", validation > 0)):
        if wanted and not kept[side]:
            raise ValueError(
                f"--data must hold frames for {side} that have pixels enough for the budgets; got "
                f"none. Give more frames, or other budgets. {reason}"
            )
    return Task(
        **{side: Subset(frames, indices) for side, indices in kept.items()},
        shares=tuple(shares),
        seed=seed,
        digest=digest.hexdigest()[:16],
    )


def _check(specs: Sequence[str], shares: Sequence[float]) -> None:
    if isinstance(specs, str) or not specs:
        raise ValueError(f"specs must be a list of data sets; got {specs!r}. Use ['synthetic'].")
    if not shares:
        raise ValueError("shares must name a budget; got none. Use (0.01, 0.05).")
    for share in shares:
        check_share("shares", share)


def _too_few(frame: Frame, shares: Sequence[float]) -> str:
    """Why a budget cannot be had of a frame; empty if all can."""
    try:
        for share in shares:
            budget_of(frame.valid, share)
    except ValueError as error:
        return str(error)
    return ""


@dataclass(frozen=True)
class Repeated(Dataset):
    """A data set as if it had `length` examples: short ones come again, each time changed anew.

    Attributes:
        examples: the data set, not empty.
        length: examples a pass, so that passes of large and small data sets take as long.
    """

    examples: Dataset
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < self.length:
            raise IndexError(f"index must lie in 0..{self.length - 1}; got {index}. See len().")
        return self.examples[index % len(self.examples)]

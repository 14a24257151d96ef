"""What a training of depth networks works on: frames to learn from and frames to choose by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import ConcatDataset, Dataset, Subset

from mrfmask.depth.budget import budget_of
from mrfmask.depth.frames import Frames
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
        digest: tells these data from others.
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

    Args:
        specs: data sets, see `open_frames`.
        shares: budgets; frames whose valid pixels are fewer than the largest asks for are left out.
        validation: share of every data set, see `split_frames`.
        test: likewise.
        seed: of the splits, and of the training.
        notice: is told what was left out and why.
        **options: of `open_frames`.

    Raises:
        FileNotFoundError, ValueError: see `open_frames` and `split_frames`.
    """
    sides: tuple[list[Dataset], ...] = ([], [], [])
    digest = hashlib.sha256()
    for spec in specs:
        frames = open_frames(spec, seed=seed, **options)
        for path, reason in frames.left_out:
            notice(f"Left out {path}: {reason}")
        split = split_frames(frames, validation, test, seed)
        for side, indices in zip(sides, (split.train, split.validation, split.test), strict=True):
            kept = [i for i in indices if _enough(frames, i, max(shares), notice)]
            side.append(Subset(frames, kept))
            for index in kept:
                frame = frames[index]
                digest.update(frame.name.encode())
                for values in (frame.picture, frame.depth):
                    digest.update(values.numpy().tobytes())
    train, held_out, tested = (ConcatDataset(side) for side in sides)
    if not len(train):
        raise ValueError(
            f"--data must hold frames with valid pixels enough for {max(shares):.1%}; got none to "
            "learn from. Lower the budget."
        )
    return Task(
        train=train,
        validation=held_out,
        test=tested,
        shares=shares,
        seed=seed,
        digest=digest.hexdigest()[:16],
    )


def _enough(frames: Frames, index: int, share: float, notice: Callable[[str], None]) -> bool:
    try:
        budget_of(frames[index].valid, share)
    except ValueError as error:
        notice(f"Left out {frames.names[index]}: {error}")
        return False
    return True


@dataclass(frozen=True)
class Repeated(Dataset):
    """A data set as if it had `length` examples: short ones come again, each time changed anew.

    Attributes:
        examples: the data set.
        length: examples a pass, so that passes of large and small data sets take as long.
    """

    examples: Dataset
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        return self.examples[index % len(self.examples)]

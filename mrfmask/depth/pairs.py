"""Frames from pairs of files: a picture and a 16-bit depth map."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mrfmask.depth.frames import Frame, Frames
from mrfmask.depth.maps import UNITS, Size, middle, read_depth, reduce_depth, reduce_picture
from mrfmask.files import PICTURE_SUFFIXES, read_picture
from mrfmask.inference.method import check_choice

IMAGE, DEPTH = "image", "depth"
# What stands for a picture where there is none.
MID_GREY = 0.5


@dataclass(frozen=True)
class Pair:
    """Two files, or a part of them.

    Attributes:
        picture: None for a depth map alone, whose picture is mid-grey.
        depth: 16-bit PNG.
        place: see `Frame`.
        name: see `Frame`.
        cut: which of the squares of `PairFrames`, or None for the middle.
    """

    picture: Path | None
    depth: Path
    place: str
    name: str
    cut: int | None = None


@dataclass(frozen=True)
class Squares:
    """Squares at a picture's lower edge, evenly from its left to its right.

    Attributes:
        side: in pixels.
        count: how many, >= 2.
    """

    side: int
    count: int

    def window(self, height: int, width: int, cut: int) -> tuple[slice, slice]:
        """Rows and columns of a square.

        Raises:
            ValueError: the picture is smaller.
        """
        if height < self.side or width < self.side:
            raise ValueError(
                f"picture must be at least {self.side}x{self.side}; got {height}x{width}. "
                "Take the original."
            )
        left = round(cut * (width - self.side) / (self.count - 1))
        return slice(height - self.side, height), slice(left, left + self.side)


class PairFrames(Frames):
    """Frames read from files when asked for; all are read once to see that they can be.

    Args:
        pairs: the cuts of one pair of files side by side.
        unit: of the depth maps, name in `maps.UNITS`.
        size: (height, width) to reduce to, see `maps`; None keeps the size, which must be one.
        squares: what `Pair.cut` counts.
        test: numbers in `pairs` of those set aside for testing.
        left_out: what the search for pairs left out already.

    Raises:
        ValueError: no such unit, sizes that differ without `size`, or nothing can be used.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        unit: str,
        size: Size | None = None,
        *,
        squares: Squares | None = None,
        test: Iterable[int] = (),
        left_out: Iterable[tuple[str, str]] = (),
    ) -> None:
        check_choice("unit", unit, tuple(UNITS))
        self.unit, self.size, self.squares = unit, size, squares
        self.left_out = list(left_out)
        test, kept, sizes = set(test), [], set()
        groups = itertools.groupby(enumerate(pairs), key=lambda at: (at[1].picture, at[1].depth))
        groups = [list(group) for _, group in groups]
        # Decoders release Python's lock.
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            checks = pool.map(self._check, [[pair for _, pair in group] for group in groups])
            for group, reasons in zip(groups, checks, strict=True):
                for (number, pair), found in zip(group, reasons, strict=True):
                    if isinstance(found, str):
                        self.left_out.append((str(pair.depth), found))
                    else:
                        kept.append((number, pair))
                        sizes.add(found)
        if not kept:
            why = (
                f" The first of {len(self.left_out)}: {self.left_out[0]}." if self.left_out else ""
            )
            raise ValueError(
                f"--data must hold a picture with depth; got none that can be used.{why} See "
                "`open_frames` for what must be there."
            )
        if len(sizes) > 1:
            raise ValueError(
                f"size must be given for frames of different sizes; got {sorted(sizes)[:4]}. "
                "Reduce them all to one."
            )
        self.pairs = [pair for _, pair in kept]
        self.names = [pair.name for pair in self.pairs]
        self.places = [pair.place for pair in self.pairs]
        self.test = frozenset(i for i, (number, _) in enumerate(kept) if number in test)

    def __getitem__(self, index: int) -> Frame:
        """Reads a frame.

        Raises:
            FileNotFoundError, ValueError: the files have changed since.
        """
        pair = self.pairs[index]
        return self._frame(pair, *self._read(pair))

    def _read(self, pair: Pair) -> tuple[Tensor, Tensor]:
        depth = read_depth(pair.depth, self.unit)
        if pair.picture is None:
            return torch.full((3, *depth.shape), MID_GREY), depth
        picture = read_picture(pair.picture)
        if picture.shape[1:] != depth.shape:
            raise ValueError(
                f"depth must have the size of its picture, {tuple(picture.shape[1:])}; got "
                f"{tuple(depth.shape)}. Project it into the picture."
            )
        return picture, depth

    def _frame(self, pair: Pair, picture: Tensor, depth: Tensor) -> Frame:
        if pair.cut is not None:
            rows, columns = self.squares.window(*depth.shape, pair.cut)
        elif self.size is not None:
            rows, columns = middle(*depth.shape, self.size)
        else:
            rows, columns = slice(None), slice(None)
        picture, depth = picture[:, rows, columns], depth[rows, columns]
        if self.size is not None:
            picture, depth = reduce_picture(picture, self.size), reduce_depth(depth, self.size)
        return Frame(picture, depth, depth > 0, pair.place, pair.name)

    def _check(self, group: list[Pair]) -> list[str | Size]:
        """For each cut of two files its size, or why it cannot be used."""
        try:
            planes = self._read(group[0])
        except (OSError, ValueError) as error:
            return [str(error)] * len(group)
        found: list[str | Size] = []
        for pair in group:
            try:
                frame = self._frame(pair, *planes)
            except ValueError as error:
                found.append(str(error))
                continue
            usable = bool(frame.valid.any())
            found.append(tuple(frame.depth.shape) if usable else "no valid depth")
        return found


def folder_frames(root: Path, unit: str, size: Size | None = None) -> PairFrames:
    """Frames of a folder with the folders ``image`` and ``depth``, or ``depth`` alone.

    Files have the same names in both, but for the suffix, and may lie in folders below. The place
    of a file is the folder below or, without one, its name without the number at its end; without
    either, the whole folder is one place.

    Args:
        root: the folder.
        unit: of the depth maps, name in `maps.UNITS`.
        size: (height, width) to reduce to, about the middle; needed where sizes differ.

    Raises:
        FileNotFoundError: there is no folder ``depth``.
        ValueError: as `PairFrames`.
    """
    if not (root / DEPTH).is_dir():
        raise FileNotFoundError(
            f"--data must hold the folder {DEPTH}, and {IMAGE} if there are pictures; got {root}. "
            "Make it, or give an .npz file."
        )
    depths = _by_name(root / DEPTH, (".png",))
    pictures = _by_name(root / IMAGE, PICTURE_SUFFIXES) if (root / IMAGE).is_dir() else None
    pairs, left_out = [], []
    for name in sorted(depths.keys() | (pictures or {}).keys()):
        if name not in depths:
            left_out.append((str(pictures[name]), "no depth of that name"))
        elif pictures is not None and name not in pictures:
            left_out.append((str(depths[name]), "no picture of that name"))
        else:
            picture = None if pictures is None else pictures[name]
            pairs.append(Pair(picture, depths[name], _place(root.name, name), name))
    return PairFrames(pairs, unit, size, left_out=left_out)


def _by_name(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    files = (p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.name[0] != ".")
    return {p.relative_to(folder).with_suffix("").as_posix(): p for p in sorted(files)}


def _place(root: str, name: str) -> str:
    below, _, stem = name.rpartition("/")
    prefix = below or re.sub(r"[ ._-]*\d+$", "", stem)
    return f"{root}/{prefix}" if prefix else root

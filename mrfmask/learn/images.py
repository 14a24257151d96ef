"""Pictures with target masks, from folders or one .npz file, and batches of them."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import Dataset

from mrfmask.files import PICTURE_SUFFIXES, read_picture

IMAGES, MASKS = "images", "masks"
# Grey of a mask above this is foreground, from here to the next it is not to be learned from.
IGNORED_FROM, FOREGROUND_FROM = 0.25, 0.75


@dataclass(frozen=True)
class Example:
    """A picture in [0, 1], its mask, the weights of its pixels, its number in the data set."""

    picture: Float[Tensor, "3 height width"]
    target: Bool[Tensor, "height width"]
    weights: Float[Tensor, "height width"]
    index: Int[Tensor, ""]


class LabelledImages(Dataset):
    """Pictures and their masks, all of one size; decoded when asked for, or in memory.

    Args:
        source: a folder with the folders ``images`` and ``masks``, whose files have the same names
            but for the suffix; or an .npz file with ``rgb`` (N, height, width, 3) uint8 and
            ``mask`` (N, height, width), bool or 0 and 1. In mask pictures black is background,
            white is foreground, and mid-grey (64..191 of 255) is not learned from.
        size: (height, width) to resize to: pictures by antialiased bilinear interpolation, masks by
            taking the nearest pixel. Needed where sizes differ.

        name: what the source is called in messages.

    Attributes:
        left_out: files that cannot be used and why, ``(path, reason)``.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: another kind of file, or nothing in it can be used.
    """

    def __init__(
        self, source: str | os.PathLike, size: tuple[int, int] | None = None, name: str = "data"
    ) -> None:
        self.source, self.size, self.argument = Path(source), size, name
        if size is not None and min(size) < 1:
            raise ValueError(f"size must have sides of at least 1; got {size}. Use (96, 128).")
        self.left_out: list[tuple[str, str]] = []
        if not self.source.exists():
            raise FileNotFoundError(
                f"{name} must name a folder or an .npz file that exists; got {source}. "
                "Check the spelling."
            )
        self._examples: list[Example] | None = None
        self._pairs: list[tuple[Path, Path]] = []
        if self.source.is_dir():
            self._pairs = self._find_pairs()
        elif self.source.suffix.lower() == ".npz":
            self._examples = [_resized(e, size) for e in _read_arrays(self.source)]
        else:
            raise ValueError(
                f"{name} must be a folder or end in .npz; got {source}. See LabelledImages for "
                "what must be in it."
            )

    def __len__(self) -> int:
        return len(self._pairs if self._examples is None else self._examples)

    def __getitem__(self, index: int) -> Example:
        if self._examples is not None:
            return self._examples[index]
        return _resized(_read_pair(*self._pairs[index], index), self.size)

    def name(self, index: int) -> str:
        """What the example is called: the picture's file name, or its number."""
        return f"{index:04d}" if self._examples is not None else self._pairs[index][0].name

    def digest(self) -> str:
        """Tells these data from others: of arrays the values, of files name, size and time."""
        whole = hashlib.sha256()
        for example in self._examples or ():
            for values in (example.picture, example.target, example.weights):
                whole.update(values.contiguous().numpy().tobytes())
        for pair in self._pairs:
            for file in pair:
                found = file.stat()
                whole.update(f"{file.name} {found.st_size} {found.st_mtime_ns}\n".encode())
        return whole.hexdigest()[:16]

    def _find_pairs(self) -> list[tuple[Path, Path]]:
        """Pairs that can be read; the others go to `left_out`."""
        folders = [self.source / name for name in (IMAGES, MASKS)]
        for folder in folders:
            if not folder.is_dir():
                raise FileNotFoundError(
                    f"{self.argument} must hold the folders {IMAGES} and {MASKS}; got "
                    f"{self.source} without {folder.name}. Make it, or give an .npz file."
                )
        pictures, masks = (self._by_stem(folder) for folder in folders)
        pairs, sizes, foreground = [], set(), False
        for stem in sorted(pictures.keys() | masks.keys()):
            if stem not in masks or stem not in pictures:
                alone, other = (pictures, "mask") if stem in pictures else (masks, "picture")
                self.left_out.append((str(alone[stem]), f"no {other} of that name"))
                continue
            try:
                example = _read_pair(pictures[stem], masks[stem], len(pairs))
            except (OSError, ValueError) as error:
                self.left_out.append((str(pictures[stem]), str(error)))
                continue
            sizes.add(tuple(example.target.shape))
            foreground |= bool(example.target.any())
            pairs.append((pictures[stem], masks[stem]))
        if not pairs:
            why = (
                f" The first of {len(self.left_out)}: {self.left_out[0]}." if self.left_out else ""
            )
            raise ValueError(
                f"{self.argument} must hold a picture with a mask; got none in {self.source}.{why} "
                f"Name them alike, e.g. {IMAGES}/a.jpg and {MASKS}/a.png."
            )
        if not foreground:
            raise ValueError(
                f"{self.argument} must hold masks with white pixels; got none above "
                f"{round(FOREGROUND_FROM * 255)} of 255 in {folders[1]}. Write foreground as 255."
            )
        if self.size is None and len(sizes) > 1:
            raise ValueError(
                f"size must be given for pictures of different sizes; got {sorted(sizes)[:4]} in "
                f"{self.source}. Choose one, e.g. 128x128."
            )
        return pairs

    def _by_stem(self, folder: Path) -> dict[str, Path]:
        """Pictures of a folder; a second one of the same name is left out."""
        found: dict[str, Path] = {}
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") or path.suffix.lower() not in PICTURE_SUFFIXES:
                continue
            if found.setdefault(path.stem, path) is not path:
                self.left_out.append((str(path), f"{found[path.stem].name} has the same name"))
        return found


def collate(examples: Sequence[Example]) -> Example:
    """Examples of one size as a batch."""
    return Example(*(torch.stack([getattr(e, f.name) for e in examples]) for f in fields(Example)))


def _read_pair(picture_path: Path, mask_path: Path, index: int) -> Example:
    picture, grey = read_picture(picture_path), read_picture(mask_path).mean(dim=0)
    if grey.shape != picture.shape[1:]:
        raise ValueError(
            f"mask must have the size of its picture {tuple(picture.shape[1:])}; got "
            f"{tuple(grey.shape)} in {mask_path}. Make it again from the picture."
        )
    known = (grey < IGNORED_FROM) | (grey > FOREGROUND_FROM)
    return Example(picture, grey > FOREGROUND_FROM, known.float(), torch.tensor(index))


def _read_arrays(path: Path) -> list[Example]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            rgb, mask = arrays["rgb"], arrays["mask"]
    except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"data must be an .npz file with the arrays rgb and mask; got {path}: {error}. "
            "Save it with np.savez(path, rgb=..., mask=...)."
        ) from error
    if rgb.dtype != np.uint8 or rgb.ndim != 4 or rgb.shape[3] != 3 or rgb.size == 0:
        raise ValueError(
            f"rgb must be uint8 of shape (N, height, width, 3); got {rgb.dtype} of shape "
            f"{rgb.shape} in {path}. Convert it."
        )
    if mask.shape != rgb.shape[:3] or not np.isin(mask, (0, 1)).all():
        raise ValueError(
            f"mask must be 0 or 1 of shape {rgb.shape[:3]}; got {mask.dtype} of shape {mask.shape} "
            f"in {path}. Use mask > 0."
        )
    pictures = torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255
    targets = torch.from_numpy(mask.astype(bool))
    return [
        Example(picture, target, torch.ones(target.shape), torch.tensor(index))
        for index, (picture, target) in enumerate(zip(pictures, targets, strict=True))
    ]


def _resized(example: Example, size: tuple[int, int] | None) -> Example:
    if size is None or size == tuple(example.target.shape):
        return example
    picture = interpolate(example.picture[None], size, mode="bilinear", antialias=True)[0]
    labels = torch.stack([example.target.float(), example.weights])
    target, weights = interpolate(labels[None], size, mode="nearest-exact")[0]
    return replace(example, picture=picture.clamp(0, 1), target=target > 0.5, weights=weights)

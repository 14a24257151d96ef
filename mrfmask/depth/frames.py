"""Pictures with depth: one frame, a batch of them, data sets of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils.data import Dataset


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture and the depth behind its pixels.

    Attributes:
        picture: red, green, blue in [0, 1].
        depth: metres along the camera's axis, float32; 0 where there is no measurement.
        valid: where there is one.
        place: where it was taken; frames of a place are alike and go to one side of a split.
        name: tells it from all others of a data set; ``#n`` at its end counts cuts of one picture.

    Raises:
        TypeError: another dtype.
        ValueError: shapes that differ, a valid depth that is not above 0 and finite, another one
            that is not 0.
    """

    picture: Float[Tensor, "3 height width"]
    depth: Float[Tensor, "height width"]
    valid: Bool[Tensor, "height width"]
    place: str
    name: str

    def __post_init__(self) -> None:
        kinds = {"picture": torch.float32, "depth": torch.float32, "valid": torch.bool}
        for name, kind in kinds.items():
            dtype = getattr(self, name).dtype
            if dtype != kind:
                raise TypeError(f"{name} must be {kind}; got {dtype}. Call .to({kind}).")
        if self.depth.dim() != 2 or self.picture.shape != (3, *self.depth.shape):
            raise ValueError(
                f"picture must have shape (3, height, width) with those of depth; got "
                f"{tuple(self.picture.shape)} and {tuple(self.depth.shape)}. Resize one of them."
            )
        if self.valid.shape != self.depth.shape:
            raise ValueError(
                f"valid must have the shape of depth, {tuple(self.depth.shape)}; got "
                f"{tuple(self.valid.shape)}. Use depth > 0."
            )
        good = torch.where(self.valid, (self.depth > 0) & self.depth.isfinite(), self.depth == 0)
        if not good.all():
            where = tuple((~good).nonzero()[0].tolist())
            raise ValueError(
                f"depth must be above 0 and finite where valid, else 0; got "
                f"{self.depth[where].item()} at {where}. Use depth.where(valid, 0)."
            )


@dataclass(frozen=True, eq=False)
class FrameBatch:
    """Frames of one size, stacked; the fields are those of `Frame`."""

    picture: Float[Tensor, "batch 3 height width"]
    depth: Float[Tensor, "batch height width"]
    valid: Bool[Tensor, "batch height width"]
    places: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def to(self, device: torch.device | str) -> FrameBatch:
        """The same batch on a device."""
        tensors = (t.to(device) for t in (self.picture, self.depth, self.valid))
        return FrameBatch(*tensors, self.places, self.names)


def collate_frames(frames: Sequence[Frame]) -> FrameBatch:
    """Frames of one size as a batch."""
    return FrameBatch(
        torch.stack([f.picture for f in frames]),
        torch.stack([f.depth for f in frames]),
        torch.stack([f.valid for f in frames]),
        tuple(f.place for f in frames),
        tuple(f.name for f in frames),
    )


class Frames(Dataset, ABC):
    """A data set of frames of one size.

    Attributes:
        names: of the frames, see `Frame`; known without reading them.
        places: of the frames.
        test: indices that those who made the data set aside for testing; empty if none are.
        left_out: what cannot be used and why, ``(path, reason)``.
    """

    names: list[str]
    places: list[str]
    test: frozenset[int]
    left_out: list[tuple[str, str]]

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def __getitem__(self, index: int) -> Frame:
        """Reads or makes a frame."""


class JoinedFrames(Frames):
    """Several data sets, one after the other.

    Args:
        parts: at least one; their frames have one size. Where a part has a name of an earlier one,
            all of its names get its number in front.

    Raises:
        ValueError: sizes differ.
    """

    def __init__(self, parts: Sequence[Frames]) -> None:
        self.parts = list(parts)
        sizes = {tuple(part[0].depth.shape) for part in self.parts}
        if len(sizes) > 1:
            raise ValueError(
                f"size must be given for data sets of different sizes; got {sorted(sizes)}. "
                "Reduce them all to one."
            )
        self._at = [(part, index) for part in self.parts for index in range(len(part))]
        self.names, self.places, test = [], [], set()
        self.left_out = [pair for part in self.parts for pair in part.left_out]
        seen: set[str] = set()
        for number, part in enumerate(self.parts):
            again = not seen.isdisjoint(part.names)
            test |= {len(self.names) + index for index in part.test}
            self.names += [f"{number}/{name}" if again else name for name in part.names]
            self.places += part.places
            seen |= set(part.names)
        self.test = frozenset(test)

    def __getitem__(self, index: int) -> Frame:
        part, own = self._at[index]
        frame = part[own]
        return Frame(frame.picture, frame.depth, frame.valid, self.places[index], self.names[index])

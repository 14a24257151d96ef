"""What every masking method is: it looks at pictures and says which depths to buy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar
from zlib import crc32

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mrfmask.checks import check_mask
from mrfmask.depth.checks import check_depth, check_share
from mrfmask.depth.frames import FrameBatch
from mrfmask.inference.method import check_count
from mrfmask.learn.augment import stream


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """What a masking method sees of a batch of frames: no depth but what was bought.

    Attributes:
        picture: RGB in [0, 1].
        valid: where depth can be bought.
        taken: bought already, valid pixels.
        log_weight: what the depths bought so far ask for, as a logarithm of the wanted density of
            picks; finite, 0 everywhere before any was bought.
        trust: factor of what the picture asks for, in [0, 1]; less in later phases.
        seeds: of random numbers, one int an image.

    Raises:
        TypeError: a field of another kind.
        ValueError: shapes or devices that differ, a taken pixel that is not valid, or a number out
            of its range.
    """

    picture: Float[Tensor, "batch 3 height width"]
    valid: Bool[Tensor, "batch height width"]
    taken: Bool[Tensor, "batch height width"]
    log_weight: Float[Tensor, "batch height width"]
    trust: float
    seeds: Sequence[int]

    def __post_init__(self) -> None:
        check_depth("log_weight", self.log_weight)
        shape, device = tuple(self.log_weight.shape), self.log_weight.device
        check_mask("valid", self.valid, shape, device)
        check_mask("taken", self.taken, shape, device)
        if self.picture.shape != (shape[0], 3, *shape[1:]):
            raise ValueError(
                f"picture must have shape {(shape[0], 3, *shape[1:])}; got "
                f"{tuple(self.picture.shape)}. It goes with the masks."
            )
        wrong = self.taken & ~self.valid
        if wrong.any():
            raise ValueError(
                f"taken must lie on valid pixels; got {tuple(wrong.nonzero()[0].tolist())}, which "
                "is not. No depth could have been bought there."
            )
        if not self.log_weight.isfinite().all():
            raise ValueError(
                "log_weight must be finite; got NaN or infinity. Check what computed it."
            )
        check_share("trust", self.trust)
        if len(self.seeds) != shape[0]:
            raise ValueError(
                f"seeds must have one int for each of {shape[0]} images; got {len(self.seeds)}. "
                "Use first_view."
            )


def first_view(frames: FrameBatch, seed: int = 0) -> View:
    """What is seen before anything is bought; draws hang on `seed` and the frames' names alone.

    Raises:
        TypeError: `frames` is no batch.
    """
    if not isinstance(frames, FrameBatch):
        raise TypeError(
            f"frames must be a FrameBatch; got {type(frames).__name__}. Use collate_frames."
        )
    return View(
        picture=frames.picture,
        valid=frames.valid,
        taken=torch.zeros_like(frames.valid),
        log_weight=torch.zeros_like(frames.depth),
        trust=1.0,
        seeds=[stream(seed, crc32(name.encode())) for name in frames.names],
    )


class Masking(ABC):
    """Base of the masking methods; each is a frozen, keyword-only dataclass of options.

    Those that learn hold a network in the field ``net``.

    Attributes:
        name: its key in MASKINGS.
        net_class: class of the field ``net``; None for methods without one.
        budgeted: whether it buys as many pixels as it is told to.
    """

    name: ClassVar[str]
    net_class: ClassVar[type[nn.Module] | None] = None
    budgeted: ClassVar[bool] = True

    def __call__(self, view: View, count: int) -> Bool[Tensor, "batch height width"]:
        """The pixels to have bought afterwards: those taken, and valid ones up to `count`.

        Args:
            view: what is seen.
            count: pixels on in every image, taken ones included, >= 1.

        Raises:
            TypeError: `view` is no View, or `count` no int.
            ValueError: an image has fewer valid pixels, or more taken ones.
            RuntimeError: the method broke the promise, a bug.
        """
        check_view(view, count)
        mask = self._choose(view, count)
        wrong = (mask & ~view.valid) | (view.taken & ~mask)
        if wrong.any() or (self.budgeted and (mask.sum((1, 2)) != count).any()):
            raise RuntimeError(
                f"{self.name} must keep the budget, the taken and the valid pixels; got "
                f"{mask.sum((1, 2)).tolist()} of {count}. This is a bug: please report it."
            )
        return mask

    @abstractmethod
    def _choose(self, view: View, count: int) -> Bool[Tensor, "batch height width"]:
        """The mask of every image, taken pixels included."""

    def options(self) -> dict[str, Any]:
        """The fields but for the network: what JSON can hold."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "net"}


def check_view(view: Any, count: Any) -> None:
    """Raises unless `view` is a View in which `count` pixels of every image can be on."""
    if not isinstance(view, View):
        raise TypeError(f"view must be a View; got {type(view).__name__}. Use first_view(frames).")
    check_count("count", count, least=1)
    least, most = int(view.taken.sum((1, 2)).max()), int(view.valid.sum((1, 2)).min())
    if not least <= count <= most:
        raise ValueError(
            f"count must lie between the pixels taken and the valid ones, {least}..{most}; got "
            f"{count}. Change the budget, or leave frames out."
        )

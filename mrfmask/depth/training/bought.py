"""Frames of which some pixels have been bought: what networks that look at depth learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils.data import Dataset

from mrfmask.depth.augment import augment_frame
from mrfmask.depth.budget import budget_of, measure
from mrfmask.depth.buyer import Buyer
from mrfmask.depth.frames import Frame, FrameBatch, collate_frames
from mrfmask.depth.reconstruct import Fills, fill

LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Bought:
    """Frames, what was bought of them, and what the linear and nearest fill make of it."""

    frames: FrameBatch
    mask: Bool[Tensor, "batch height width"]
    fills: Fills

    @property
    def measured(self) -> Float[Tensor, "batch height width"]:
        """The depths bought, 0 elsewhere."""
        return measure(self.frames.depth, self.frames.valid, self.mask)

    def mirrored(self) -> Bought:
        """The same with left and right exchanged, fills too: they need not be computed again."""
        frames = self.frames
        sides = (frames.picture.flip(-1), frames.depth.flip(-1), frames.valid.flip(-1))
        return Bought(
            FrameBatch(*sides, frames.places, frames.names),
            self.mask.flip(-1),
            self.fills.map(lambda values: values.flip(-1)),
        )


def buy_of(frame: Frame, buyer: Buyer, share: float, seed: int) -> Bought:
    """A frame after a share of its pixels was bought, as a batch of one."""
    frames = collate_frames([frame])
    mask = buyer(frames, budget_of(frame.valid, share), seed)
    return Bought(frames, mask, fill(frames.depth, mask))


def collate_bought(parts: Sequence[Bought]) -> Bought:
    """Frames of one size as a batch."""
    frames, fills = [p.frames for p in parts], [p.fills for p in parts]
    names = ("nearest", "linear", "distance")
    return Bought(
        FrameBatch(
            torch.cat([f.picture for f in frames]),
            torch.cat([f.depth for f in frames]),
            torch.cat([f.valid for f in frames]),
            tuple(place for f in frames for place in f.places),
            tuple(name for f in frames for name in f.names),
        ),
        torch.cat([p.mask for p in parts]),
        Fills(**{name: torch.cat([getattr(f, name) for f in fills]) for name in names}),
    )


@dataclass(frozen=True)
class BuyAnew:
    """Augments a frame and buys of it, by a buyer and for a share that are drawn.

    A frame that a zoom has left with too few valid pixels is taken as it was. Every frame comes
    with its mirror image, as buying takes longer than looking at what was bought.

    Attributes:
        buyers: equally likely.
        shares: of all pixels, equally likely; each frame has that many valid ones.
    """

    buyers: tuple[Buyer, ...]
    shares: tuple[float, ...]

    def __call__(self, frame: Frame, draws: torch.Generator) -> Bought:
        """The example that a training sees: a pure function of frame and draws."""
        seed, buyer, share = torch.randint(LARGEST_SEED, (3,), generator=draws).tolist()
        share = self.shares[share % len(self.shares)]
        changed = augment_frame(frame, draws)
        if changed.valid.sum() < budget_of(frame.valid, share):
            changed = frame
        bought = buy_of(changed, self.buyers[buyer % len(self.buyers)], share, seed)
        return collate_bought([bought, bought.mirrored()])


def buy_some(frames: Dataset, buyers: Sequence[Buyer], share: float, most: int) -> list[Bought]:
    """Frames as they are with masks that never change, to judge by.

    Args:
        frames: which.
        buyers: take turns, so that few frames are bought of by many and many frames by some.
        share: of all pixels.
        most: examples, at most; one for each frame and buyer is all there are.
    """
    count = min(most, len(frames) * len(buyers))
    examples = []
    for k in range(count):
        turn, frame = divmod(k, len(frames))
        buyer = buyers[(frame + turn) % len(buyers)]
        examples.append(buy_of(frames[frame], buyer, share, seed=k))
    return examples

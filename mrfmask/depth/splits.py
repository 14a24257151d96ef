"""Which frames are for training, validation and testing: whole places, never neighbours."""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from dataclasses import dataclass

from mrfmask.depth.frames import Frames
from mrfmask.inference.method import check_count
from mrfmask.learn.augment import stream

# Where a place must be cut: the share of its moments between the sides that no side gets.
GAP = 0.1
_NUMBER = re.compile(r"\d+$")


@dataclass(frozen=True)
class Split:
    """Indices of frames; no two of the three share a place, but see `split_frames`.

    Attributes:
        train: for learning.
        validation: for choosing.
        test: for telling how good it is.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def split_frames(
    frames: Frames, validation: float = 0.15, test: float = 0.15, seed: int = 0
) -> Split:
    """Splits frames by place, the same way in every run.

    Places come in an order that hangs on `seed` and their names alone; each goes to the test side
    if that does not grow beyond its share, else to validation likewise, else to training. Where no
    whole place fits a side, the largest one is cut in time: its last moments are held out, and the
    moments before them, a tenth of the place, go to no side. Frames that the data set itself sets
    aside for testing are the test side, whole.

    Args:
        frames: the data set.
        validation: share of the frames, in [0, 1).
        test: share of the frames, in [0, 1), where the data set sets none aside.
        seed: of the order of places, in [0, 2^63).

    Raises:
        TypeError, ValueError: an option is not what it must be, or the frames are too few.
    """
    check_count("seed", seed, 0, 2**63 - 1)
    shares = {"test": 0.0 if frames.test else test, "validation": validation}
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise ValueError(f"{name} must lie in [0, 1); got {share}. 0.15 is usual.")
    if sum(shares.values()) >= 1:
        raise ValueError(
            f"validation must leave frames for training; got {validation} beside test {test}. "
            "Lower one of them."
        )
    tested = {frames.places[index] for index in frames.test}
    places: dict[str, list[int]] = defaultdict(list)
    for index, place in enumerate(frames.places):
        if place not in tested:
            places[place].append(index)
    total = sum(map(len, places.values()))
    sides = {"test": sorted(frames.test)}
    for name, share in shares.items():
        if share > 0:
            sides[name] = _take(frames, places, share * total, seed)
    train = sorted(index for indices in places.values() for index in indices)
    if not train:
        raise ValueError(
            f"--data must hold frames for training; got {len(frames)} frames, all held out. "
            "Give more places."
        )
    return Split(tuple(train), tuple(sides.get("validation", ())), tuple(sides["test"]))


def _take(frames: Frames, places: dict[str, list[int]], most: float, seed: int) -> list[int]:
    """Takes up to `most` frames out of `places`, whole ones if any fits."""
    taken: list[int] = []
    for place in sorted(places, key=lambda p: stream(seed, zlib.crc32(p.encode()))):
        if len(taken) + len(places[place]) <= most and len(places) > 1:
            taken += places.pop(place)
    return sorted(taken) if taken else _cut(frames, places, most)


def _cut(frames: Frames, places: dict[str, list[int]], most: float) -> list[int]:
    """The last moments of the largest place, which loses them and a gap before them."""
    largest = max(places, key=lambda place: (len(places[place]), place), default=None)
    if largest is None:
        return []
    moments: dict[tuple[int, str], list[int]] = defaultdict(list)
    for index in places[largest]:
        moments[_moment(frames.names[index])].append(index)
    order = sorted(moments)
    held: list[int] = []
    last = len(order)
    while last > 0 and (not held or len(held) + len(moments[order[last - 1]]) <= most):
        last -= 1
        held += moments[order[last]]
    first = max(0, last - max(1, round(GAP * len(order))))
    if first == 0:
        raise ValueError(
            f"--data must hold a place or moments enough to hold out; got {len(frames)} frames in "
            f"{len(set(frames.places))} places. Give more, or set the shares of the split to 0."
        )
    places[largest] = [index for moment in order[:first] for index in moments[moment]]
    return sorted(held)


def _moment(name: str) -> tuple[int, str]:
    """When a frame was taken: the number that its name ends with, before the cut's."""
    frame = name.partition("#")[0]
    number = _NUMBER.search(frame)
    return (int(number[0]), "") if number else (-1, frame)

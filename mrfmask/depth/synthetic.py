"""Frames of rooms and streets that never were."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch

from mrfmask.depth.frames import Frame, Frames
from mrfmask.depth.maps import Size
from mrfmask.depth.raycast import Camera
from mrfmask.depth.render import View, render
from mrfmask.depth.rooms import room
from mrfmask.depth.streets import street
from mrfmask.inference.method import check_choice, check_count

KINDS = {"room": room, "street": street}
# A camera inside of a cupboard, or before a wall, shows nothing to learn from.
LEAST_VALID, LEAST_MEDIAN = 0.15, 0.6
# Structured light: reach in metres differs among sensors, distance of projector and camera.
ROOM_REACH, BASELINE = (4.0, 8.0), 0.15
# A spinning scanner: reach in metres, highest and lowest beam and their distance in degrees.
STREET_REACH, HIGHEST, LOWEST, BEAMS = 80.0, 2.0, -24.8, 0.42
# Flatter than this (a cosine), too little light comes back.
FLATTEST = 0.12
# Shares of measurements that fail: anywhere in rooms and in streets, and on dark surfaces.
LOST_ROOM, LOST_STREET, LOST_DARK = 0.02, 0.12, 0.85
# Standard deviation of the picture's noise.
GRAIN = 0.012


class SyntheticFrames(Frames):
    """Ray-cast rooms and streets; depth is exact, some of it is not measured.

    In rooms a structured-light sensor sees nothing beyond 4 to 8 m, nor on surfaces seen flat, nor,
    mostly, on dark ones, nor beside near things, where its projector does not reach. In streets a
    spinning scanner measures along its beams, up to 80 m. Frame `index` is a pure function of
    `seed`, `index`, `kinds` and `size`; each has a place of its own.

    Args:
        count: frames, >= 1.
        seed: in [0, 2^63).
        size: (height, width) in pixels, each >= 1.
        kinds: of scenes, names in KINDS; they take turns.

    Raises:
        TypeError, ValueError: an option is not what it must be.
    """

    def __init__(
        self,
        count: int,
        seed: int = 0,
        size: Size = (100, 100),
        kinds: tuple[str, ...] = ("room", "street"),
    ) -> None:
        check_count("count", count, 1)
        check_count("seed", seed, 0, 2**63 - 1)
        for side in size:
            check_count("size", side, 1)
        for kind in kinds:
            check_choice("kinds", kind, tuple(KINDS))
        self.seed, self.size, self.kinds = seed, size, kinds
        self.names = [f"{kinds[index % len(kinds)]}-{seed}-{index}" for index in range(count)]
        self.places, self.test, self.left_out = list(self.names), frozenset(), []

    def __getitem__(self, index: int) -> Frame:
        """Makes a frame: some 30 ms for 100x100 pixels.

        Raises:
            IndexError: there are fewer frames.
        """
        name = self.names[index]
        index %= len(self)
        kind = self.kinds[index % len(self.kinds)]
        for attempt in itertools.count():
            draws = np.random.default_rng([self.seed, index, attempt])
            scene = KINDS[kind](draws)
            view = render(scene, *self.size)
            sensed = _scanner if kind == "street" else _structured_light
            valid = sensed(view, scene.camera, self.size, draws)
            if valid.mean() >= LEAST_VALID and np.median(view.depth) >= LEAST_MEDIAN:
                break
        valid = torch.from_numpy(valid.reshape(self.size))
        depth = torch.from_numpy(view.depth.reshape(self.size).astype(np.float32))
        picture = view.picture + GRAIN * draws.standard_normal(view.picture.shape)
        picture = torch.from_numpy(picture.clip(0, 1).astype(np.float32))
        picture = picture.reshape(*self.size, 3).permute(2, 0, 1).contiguous()
        return Frame(picture, depth.where(valid, 0.0), valid, name, name)


def _structured_light(
    view: View, camera: Camera, size: Size, draws: np.random.Generator
) -> np.ndarray:
    """Where a camera with a projector at its side measures."""
    depth = view.depth.reshape(size)
    pixels = size[1] / (2 * camera.half_width) * BASELINE
    # The column in the projector's picture; what is behind a further one lies in shadow.
    column = np.arange(size[1]) + pixels / depth
    before = np.maximum.accumulate(column, axis=1)
    seen = (column >= before - 0.5).ravel()
    lost = draws.random(depth.size) < np.where(view.dark, LOST_DARK, LOST_ROOM)
    return seen & (view.depth < draws.uniform(*ROOM_REACH)) & (view.facing > FLATTEST) & ~lost


def _scanner(view: View, camera: Camera, size: Size, draws: np.random.Generator) -> np.ndarray:
    """Where a scanner at the camera measures: pixels that one of its beams passes through."""
    row = np.arange(size[0] + 1) - size[0] / 2
    edge = camera.tilt - np.arctan(row * 2 * camera.half_width / size[1])
    # How many beams, less one, lie below the edges between rows.
    beam = np.floor((np.degrees(edge) - LOWEST) / BEAMS)
    beam = beam.clip(-1, math.floor((HIGHEST - LOWEST) / BEAMS))
    met = np.repeat(beam[:-1] > beam[1:], size[1])
    lost = draws.random(view.depth.size) < np.where(view.dark, LOST_DARK, LOST_STREET)
    return met & (view.depth < STREET_REACH) & (view.facing > FLATTEST / 4) & ~lost

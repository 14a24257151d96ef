"""What a scene holds, and random choices to make one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mrfmask.depth.raycast import Camera, Light, Shape
from mrfmask.depth.textures import Colour, Pattern, Texture


class Scene(NamedTuple):
    """What a camera sees.

    Attributes:
        shapes: all of them.
        solid: those that cast shadows.
        light: the only one.
        camera: where it is seen from.
        sky: colour of what no ray hits.
    """

    shapes: list[Shape]
    solid: list[Shape]
    light: Light
    camera: Camera
    sky: Colour


@dataclass
class Draws:
    """Random choices of a scene, one after the other."""

    random: np.random.Generator

    def between(self, low: float, high: float) -> float:
        """A number, evenly spread."""
        return float(self.random.uniform(low, high))

    def chance(self, share: float) -> bool:
        """True in that share of cases."""
        return bool(self.random.random() < share)

    def one(self, *options: Any) -> Any:
        """One of them, all alike."""
        return options[self.random.integers(len(options))]

    def colour(self, low: float = 0.1, high: float = 0.9, vivid: float = 0.5) -> Colour:
        """A colour of a grey level within bounds, `vivid` of the way to pure."""
        grey, hue = self.between(low, high), self.random.uniform(0.1, 1, 3)
        return tuple(grey * ((1 - vivid) + vivid * hue / hue.max()))

    def texture(
        self, *patterns: Pattern, size: tuple[float, float], dark: float = 0.0, **colour: float
    ) -> Texture:
        """One of the patterns in two shades of a colour.

        Args:
            patterns: to choose from.
            size: the smallest and the largest, metres.
            dark: share that is dark to the eye and to a depth sensor.
            colour: as for `colour`, of those that are not.
        """
        dark = self.chance(dark)
        first = self.colour(0.03, 0.1) if dark else self.colour(**colour)
        other = tuple(min(1.0, self.between(0.5, 1.4) * c) for c in first)
        key = int(self.random.integers(2**31))
        return Texture(first, other, self.one(*patterns), self.between(*size), key, dark)

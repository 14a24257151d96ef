"""Colours of surfaces: a few patterns, each a pure function of the place on the surface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

Pattern = Literal["plain", "checks", "stripes", "bricks", "planks", "cloudy", "windows", "road"]
Colour = tuple[float, float, float]
# Half the widths of a lane and of a painted line in metres.
LANE, LINE = 1.75, 0.08


@dataclass(frozen=True)
class Texture:
    """Two colours and how they alternate.

    Attributes:
        colour: of most of the surface; red, green, blue in [0, 1].
        other: of the rest.
        pattern: how they alternate.
        size: of the pattern's parts in metres, > 0.
        key: chooses among patterns of the same kind.
        dark: whether a depth sensor gets hardly any light back.
    """

    colour: Colour
    other: Colour = (0.0, 0.0, 0.0)
    pattern: Pattern = "plain"
    size: float = 1.0
    key: int = 0
    dark: bool = False

    def colours(
        self, place: Float[np.ndarray, "points 2"], blur: Float[np.ndarray, " points"]
    ) -> Float[np.ndarray, "points 3"]:
        """Colours at places of the surface.

        Args:
            place: metres along the surface.
            blur: metres of the surface that a pixel sees; where that is more than the pattern's
                parts, the pattern fades into its mean, as it does in a real picture.
        """
        share = _SHARES[self.pattern](place / self.size, self.key)
        if self.pattern != "plain":
            clear = np.clip(2 - 2 * blur / self.size, 0, 1)
            share = _MEANS[self.pattern] * (1 - clear) + share * clear
        first, second = np.array(self.colour), np.array(self.other)
        return first + share[:, None] * (second - first)


def noise(
    x: Int[np.ndarray, " points"], y: Int[np.ndarray, " points"], key: int
) -> Float[np.ndarray, " points"]:
    """Numbers in [0, 1) that look random, one for each pair of integers and key."""
    mixed = x.astype(np.uint32) * np.uint32(0x9E3779B1) ^ y.astype(np.uint32) * np.uint32(
        0x85EBCA77
    )
    mixed = (mixed ^ np.uint32(key % 2**32) ^ (mixed >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    mixed = (mixed ^ (mixed >> np.uint32(12))) * np.uint32(0x297A2D39)
    return (mixed ^ (mixed >> np.uint32(15))) / 2.0**32


def cloudy(place: Float[np.ndarray, "points 2"], key: int) -> Float[np.ndarray, " points"]:
    """Smooth noise in [0, 1] of two octaves, the coarser with cells of side 1."""
    total = np.zeros(len(place))
    for octave, weight in ((1, 0.65), (3, 0.35)):
        scaled = place * octave
        corner = np.floor(scaled).astype(np.int64)
        part = scaled - corner
        part = part * part * (3 - 2 * part)
        for dx in (0, 1):
            for dy in (0, 1):
                near = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1])
                total += weight * near * noise(corner[:, 0] + dx, corner[:, 1] + dy, key + octave)
    return total


def _plain(place, key):
    return np.zeros(len(place))


def _checks(place, key):
    return np.floor(place).sum(axis=1) % 2


def _stripes(place, key):
    return np.floor(place[:, 0]) % 2


def _bricks(place, key):
    row = np.floor(2.5 * place[:, 1])
    column = place[:, 0] + 0.5 * (row % 2)
    mortar = (2.5 * place[:, 1] - row < 0.15) | (column % 1 < 0.06)
    tint = noise(np.floor(column).astype(np.int64), row.astype(np.int64), key)
    return np.where(mortar, 1.0, 0.3 * tint)


def _planks(place, key):
    row = np.floor(place[:, 1])
    column = np.floor(place[:, 0] / 8 + 0.37 * row)
    gap = place[:, 1] - row < 0.08
    return np.where(gap, 1.0, 0.6 * noise(row.astype(np.int64), column.astype(np.int64), key))


def _windows(place, key):
    across, up = place[:, 0] % 1, (place[:, 1] / 1.2) % 1
    return ((np.abs(across - 0.5) < 0.26) & (np.abs(up - 0.5) < 0.3)).astype(float)


def _road(place, key):
    """A dashed line in the middle, whole ones beside; the rest is rough."""
    across = np.abs(place[:, 0])
    dashed = (across < LINE) & (place[:, 1] % 6 < 3)
    line = dashed | (np.abs(across - 2 * LANE) < LINE)
    return np.where(line, 1.0, 0.25 * cloudy(place * 1.5, key))


_SHARES = {
    "plain": _plain,
    "checks": _checks,
    "stripes": _stripes,
    "bricks": _bricks,
    "planks": _planks,
    "cloudy": cloudy,
    "windows": _windows,
    "road": _road,
}
# Of the other colour, over a large surface.
_MEANS = {
    "checks": 0.5,
    "stripes": 0.5,
    "bricks": 0.35,
    "planks": 0.36,
    "cloudy": 0.5,
    "windows": 0.31,
    "road": 0.14,
}

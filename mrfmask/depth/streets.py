"""Streets between houses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mrfmask.depth.raycast import Box, Camera, Level, Light, Shape, Sphere
from mrfmask.depth.scenes import Draws, Scene
from mrfmask.depth.textures import LANE, Texture

# Metres: a street is built up to here, and houses stand this far from its middle.
STREET_END, HOUSES_FROM = 110.0, 8.0


def street(random: np.random.Generator) -> Scene:
    """A street between houses, with cars, trees and people, seen from a car."""
    draw = Draws(random)
    grey = draw.between(0.25, 0.4)
    road = Texture((grey, grey, grey), (0.85, 0.85, 0.8), "road")
    paving = Texture((0.55, 0.53, 0.5), (0.4, 0.4, 0.4), "bricks", 0.8, 3)
    shell: list[Shape] = [Level(0.0, road)]
    solid: list[Shape] = []
    for side in (-1, 1):
        kerb, house = 2 * LANE + draw.between(0.3, 2.5), HOUSES_FROM + draw.between(-1.5, 4)
        width, far = 30.0, STREET_END / 2
        shell.append(Box((side * (kerb + width), 0.0, far), (width, 0.14, far + 10), paving))
        solid += _houses(draw, side, house)
        solid += _row(draw, side, kerb + 0.7, _tree, (6, 18), share=0.7)
        solid += _row(draw, side, kerb + 0.4, _post, (15, 30), share=0.5)
        solid += _row(draw, side, kerb + 1.6, _person, (8, 30), share=0.7)
        solid += _row(draw, side, kerb - 1.1, _car, (6, 16), share=0.6)
    solid += _row(draw, 1, LANE, _car, (12, 40), share=0.6)
    solid += _row(draw, -1, LANE, _car, (10, 40), share=0.6)
    light = Light(
        (draw.between(-1, 1), draw.between(0.5, 1.5), draw.between(-1, 0.6)),
        True,
        draw.between(0.5, 0.9),
        draw.between(0.3, 0.5),
    )
    eye = (LANE + draw.between(-0.3, 0.3), draw.between(1.4, 1.9), 0.0)
    camera = Camera(
        eye, draw.between(-0.25, 0.2), -draw.between(0.0, 0.08), draw.between(0.24, 0.6)
    )
    sky = draw.one((0.55, 0.7, 0.9), (0.8, 0.82, 0.85), (0.65, 0.75, 0.9))
    return Scene(shell + solid, solid, light, camera, sky)


def _houses(draw: Draws, side: int, house: float) -> list[Shape]:
    parts: list[Shape] = []
    z = draw.between(-10, 0)
    while z < STREET_END:
        long, high, deep = draw.between(4, 11), draw.between(2.5, 9), draw.between(3, 6)
        front = house + draw.between(0, 1.5)
        wall = draw.colour(0.35, 0.9, 0.2)
        facade = Texture(wall, (0.12, 0.15, 0.2), "windows", draw.between(1.8, 3.2))
        parts.append(Box((side * (front + deep), high, z + long), (deep, high, long), facade))
        if draw.chance(0.3):
            hedge = Texture((0.15, 0.28, 0.1), (0.3, 0.42, 0.18), "cloudy", 0.4)
            parts.append(Box((side * (front - 1.2), 0.5, z + long), (0.3, 0.6, 0.7 * long), hedge))
        z += 2 * long + draw.one(0.0, 0.0, draw.between(2, 9))
    return parts


def _row(
    draw: Draws,
    side: int,
    away: float,
    make: Callable[[Draws, float, float], list[Shape]],
    gap: tuple[float, float],
    share: float,
) -> list[Shape]:
    """Things along the street with gaps between them, in that share of streets."""
    parts: list[Shape] = []
    z = draw.between(5, 5 + gap[1]) if draw.chance(share) else STREET_END
    while z < 0.7 * STREET_END:
        parts += make(draw, side * away, z)
        z += draw.between(*gap)
    return parts


def _tree(draw: Draws, x: float, z: float) -> list[Shape]:
    bark = Texture((0.28, 0.2, 0.14), (0.4, 0.3, 0.2), "cloudy", 0.2)
    green = draw.between(0.25, 0.5)
    leaves = Texture(
        (0.5 * green, green, 0.3 * green),
        (0.9 * green, 1.4 * green, 0.5 * green),
        "cloudy",
        0.35,
        int(draw.random.integers(2**31)),
    )
    stem, radius = draw.between(0.9, 1.4), draw.between(0.9, 1.6)
    crowns = [
        Sphere(
            (
                x + draw.between(-0.5, 0.5) * radius,
                2 * stem + draw.between(0.5, 1.1) * radius,
                z + draw.between(-0.5, 0.5) * radius,
            ),
            draw.between(0.6, 1) * radius,
            leaves,
        )
        for _ in range(2)
    ]
    return [Box((x, stem, z), (0.13, stem, 0.13), bark), *crowns]


def _post(draw: Draws, x: float, z: float) -> list[Shape]:
    metal, high = Texture((0.45, 0.47, 0.48)), draw.between(1.2, 3)
    head = Texture(draw.colour(0.4, 0.9, 0.9))
    return [
        Box((x, high, z), (0.05, high, 0.05), metal),
        Box((x, 2 * high, z), (0.3, 0.2, 0.03), head),
    ]


def _person(draw: Draws, x: float, z: float) -> list[Shape]:
    trousers, coat = Texture(draw.colour(0.1, 0.4)), Texture(draw.colour(0.15, 0.8, 0.8))
    high = draw.between(0.85, 1.1)
    return [
        Box((x, 0.14 + 0.42 * high, z), (0.14, 0.42 * high, 0.1), trousers),
        Box((x, 0.14 + 1.13 * high, z), (0.21, 0.3 * high, 0.13), coat),
        Sphere((x, 0.14 + 1.58 * high, z), 0.12, Texture((0.7, 0.5, 0.4))),
    ]


def _car(draw: Draws, x: float, z: float) -> list[Shape]:
    paint = Texture(draw.colour(0.1, 0.95, draw.one(0.0, 0.9)), dark=draw.chance(0.2))
    glass, tyre = Texture((0.1, 0.12, 0.15), dark=True), Texture((0.06, 0.06, 0.06), dark=True)
    half, long, belt = draw.between(0.8, 0.95), draw.between(1.8, 2.3), draw.between(0.85, 1.05)
    body = (belt - 0.25) / 2
    return [
        Box((x, 0.25 + body, z), (half, body, long), paint),
        Box((x, belt + 0.22, z - 0.1), (0.88 * half, 0.22, 0.55 * long), glass),
        Box((x, belt + 0.46, z - 0.1), (0.88 * half, 0.03, 0.53 * long), paint),
        *(
            Sphere((x + dx * (half - 0.2), 0.32, z + dz * 0.62 * long), 0.32, tyre)
            for dx in (-1, 1)
            for dz in (-1, 1)
        ),
    ]

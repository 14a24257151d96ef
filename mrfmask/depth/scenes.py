"""Rooms and streets: what stands where, drawn from a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mrfmask.depth.raycast import Box, Camera, Level, Light, Shape, Sphere
from mrfmask.depth.textures import LANE, Colour, Pattern, Texture

# Metres: a street is built up to here, and houses stand this far from its middle.
STREET_END, HOUSES_FROM = 110.0, 8.0


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
class _Draws:
    """Random choices of a scene."""

    random: np.random.Generator

    def between(self, low: float, high: float) -> float:
        return float(self.random.uniform(low, high))

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def one(self, *options):
        return options[self.random.integers(len(options))]

    def colour(self, low: float = 0.1, high: float = 0.9, vivid: float = 0.5) -> Colour:
        """A colour of a grey level within bounds, `vivid` of the way to pure."""
        grey, hue = self.between(low, high), self.random.uniform(0.1, 1, 3)
        return tuple(grey * ((1 - vivid) + vivid * hue / hue.max()))

    def texture(
        self, *patterns: Pattern, size: tuple[float, float], dark: float = 0.0, **colour
    ) -> Texture:
        dark = self.chance(dark)
        first = self.colour(0.03, 0.1) if dark else self.colour(**colour)
        other = tuple(min(1.0, self.between(0.5, 1.4) * c) for c in first)
        key = int(self.random.integers(2**31))
        return Texture(first, other, self.one(*patterns), self.between(*size), key, dark)


def room(random: np.random.Generator) -> Scene:
    """A room with furniture, seen from near a wall by a camera at hand or eye height."""
    draw = _Draws(random)
    width, length, height = draw.between(3, 6), draw.between(3.5, 7), draw.between(2.4, 3)
    floor = draw.texture("planks", "checks", "cloudy", "plain", size=(0.15, 0.5), low=0.3, high=0.7)
    wall = draw.texture("plain", "plain", "stripes", "cloudy", size=(0.2, 0.5), low=0.45, vivid=0.2)
    ceiling = Texture(draw.colour(0.75, 0.95, 0.05))
    half, middle = (width / 2, height, length / 2), (0.0, height / 2, length / 2)
    shell = [Box(middle, half, wall), Level(0.0, floor), Level(height, ceiling)]
    solid: list[Shape] = []
    fabric = draw.texture("plain", "stripes", "checks", "cloudy", size=(0.05, 0.3), dark=0.25)
    wood = draw.texture("planks", "plain", size=(0.04, 0.15), dark=0.15, vivid=0.6)
    for _ in range(int(random.integers(1, 3))):
        x, z = draw.between(-0.3, 0.3) * width, draw.between(0.35, 0.75) * length
        solid += _table(draw, x, z, wood)
        solid += _chair(draw, x + draw.one(-0.9, 0.9), z + draw.between(-0.3, 0.3), wood)
    for side in (-1, 1):
        if draw.chance(0.75):
            solid += _cupboard(draw, side * width / 2, draw.between(0.3, 0.9) * length, side)
    if draw.chance(0.7):
        solid += _sofa(draw, draw.between(-0.2, 0.2) * width, length, fabric)
    for _ in range(int(random.integers(1, 4))):
        radius = draw.between(0.08, 0.3)
        place = (draw.between(-0.4, 0.4) * width, radius, draw.between(0.3, 0.9) * length)
        ball = draw.texture("plain", "stripes", "checks", size=(0.05, 0.2), dark=0.1, vivid=0.9)
        solid.append(Sphere(place, radius, ball))
    shell += _pictures(draw, width, length, height)
    lamp = (draw.between(-0.3, 0.3) * width, height - 0.3, draw.between(0.3, 0.7) * length)
    light = Light(lamp, False, draw.between(0.9, 1.3), draw.between(0.35, 0.5))
    eye = (
        draw.between(-0.35, 0.35) * width,
        draw.between(0.9, 1.8),
        draw.between(0.05, 0.2) * length,
    )
    aim = math.atan2(draw.between(-0.25, 0.25) * width - eye[0], 0.65 * length - eye[2])
    tilt = -draw.between(0.02, 0.35)
    camera = Camera(eye, aim, tilt, draw.between(0.45, 0.75))
    return Scene(shell + solid, solid, light, camera, (0.0, 0.0, 0.0))


def street(random: np.random.Generator) -> Scene:
    """A street between houses, with cars, trees and people, seen from a car."""
    draw = _Draws(random)
    grey = draw.between(0.25, 0.4)
    shift = draw.between(-1, 1)
    road = Texture((grey, grey, grey), (0.85, 0.85, 0.8), "road")
    paving = Texture((0.55, 0.53, 0.5), (0.4, 0.4, 0.4), "bricks", 0.8, 3)
    shell: list[Shape] = [Level(0.0, road)]
    solid: list[Shape] = []
    for side in (-1, 1):
        kerb, house = 2 * LANE + draw.between(0.3, 2.5), HOUSES_FROM + draw.between(-1.5, 4)
        far = STREET_END / 2
        width = 30.0
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
    eye = (LANE + 0.3 * shift, draw.between(1.4, 1.9), 0.0)
    camera = Camera(
        eye, draw.between(-0.25, 0.2), -draw.between(0.0, 0.08), draw.between(0.24, 0.6)
    )
    sky = draw.one((0.55, 0.7, 0.9), (0.8, 0.82, 0.85), (0.65, 0.75, 0.9))
    return Scene(shell + solid, solid, light, camera, sky)


def _table(draw: _Draws, x: float, z: float, wood: Texture) -> list[Shape]:
    half, deep, top = draw.between(0.4, 0.8), draw.between(0.3, 0.5), draw.between(0.45, 0.78)
    parts: list[Shape] = [Box((x, top, z), (half, 0.025, deep), wood)]
    for dx in (-half + 0.05, half - 0.05):
        for dz in (-deep + 0.05, deep - 0.05):
            parts.append(Box((x + dx, top / 2, z + dz), (0.03, top / 2, 0.03), wood))
    for _ in range(int(draw.random.integers(1, 5))):
        size = (draw.between(0.03, 0.15), draw.between(0.02, 0.18), draw.between(0.03, 0.12))
        place = (
            x + draw.between(-0.8, 0.8) * half,
            top + 0.025 + size[1],
            z + draw.between(-0.8, 0.8) * deep,
        )
        thing = draw.texture("plain", "stripes", "checks", size=(0.02, 0.1), dark=0.15, vivid=0.9)
        if draw.chance(0.3):
            radius = size[0] * 0.8
            parts.append(Sphere((place[0], top + 0.025 + radius, place[2]), radius, thing))
        else:
            parts.append(Box(place, size, thing, draw.between(0, 3)))
    return parts


def _chair(draw: _Draws, x: float, z: float, wood: Texture) -> list[Shape]:
    turn, seat = draw.between(-0.6, 0.6), draw.between(0.4, 0.48)
    sine, cosine = math.sin(turn), math.cos(turn)
    back = (x + 0.2 * sine, seat + 0.28, z + 0.2 * cosine)
    return [
        Box((x, seat, z), (0.21, 0.025, 0.21), wood, turn),
        Box(back, (0.21, 0.25, 0.02), wood, turn),
        *(
            Box(
                (x + dx * cosine + dz * sine, seat / 2, z + dz * cosine - dx * sine),
                (0.02, seat / 2, 0.02),
                wood,
                turn,
            )
            for dx in (-0.18, 0.18)
            for dz in (-0.18, 0.18)
        ),
    ]


def _cupboard(draw: _Draws, x: float, z: float, side: int) -> list[Shape]:
    """Stands at a wall; some are shelves with books."""
    deep, half, tall = draw.between(0.15, 0.3), draw.between(0.3, 0.8), draw.between(0.4, 1.1)
    body = draw.texture("plain", "planks", size=(0.05, 0.3), dark=0.2)
    middle = x - side * deep
    if draw.chance(0.5):
        return [Box((middle, tall, z), (deep, tall, half), body)]
    parts: list[Shape] = [
        Box((middle, tall, z + end * half), (deep, tall, 0.02), body) for end in (-1, 1)
    ]
    for level in np.arange(0.1, 2 * tall, 0.4):
        parts.append(Box((middle, level, z), (deep, 0.015, half), body))
        if draw.chance(0.8):
            books = draw.texture("stripes", size=(0.02, 0.06), vivid=0.9)
            reach = draw.between(0.3, 0.9) * half
            parts.append(Box((middle, level + 0.14, z), (0.6 * deep, 0.12, reach), books))
    return parts


def _sofa(draw: _Draws, x: float, wall: float, fabric: Texture) -> list[Shape]:
    half, z = draw.between(0.7, 1.1), wall - 0.5
    arms = [Box((x + end * (half + 0.1), 0.3, z), (0.1, 0.3, 0.42), fabric) for end in (-1, 1)]
    return [
        Box((x, 0.2, z), (half, 0.2, 0.42), fabric),
        Box((x, 0.45, z + 0.35), (half, 0.4, 0.1), fabric),
        *arms,
    ]


def _pictures(draw: _Draws, width: float, length: float, height: float) -> list[Shape]:
    """Flat on the walls: pictures, a door, a window."""
    parts: list[Shape] = []
    for _ in range(int(draw.random.integers(1, 4))):
        art = draw.texture("cloudy", "checks", "stripes", size=(0.05, 0.3), vivid=0.9)
        size, up = draw.between(0.2, 0.5), draw.between(1.3, 1.7)
        if draw.chance(0.5):
            place = (draw.between(-0.35, 0.35) * width, up, length)
            parts.append(Box(place, (size, 0.8 * size, 0.02), art))
        else:
            place = (draw.one(-0.5, 0.5) * width, up, draw.between(0.3, 0.9) * length)
            parts.append(Box(place, (0.02, 0.8 * size, size), art))
    door = draw.texture("plain", "planks", size=(0.1, 0.3))
    side = draw.one(-0.5, 0.5) * width
    parts.append(Box((side, 1.0, draw.between(0.3, 0.9) * length), (0.03, 1.0, 0.42), door))
    frame, pane = Texture(draw.colour(0.4, 0.9, 0.3)), Texture((0.9, 0.95, 1.0))
    x = draw.between(-0.25, 0.25) * width
    parts.append(Box((x, 0.6 * height, length), (0.72, 0.52, 0.03), frame))
    for end in (-1, 1):
        parts.append(Box((x + 0.34 * end, 0.6 * height, length), (0.3, 0.46, 0.035), pane))
    return parts


def _houses(draw: _Draws, side: int, house: float) -> list[Shape]:
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


def _row(draw: _Draws, side: int, away: float, make, gap: tuple[float, float], share: float):
    """Things along the street, with gaps, or none."""
    parts: list[Shape] = []
    z = draw.between(5, 5 + gap[1]) if draw.chance(share) else STREET_END
    while z < 0.7 * STREET_END:
        parts += make(draw, side * away, z)
        z += draw.between(*gap)
    return parts


def _tree(draw: _Draws, x: float, z: float) -> list[Shape]:
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


def _post(draw: _Draws, x: float, z: float) -> list[Shape]:
    metal, high = Texture((0.45, 0.47, 0.48)), draw.between(1.2, 3)
    head = Texture(draw.colour(0.4, 0.9, 0.9))
    return [
        Box((x, high, z), (0.05, high, 0.05), metal),
        Box((x, 2 * high, z), (0.3, 0.2, 0.03), head),
    ]


def _person(draw: _Draws, x: float, z: float) -> list[Shape]:
    trousers, coat = Texture(draw.colour(0.1, 0.4)), Texture(draw.colour(0.15, 0.8, 0.8))
    high = draw.between(0.85, 1.1)
    return [
        Box((x, 0.14 + 0.42 * high, z), (0.14, 0.42 * high, 0.1), trousers),
        Box((x, 0.14 + 1.13 * high, z), (0.21, 0.3 * high, 0.13), coat),
        Sphere((x, 0.14 + 1.58 * high, z), 0.12, Texture((0.7, 0.5, 0.4))),
    ]


def _car(draw: _Draws, x: float, z: float) -> list[Shape]:
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

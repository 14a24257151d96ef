"""Rooms with furniture."""

from __future__ import annotations

import math

import numpy as np

from mrfmask.depth.raycast import Box, Camera, Level, Light, Shape, Sphere
from mrfmask.depth.scenes import Draws, Scene
from mrfmask.depth.textures import Texture


def room(random: np.random.Generator) -> Scene:
    """A room with furniture, seen from near a wall by a camera at hand or eye height."""
    draw = Draws(random)
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


def _table(draw: Draws, x: float, z: float, wood: Texture) -> list[Shape]:
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


def _chair(draw: Draws, x: float, z: float, wood: Texture) -> list[Shape]:
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


def _cupboard(draw: Draws, x: float, z: float, side: int) -> list[Shape]:
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


def _sofa(draw: Draws, x: float, wall: float, fabric: Texture) -> list[Shape]:
    half, z = draw.between(0.7, 1.1), wall - 0.5
    arms = [Box((x + end * (half + 0.1), 0.3, z), (0.1, 0.3, 0.42), fabric) for end in (-1, 1)]
    return [
        Box((x, 0.2, z), (half, 0.2, 0.42), fabric),
        Box((x, 0.45, z + 0.35), (half, 0.4, 0.1), fabric),
        *arms,
    ]


def _pictures(draw: Draws, width: float, length: float, height: float) -> list[Shape]:
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

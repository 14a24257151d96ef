"""Rays against planes, boxes and spheres: what is nearest, and how it is lit.

World coordinates are metres, x to the right, y up, z ahead. A ray is ``origin + t direction``; a
camera's directions have length 1 along its axis, so that t is the depth that a sensor reports.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int

from mrfmask.depth.textures import Texture

# A hit nearer than this is the surface that the ray starts from.
NEAREST = 1e-3
# Directions are never exactly parallel to a face: a quotient by 0 would be NaN at its edge.
PARALLEL = 1e-12
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)


class Surface(NamedTuple):
    """Where rays meet a shape."""

    normal: Float[np.ndarray, "rays 3"]
    place: Float[np.ndarray, "rays 2"]
    """Metres along the surface, for its texture."""


class Shape(Protocol):
    """What rays may hit."""

    texture: Texture

    def meet(
        self, origin: Float[np.ndarray, "*#rays 3"], direction: Float[np.ndarray, "*rays 3"]
    ) -> Float[np.ndarray, "*rays"]:
        """The smallest t > NEAREST of each ray on the shape, inf without any."""

    def surface(self, point: Float[np.ndarray, "rays 3"]) -> Surface:
        """Outward normals and texture coordinates at points of the shape."""

    def corners(self) -> Float[np.ndarray, "8 3"] | None:
        """Of a box around the shape, None if nothing bounds it."""


@dataclass(frozen=True)
class Level:
    """A horizontal plane at a height; its normal points up."""

    height: float
    texture: Texture

    def meet(self, origin, direction):
        """See Shape."""
        t = (self.height - origin[..., 1]) / _apart_from_zero(direction[..., 1])
        return np.where(t > NEAREST, t, np.inf)

    def surface(self, point):
        """See Shape."""
        return Surface(np.broadcast_to([0.0, 1.0, 0.0], point.shape), point[:, [0, 2]])

    def corners(self):
        """See Shape."""
        return None


@dataclass(frozen=True)
class Box:
    """A box that stands upright, turned about its vertical axis; from within, a room's walls.

    Attributes:
        centre: x, y, z.
        half: half its sides.
        texture: of all its faces.
        turn: radians about the vertical axis.
    """

    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    texture: Texture
    turn: float = 0.0

    def meet(self, origin, direction):
        """See Shape. Kay and Kajiya, Ray tracing complex scenes, 1986: three slabs."""
        start, along = self._own(origin - np.array(self.centre)), self._own(direction)
        entry, leave = -np.inf, np.inf
        for axis in range(3):
            inverse = 1 / _apart_from_zero(along[axis])
            middle, reach = -start[axis] * inverse, np.abs(inverse) * self.half[axis]
            entry = np.maximum(entry, middle - reach)
            leave = np.minimum(leave, middle + reach)
        t = np.where(entry > NEAREST, entry, leave)
        return np.where((entry <= leave) & (t > NEAREST), t, np.inf)

    def surface(self, point):
        """See Shape."""
        own = np.stack(self._own(point - np.array(self.centre)), axis=-1)
        axis = np.abs(own / np.array(self.half)).argmax(axis=1)
        side = np.sign(np.take_along_axis(own, axis[:, None], axis=1)[:, 0])
        normal = np.zeros_like(own)
        np.put_along_axis(normal, axis[:, None], side[:, None], axis=1)
        # Texture runs along the wall and up it, on lids along x and z.
        first = np.where(axis == 0, own[:, 2], own[:, 0])
        second = np.where(axis == 1, own[:, 2], own[:, 1])
        return Surface(self._world(normal), np.stack([first, second], axis=1))

    def corners(self):
        """See Shape."""
        return np.array(self.centre) + self._world(CORNERS * np.array(self.half))

    def _own(self, vector):
        """A vector's parts along the box's own axes."""
        x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
        cosine, sine = math.cos(self.turn), math.sin(self.turn)
        return cosine * x - sine * z, y, cosine * z + sine * x

    def _world(self, own):
        """The inverse of `_own`."""
        x, y, z = own[:, 0], own[:, 1], own[:, 2]
        cosine, sine = math.cos(self.turn), math.sin(self.turn)
        return np.stack([cosine * x + sine * z, y, cosine * z - sine * x], axis=1)


@dataclass(frozen=True)
class Sphere:
    """A ball: centre x, y, z and radius."""

    centre: tuple[float, float, float]
    radius: float
    texture: Texture

    def meet(self, origin, direction):
        """See Shape."""
        start = origin - np.array(self.centre)
        square = (direction * direction).sum(axis=-1)
        half = (start * direction).sum(axis=-1)
        rest = half * half - square * ((start * start).sum(axis=-1) - self.radius**2)
        root = np.sqrt(np.maximum(rest, 0))
        near, far = (-half - root) / square, (-half + root) / square
        t = np.where(near > NEAREST, near, far)
        return np.where((rest >= 0) & (t > NEAREST), t, np.inf)

    def surface(self, point):
        """See Shape."""
        normal = (point - np.array(self.centre)) / self.radius
        around = np.arctan2(normal[:, 0], normal[:, 2])
        return Surface(normal, self.radius * np.stack([around, normal[:, 1]], axis=1))

    def corners(self):
        """See Shape."""
        return np.array(self.centre) + self.radius * CORNERS


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        position: x, y, z.
        turn: radians to the right of ahead.
        tilt: radians up from level.
        half_width: half the picture's width over its distance, the tangent of half the angle.
    """

    position: tuple[float, float, float]
    turn: float
    tilt: float
    half_width: float

    def rays(self, height: int, width: int) -> Float[np.ndarray, "height width 3"]:
        """Directions through the centres of the pixels, of length 1 along the axis."""
        across = (2 * np.arange(width) + 1 - width) / width * self.half_width
        up = (height - 1 - 2 * np.arange(height)) / width * self.half_width
        right, above, ahead = self._axes()
        return (up[:, None] * above + ahead)[:, None] + across[:, None] * right

    def window(self, corners: Float[np.ndarray, "8 3"] | None, height: int, width: int):
        """Slices of rows and columns outside of which no ray meets what has these corners."""
        if corners is None:
            return slice(None), slice(None)
        x, y, z = np.stack(self._axes()) @ (corners - np.array(self.position)).T
        # What reaches behind the camera may be seen anywhere.
        if z.min() < NEAREST:
            return slice(None), slice(None)
        scale = width / (2 * self.half_width)
        columns, rows = width / 2 + scale * x / z, height / 2 - scale * y / z
        return _around(rows), _around(columns)

    def _axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Unit vectors to the right of the picture, up in it, and along the axis."""
        cosine, sine = math.cos(self.turn), math.sin(self.turn)
        level, lift = math.cos(self.tilt), math.sin(self.tilt)
        return (
            np.array([cosine, 0.0, -sine]),
            np.array([-lift * sine, level, -lift * cosine]),
            np.array([level * sine, lift, level * cosine]),
        )


@dataclass(frozen=True)
class Light:
    """A lamp at a place, or the sun.

    Attributes:
        place: x, y, z of a lamp; the direction towards the sun.
        sun: whether it is the sun.
        strength: what it adds to a white surface that faces it.
        ambient: what comes from everywhere.
    """

    place: tuple[float, float, float]
    sun: bool
    strength: float
    ambient: float


def nearest(
    shapes: Sequence[Shape], camera: Camera, rays: Float[np.ndarray, "height width 3"]
) -> tuple[Float[np.ndarray, "height width"], Int[np.ndarray, "height width"]]:
    """The depth of what each ray hits first, inf for nothing, and its number, -1 for nothing."""
    depth = np.full(rays.shape[:2], np.inf)
    which = np.full(rays.shape[:2], -1)
    origin = np.array(camera.position)
    for number, shape in enumerate(shapes):
        window = camera.window(shape.corners(), *depth.shape)
        t = shape.meet(origin, rays[window])
        closer = t < depth[window]
        depth[window][closer], which[window][closer] = t[closer], number
    return depth, which


def lit(
    shapes: Sequence[Shape],
    light: Light,
    point: Float[np.ndarray, "rays 3"],
    normal: Float[np.ndarray, "rays 3"],
) -> Float[np.ndarray, " rays"]:
    """Brightness of matt white surfaces, after Lambert's law, in the shadow of `shapes`.

    Args:
        shapes: what casts shadows; bounded ones.
        light: the only one.
        point: of the surfaces.
        normal: of the surfaces, towards the viewer.
    """
    towards = np.array(light.place) - (0 if light.sun else point)
    towards = np.broadcast_to(towards, point.shape)
    distance = np.sqrt((towards * towards).sum(axis=1))
    cosine = (normal * towards).sum(axis=1) / distance
    bright = np.flatnonzero(cosine > 0)
    start, end = point[bright] + 2 * NEAREST * normal[bright], np.inf if light.sun else 1 - NEAREST
    towards = towards[bright]
    # Seen from the sun, a shape can only darken what lies within the outline of its corners.
    plane = np.linalg.svd(np.array(light.place)[None])[2][1:]
    across, along = plane @ start.T
    shadow = np.zeros(len(bright), dtype=bool)
    for shape in shapes:
        maybe = ~shadow
        if light.sun:
            for values, corners in zip((across, along), plane @ shape.corners().T, strict=True):
                maybe &= (values >= corners.min()) & (values <= corners.max())
        maybe = np.flatnonzero(maybe)
        shadow[maybe] = shape.meet(start[maybe], towards[maybe]) < end
    result = np.full(len(point), light.ambient)
    fade = 1.0 if light.sun else 1 / (1 + 0.06 * distance[bright] ** 2)
    result[bright] += light.strength * cosine[bright] * fade * ~shadow
    return result


def _around(values) -> slice:
    """Indices around values, one more on each side."""
    return slice(max(0, math.floor(values.min()) - 1), max(0, math.ceil(values.max()) + 1))


def _apart_from_zero(values):
    return np.where(np.abs(values) < PARALLEL, PARALLEL, values)

"""What a camera and a depth sensor record of a scene."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from mrfmask.depth.raycast import lit, nearest
from mrfmask.depth.scenes import Scene


class View(NamedTuple):
    """A rendered scene, row by row.

    Attributes:
        picture: red, green, blue in [0, 1].
        depth: metres along the camera's axis, exact; inf where nothing is.
        facing: cosine between the ray and the normal of what it hits, in [0, 1].
        dark: whether the surface reflects hardly any light.
    """

    picture: Float[np.ndarray, "rays 3"]
    depth: Float[np.ndarray, " rays"]
    facing: Float[np.ndarray, " rays"]
    dark: Bool[np.ndarray, " rays"]


def render(scene: Scene, height: int, width: int) -> View:
    """One ray through the centre of each pixel, and one to the light from what it hits."""
    camera, origin = scene.camera, np.array(scene.camera.position)
    rays = camera.rays(height, width)
    depth, which = nearest(scene.shapes, camera, rays)
    rays, depth, which = rays.reshape(-1, 3), depth.ravel(), which.ravel()
    # In order of shapes, so that each has its points in one piece.
    hit = np.argsort(which, kind="stable")[np.count_nonzero(which < 0) :]
    ray = rays[hit]
    length = np.sqrt((ray * ray).sum(axis=1))
    point = origin + depth[hit, None] * ray
    normal, colour = np.empty_like(point), np.empty_like(point)
    dark = np.zeros(len(rays), dtype=bool)
    pixel = 2 * camera.half_width / width * depth[hit]
    numbers, starts = np.unique(which[hit], return_index=True)
    for number, start, end in zip(numbers, starts, [*starts[1:], len(hit)], strict=True):
        shape, own = scene.shapes[number], slice(start, end)
        surface = shape.surface(point[own])
        towards = (surface.normal * ray[own]).sum(axis=1, keepdims=True)
        # Walls are seen from within, so the side that is seen decides.
        normal[own] = np.where(towards > 0, -surface.normal, surface.normal)
        blur = pixel[own] / np.clip(np.abs(towards[:, 0]) / length[own], 0.05, 1)
        colour[own] = shape.texture.colours(surface.place, blur)
        dark[hit[own]] = shape.texture.dark
    facing = np.zeros(len(rays))
    facing[hit] = -(normal * ray).sum(axis=1) / length
    picture = np.empty_like(rays)
    up = np.clip(rays[:, 1:2] / np.sqrt((rays * rays).sum(axis=1, keepdims=True)), 0, 1)
    picture[:] = np.array(scene.sky) * (1 - 0.5 * up) + 0.02
    picture[hit] = colour * lit(scene.solid, scene.light, point, normal)[:, None]
    # Eyes and cameras see shadows brighter than they are.
    picture = np.clip(picture, 0, 1) ** 0.8
    return View(picture, depth, facing, dark)

"""Rays against shapes: depths known in closed form, normals, shadows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mrfmask.depth.raycast import Box, Camera, Level, Light, Sphere, lit, nearest
from mrfmask.depth.textures import Texture

GREY = Texture((0.5, 0.5, 0.5))
PLAIN = Camera(position=(0.0, 1.5, 0.0), turn=0.0, tilt=0.0, half_width=0.6)


def slopes(height, width, half_width):
    """Right and up over ahead, for each pixel of a level camera, by its definition."""
    right, up = np.empty((height, width)), np.empty((height, width))
    for row in range(height):
        for column in range(width):
            right[row, column] = ((column + 0.5) / width - 0.5) * 2 * half_width
            up[row, column] = -((row + 0.5) - 0.5 * height) / width * 2 * half_width
    return right, up


def seen(shapes, camera, height=12, width=16):
    return nearest(shapes, camera, camera.rays(height, width))


def test_floor_has_the_depth_of_a_plane():
    depth, which = seen([Level(0.0, GREY)], PLAIN)
    _, up = slopes(12, 16, 0.6)
    below = up < 0
    assert np.array_equal(which >= 0, below)
    assert depth[below] == pytest.approx(-1.5 / up[below], rel=1e-12)
    assert np.isinf(depth[~below]).all()


def test_tilted_camera_sees_the_floor_nearer():
    tilt = -0.4
    camera = Camera((3.0, 1.5, -2.0), 1.1, tilt, 0.6)
    depth, _ = seen([Level(0.0, GREY)], camera)
    _, up = slopes(12, 16, 0.6)
    # The camera's axis falls by sin(tilt), its upright rises by cos(tilt).
    fall = math.sin(tilt) + up * math.cos(tilt)
    hit = fall < 0
    assert depth[hit] == pytest.approx(-1.5 / fall[hit], rel=1e-12)


def test_wall_that_faces_the_camera_has_one_depth():
    turn = 0.7
    centre = (5 * math.sin(turn), 1.5, 5 * math.cos(turn))
    camera = Camera((0.0, 1.5, 0.0), turn, 0.0, 0.6)
    depth, _ = seen([Box(centre, (9.0, 9.0, 0.5), GREY, turn)], camera)
    assert depth == pytest.approx(np.full((12, 16), 4.5), rel=1e-12)


def test_box_hides_what_is_behind_and_shows_what_is_beside():
    """A box 2 m wide at 3 m before a wall at 6 m."""
    shapes = [Box((0.0, 1.5, 7.0), (20.0, 20.0, 1.0), GREY), Box((0.0, 1.5, 4.0), (1, 9, 1), GREY)]
    depth, which = seen(shapes, PLAIN)
    right, _ = slopes(12, 16, 0.6)
    front = np.abs(right) < 1 / 3
    assert np.array_equal(which == 1, front)
    assert depth[front] == pytest.approx(3, rel=1e-12)
    assert depth[~front] == pytest.approx(6, rel=1e-12)


def test_room_is_a_box_from_within():
    """Depth of the nearest of six walls along each ray."""
    depth, _ = seen([Box((0.5, 1.2, 1.0), (2.0, 1.5, 3.0), GREY)], PLAIN)
    right, up = slopes(12, 16, 0.6)
    aside = np.where(right > 0, 2.5, 1.5) / np.abs(right)
    above = np.where(up > 0, 1.2, 1.8) / np.abs(up)
    assert depth == pytest.approx(np.minimum(np.minimum(aside, above), 4.0), rel=1e-12)


def test_sphere_has_the_depth_of_its_equation():
    centre, radius = np.array([0.4, 1.7, 3.0]), 1.1
    depth, _ = seen([Sphere(tuple(centre), radius, GREY)], PLAIN, 24, 32)
    right, up = slopes(24, 32, 0.6)
    hits = 0
    for row in range(24):
        for column in range(32):
            ray = np.array([right[row, column], up[row, column], 1.0])
            start = np.array([0.0, 1.5, 0.0]) - centre
            roots = np.roots([ray @ ray, 2 * ray @ start, start @ start - radius**2])
            if np.isreal(roots).all():
                hits += 1
                assert depth[row, column] == pytest.approx(roots.real.min(), rel=1e-9)
            else:
                assert np.isinf(depth[row, column])
    assert 100 < hits < 24 * 32


@pytest.mark.parametrize("seed", range(40))
def test_window_of_a_shape_misses_no_ray(seed):
    """What lies outside of the rows and columns that are tried is not hit."""
    draws = np.random.default_rng(seed)
    camera = Camera((0.1, 1.4, 0.0), 0.2 * (seed % 2), -0.1 * (seed % 2), 0.5)
    centre = tuple(draws.uniform((-1, 0.5, 0), (1, 2.5, 4)))
    size = draws.uniform(0.1, 0.9, 3)
    turn = 0.0 if seed % 4 else 0.6
    shape = Sphere(centre, size[0], GREY) if seed % 3 == 0 else Box(centre, tuple(size), GREY, turn)
    rays = camera.rays(30, 40)
    every = shape.meet(np.array(camera.position), rays)
    assert np.array_equal(nearest([shape], camera, rays)[0], every)


@pytest.mark.parametrize(
    ("shape", "curvature"),
    [
        (Box((0.3, 1.0, 4.0), (0.5, 0.7, 0.9), GREY, 0.6), 0.0),
        (Sphere((-0.5, 1.8, 2.5), 0.7, GREY), 1 / 0.7),
    ],
)
def test_normals_are_square_to_the_surface(shape, curvature):
    """A chord c of a sphere lies ``|c|^2 / 2r`` below its tangent, one of a face within it."""
    origin, rays = np.array([0.1, 1.9, 0.0]), Camera((0.1, 1.9, 0.0), 0, 0, 0.6).rays(300, 400)
    t = shape.meet(origin, rays)
    point = origin + np.where(np.isfinite(t), t, 0)[..., None] * rays
    pairs = np.argwhere(np.isfinite(t[:, :-1]) & np.isfinite(t[:, 1:]))
    first, second = (point[pairs[:, 0], pairs[:, 1] + step] for step in (0, 1))
    normal = shape.surface(first).normal
    assert np.square(normal).sum(axis=1) == pytest.approx(1)
    assert ((normal * rays[pairs[:, 0], pairs[:, 1]]).sum(axis=1) < 0).all()
    # Where the chord joins two faces, its ends have other normals.
    same = np.square(normal - shape.surface(second).normal).sum(axis=1) < 0.1
    assert same.mean() > 0.95
    chord = (second - first)[same]
    below = -(normal[same] * chord).sum(axis=1)
    assert below == pytest.approx(curvature / 2 * np.square(chord).sum(axis=1), abs=1e-12)


@pytest.mark.parametrize("sun", [False, True])
def test_ball_throws_a_shadow_as_wide_as_it_should(sun):
    """Light from above: the shadow is a disc, widened for a lamp by the ratio of the heights."""
    ball, height = Sphere((0.0, 2.0, 0.0), 0.5, GREY), 4.0
    light = Light((0.0, 1.0 if sun else height, 0.0), sun, 1.0, 0.25)
    x = np.linspace(-2, 2, 401)
    point = np.stack([x, np.zeros(401), np.zeros(401)], axis=1)
    normal = np.broadcast_to([0.0, 1.0, 0.0], point.shape)
    bright = lit([ball], light, point, normal)
    # The lamp's tangents to the ball: sine r / distance of the centre.
    radius = 0.5 if sun else height * math.tan(math.asin(0.5 / (height - 2.0)))
    dark = np.abs(x) < radius - 0.01
    assert bright[dark] == pytest.approx(0.25)
    clear = np.abs(x) > radius + 0.01
    assert (bright[clear] > 0.4).all()
    if sun:
        assert bright[clear] == pytest.approx(1.25)
    # No shape, no shadow; a surface turned away gets what comes from everywhere.
    assert (lit([], light, point, normal) > 0.4).all()
    assert lit([], light, point, -normal) == pytest.approx(0.25)

"""Synthetic frames: reproducible, exact, with the gaps of real sensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mrfmask.depth import SyntheticFrames
from mrfmask.depth.raycast import nearest
from mrfmask.depth.rooms import room
from mrfmask.depth.streets import street
from mrfmask.depth.textures import Texture, cloudy, noise


def test_frame_is_a_function_of_seed_and_index():
    frames, again = SyntheticFrames(4, 5, (20, 24)), SyntheticFrames(9, 5, (20, 24))
    for index in (3, 0):
        assert torch.equal(frames[index].picture, again[index].picture)
        assert torch.equal(frames[index].depth, again[index].depth)
    assert not torch.equal(frames[0].picture, frames[2].picture)
    assert not torch.equal(frames[0].picture, SyntheticFrames(4, 6, (20, 24))[0].picture)
    assert len(set(frames.places)) == 4
    with pytest.raises(IndexError):
        frames[4]


@pytest.mark.parametrize(("kind", "make", "reach"), [("room", room, 8.0), ("street", street, 80.0)])
def test_valid_depth_is_that_of_the_scene(kind, make, reach):
    frames = SyntheticFrames(6, 1, (30, 40), kinds=(kind,))
    same = 0
    for index in range(6):
        frame = frames[index]
        scene = make(np.random.default_rng([1, index, 0]))
        depth, _ = nearest(scene.shapes, scene.camera, scene.camera.rays(30, 40))
        valid = frame.valid.numpy()
        same += np.allclose(frame.depth.numpy()[valid], depth[valid], rtol=1e-6)
        assert frame.depth.max() <= reach
    # A scene that shows nothing is drawn again.
    assert same >= 4


def test_frames_have_the_gaps_of_their_sensors():
    """Rooms are mostly measured; streets below the horizon, along lines."""
    rooms, streets = (SyntheticFrames(12, 2, (50, 50), kinds=(k,)) for k in ("room", "street"))
    shares = [rooms[i].valid.float().mean().item() for i in range(12)]
    assert 0.6 < np.mean(shares) < 0.99
    shares = [streets[i].valid.float().mean().item() for i in range(12)]
    assert 0.25 < np.mean(shares) < 0.6
    assert not any(streets[i].valid[:10].any() for i in range(12))
    for frames in (rooms, streets):
        for index in range(12):
            frame = frames[index]
            assert frame.valid.float().mean() >= 0.15
            assert frame.picture.std() > 0.05
            assert (frame.picture >= 0).all()
            assert (frame.picture <= 1).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_small_frames_are_made(size):
    frames = SyntheticFrames(4, size=size)
    assert all(frames[index].depth.shape == size for index in range(4))


def test_options_are_checked():
    with pytest.raises(ValueError, match="count must lie in 1"):
        SyntheticFrames(0)
    with pytest.raises(ValueError, match="kinds must be one of 'room', 'street'; got 'moon'"):
        SyntheticFrames(1, kinds=("moon",))
    with pytest.raises(ValueError, match="size must lie in 1"):
        SyntheticFrames(1, size=(0, 5))


def test_patterns_fade_into_their_means():
    """Seen from afar, a surface has the mean colour of what is seen from near."""
    place = np.random.default_rng(0).uniform(-60, 60, (40000, 2))
    patterns = ("checks", "stripes", "bricks", "planks", "cloudy", "windows", "road")
    for pattern in patterns:
        texture = Texture((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), pattern, 0.7, 11)
        near, far = (texture.colours(place, np.full(40000, blur)) for blur in (0.0, 9.0))
        assert far.std() == pytest.approx(0, abs=1e-12)
        assert near.mean() == pytest.approx(far.mean(), abs=0.03), pattern


def test_noise_is_spread_evenly():
    x, y = (grid.ravel() for grid in np.mgrid[-100:100, -100:100])
    values = noise(x, y, 3)
    counts = np.bincount((values * 10).astype(int), minlength=10)
    # Seven standard errors.
    assert np.abs(counts / 40000 - 0.1).max() < 7 * (0.09 / 40000) ** 0.5
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 7 / 200
    smooth = cloudy(np.stack([np.linspace(0, 3, 3001), np.zeros(3001)], axis=1), 1)
    assert np.abs(np.diff(smooth)).max() < 0.01
    assert (smooth >= 0).all()
    assert (smooth <= 1).all()

"""Frames of .npz files."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from depth_files import sparse_steps

from mrfmask.depth import open_frames
from mrfmask.depth.arrays import ArrayFrames
from mrfmask.depth.kitti import SQUARES
from mrfmask.depth.pairs import Pair, PairFrames

IDS = np.array(["0000000001#0", "learn7#0", "scene_01_CAMERA_05_155#1", "scene_02", "hall_12"])


def arrays(**changes):
    steps = np.stack([sparse_steps((8, 10), seed) for seed in range(5)])
    rgb = np.random.default_rng(0).integers(0, 256, (5, 8, 10, 3), dtype=np.uint8)
    return {"rgb": rgb, "depth_mm": steps.astype(np.uint16), "id": IDS, **changes}


def test_arrays_give_frames(tmp_path):
    given = arrays()
    np.savez(tmp_path / "a.npz", **given)
    frames = open_frames(str(tmp_path / "a.npz"))
    assert frames.names == [f"a/{name}" for name in IDS]
    assert frames.places == ["a", "a/learn7", "a/scene_01", "a/scene_02", "a/hall"]
    frame = frames[2]
    assert (frame.name, frame.place) == (frames.names[2], frames.places[2])
    assert frame.depth.numpy() == pytest.approx(given["depth_mm"][2] / 1000, rel=1e-6)
    assert np.array_equal(frame.valid.numpy(), given["depth_mm"][2] > 0)
    assert np.array_equal((frame.picture * 255).round().byte().permute(1, 2, 0), given["rgb"][2])
    assert open_frames(str(tmp_path / "a.npz"), size=(4, 4))[0].depth.shape == (4, 4)


def test_places_can_be_given(tmp_path):
    np.savez(tmp_path / "a.npz", **arrays(place=np.array(list("xxyyz"))))
    assert ArrayFrames(tmp_path / "a.npz").places == ["a/x", "a/x", "a/y", "a/y", "a/z"]


def test_frames_without_valid_depth_are_left_out(tmp_path):
    given = arrays()
    given["depth_mm"][1] = 0
    np.savez(tmp_path / "a.npz", **given)
    frames = ArrayFrames(tmp_path / "a.npz")
    assert frames.left_out == [(f"{tmp_path / 'a.npz'}: learn7#0", "no valid depth")]
    assert frames.names == [f"a/{name}" for name in IDS[[0, 2, 3, 4]]]
    assert np.array_equal(frames[1].valid.numpy(), given["depth_mm"][2] > 0)
    given["depth_mm"][:] = 0
    np.savez(tmp_path / "a.npz", **given)
    with pytest.raises(ValueError, match="--data must hold a frame with valid depth; got"):
        ArrayFrames(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rgb": np.zeros((5, 8, 10, 3))}, "rgb must be uint8 of shape (N, height, width, 3)"),
        ({"depth_mm": np.zeros((5, 8, 9), int)}, "depth_mm must be integer of shape (5, 8, 10)"),
        ({"depth_mm": np.zeros((5, 8, 10))}, "depth_mm must be integer of shape (5, 8, 10)"),
        ({"depth_mm": np.full((5, 8, 10), -1)}, "depth_mm must be at least 0; got -1"),
        ({"id": np.arange(5)}, "id must be strings of shape (5,)"),
        ({"id": np.array(list("abcda"))}, "id must name each frame differently"),
        ({"place": np.array(["x"])}, "place must be strings of shape (5,)"),
    ],
)
def test_other_arrays_are_refused(tmp_path, changes, message):
    np.savez(tmp_path / "a.npz", **arrays(**changes))
    with pytest.raises(ValueError, match=re.escape(message)):
        ArrayFrames(tmp_path / "a.npz")


def test_damaged_files_are_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", **arrays())
    whole = (tmp_path / "a.npz").read_bytes()
    for damaged in (b"", b"no arrays", whole[: len(whole) // 2]):
        (tmp_path / "a.npz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"--data must be an \.npz file with the arrays rgb"):
            ArrayFrames(tmp_path / "a.npz")


def test_published_cuts_of_kitti_are_those_of_its_frames(shared_data):
    """The same three squares of a frame, cut and reduced by others, agree to half a millimetre."""
    root = shared_data / "rgbd"
    published = open_frames(str(root / "kitti_sfnd78.npz"))
    assert set(published.places) == {"kitti_sfnd78"}
    name, full = "0000000040", root / "full" / "kitti"
    files = full / "image" / f"{name}.jpg", full / "depth" / f"{name}.png"
    pairs = [Pair(*files, "drive", f"{name}#{cut}", cut) for cut in range(3)]
    frames = PairFrames(pairs, "metres/256", (100, 100), squares=SQUARES)
    for cut in range(3):
        same = published[published.names.index(f"kitti_sfnd78/{name}#{cut}")]
        assert torch.equal(frames[cut].valid, same.valid)
        assert (frames[cut].depth - same.depth).abs().max() <= 0.00051
        # Pictures went through JPEG.
        assert (frames[cut].picture - same.picture).abs().mean() < 0.03

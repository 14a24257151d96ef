"""Frames say what is wrong with them; batches and joined data sets."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from depth_files import depth_png

from mrfmask.depth import Frame, JoinedFrames, SyntheticFrames, collate_frames, open_frames

PICTURE, DEPTH = torch.zeros(3, 2, 4), torch.ones(2, 4)
VALID = DEPTH > 0


def changed(value):
    depth = DEPTH.clone()
    depth[1, 2] = value
    return depth


@pytest.mark.parametrize(
    ("tensors", "kind", "message"),
    [
        ((PICTURE.double(), DEPTH, VALID), TypeError, "picture must be torch.float32; got"),
        ((PICTURE, DEPTH.double(), VALID), TypeError, "depth must be torch.float32; got"),
        ((PICTURE, DEPTH, DEPTH), TypeError, "valid must be torch.bool; got torch.float32"),
        ((PICTURE[:, :1], DEPTH, VALID), ValueError, "picture must have shape (3, height, width)"),
        ((PICTURE, DEPTH, VALID[:1]), ValueError, "valid must have the shape of depth, (2, 4)"),
        ((PICTURE, changed(0), VALID), ValueError, "got 0.0 at (1, 2)"),
        ((PICTURE, changed(torch.inf), VALID), ValueError, "got inf at (1, 2)"),
        ((PICTURE, changed(torch.nan), VALID), ValueError, "got nan at (1, 2)"),
        ((PICTURE, DEPTH, changed(0) > 0), ValueError, "where valid, else 0; got 1.0 at (1, 2)"),
    ],
)
def test_frame_says_what_is_wrong(tensors, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        Frame(*tensors, "place", "name")


def test_batch_holds_its_frames():
    frames = SyntheticFrames(3, size=(6, 8))
    batch = collate_frames([frames[i] for i in range(3)]).to("cpu")
    assert len(batch) == 3
    assert batch.picture.shape == (3, 3, 6, 8)
    for b in range(3):
        assert torch.equal(batch.depth[b], frames[b].depth)
        assert torch.equal(batch.valid[b], frames[b].valid)
    assert batch.places == tuple(frames.places)
    assert batch.names == tuple(frames.names)


def test_data_sets_are_opened_together(tmp_path):
    frames = open_frames("synthetic", "synthetic", count=3, seed=5, size=(6, 8))
    assert frames.names == [
        *("room-5-0", "street-5-1", "room-5-2"),
        *("1/room-5-0", "1/street-5-1", "1/room-5-2"),
    ]
    assert open_frames("synthetic")[0].depth.shape == (100, 100)
    depth_png(tmp_path / "a.png", np.ones((4, 5)))
    with pytest.raises(ValueError, match=r"size must be given for data sets .*\(4, 5\), \(6, 8\)"):
        JoinedFrames([SyntheticFrames(1, size=(6, 8)), open_frames(str(tmp_path / "a.png"))])


def test_joined_frames_follow_one_another_with_names_of_their_own():
    first, second = SyntheticFrames(2, size=(6, 8)), SyntheticFrames(3, size=(6, 8))
    second.test, second.left_out = frozenset({1}), [("a.png", "broken")]
    joined = JoinedFrames([first, second])
    assert len(joined) == 5
    assert len(set(joined.names)) == 5
    assert joined.places == first.places + second.places
    assert joined.test == {3}
    assert joined.left_out == [("a.png", "broken")]
    assert joined[3].name == joined.names[3]
    assert torch.equal(joined[3].depth, second[1].depth)

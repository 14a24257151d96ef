"""Augmentation treats all that belongs to a pixel alike."""

from __future__ import annotations

import pytest
import torch

from mrfmask.depth import Frame, SyntheticFrames, augment_frame
from mrfmask.depth import augment as depth_augment
from mrfmask.depth.augment import augment_with
from mrfmask.learn.augment import Augmented


def draws(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def colourless(monkeypatch):
    """Geometry alone."""
    for name in ("LIGHT", "TINT", "GREY", "NOISE"):
        monkeypatch.setattr(f"mrfmask.depth.augment.{name}", 0.0)


@pytest.mark.usefixtures("colourless")
@pytest.mark.parametrize("seed", range(20))
def test_picture_and_depth_go_together(seed):
    """Planes that grow along the sides: what the picture says of a pixel, depth says, too."""
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(60.0), indexing="ij")
    picture = torch.stack([rows / 40, columns / 60, torch.full((40, 60), 0.5)])
    depth = 1 + rows + 100 * columns
    frame = augment_frame(Frame(picture, depth, depth > 0, "a", "b"), draws(seed))
    assert frame.depth.shape == (40, 60)
    assert (frame.place, frame.name) == ("a", "b")
    assert frame.valid.all()
    # The rows that are left say how large the zoom was; nearer by as much, depths are shorter.
    kept = round(40 * (frame.picture[0].max() - frame.picture[0].min()).item()) + 1
    assert 32 <= kept <= 40
    back = frame.depth * (40 / kept) - 1
    assert (back - back.round()).abs().max() < 2e-3
    row, column = back.round() % 100, (back.round() / 100).floor()
    assert (frame.picture[0] * 40 - row).abs().max() < 1
    assert (frame.picture[1] * 60 - column).abs().max() < 1


@pytest.mark.usefixtures("colourless")
def test_depth_is_never_a_mean():
    """Valid pixels beside invalid ones and near ones beside far ones, in a chessboard."""
    rows, columns = torch.meshgrid(torch.arange(30), torch.arange(30), indexing="ij")
    kind = (rows + columns) % 3
    depth = torch.tensor([0.0, 1.0, 64.0])[kind]
    for seed in range(30):
        frame = augment_frame(Frame(torch.rand(3, 30, 30), depth, depth > 0, "", ""), draws(seed))
        assert torch.equal(frame.valid, frame.depth > 0)
        values = frame.depth[frame.valid].unique()
        assert len(values) == 2
        assert values[1] / values[0] == pytest.approx(64)
        # The zoom that shortens depths is at most the largest one.
        assert 1 / depth_augment.ZOOM - 0.02 <= values[0] <= 1
        assert frame.valid.float().mean() == pytest.approx(2 / 3, abs=0.06)


def test_colours_leave_depth_alone(monkeypatch):
    monkeypatch.setattr("mrfmask.depth.augment.ZOOM", 1.0)
    frame = SyntheticFrames(1, size=(20, 20))[0]
    seen = [augment_frame(frame, draws(seed)) for seed in range(60)]
    for other in seen:
        assert torch.equal(other.depth, frame.depth) or torch.equal(
            other.depth, frame.depth.flip(-1)
        )
        assert (other.picture >= 0).all()
        assert (other.picture <= 1).all()
    mirrored = sum(not torch.equal(other.depth, frame.depth) for other in seen)
    assert 5 < mirrored < 55
    means = torch.stack([other.picture.mean() for other in seen])
    assert means.std() > 0.03


def test_some_frames_turn_grey(monkeypatch):
    monkeypatch.setattr("mrfmask.depth.augment.NOISE", 0.0)
    frame = SyntheticFrames(1, size=(12, 12))[0]
    pictures = [augment_frame(frame, draws(seed)).picture for seed in range(300)]
    grey = sum(bool((p - p[:1]).abs().max() < 1e-6) for p in pictures)
    # Seven standard errors of a tenth of 300.
    assert abs(grey - 30) < 7 * 27**0.5


def test_frame_keeps_a_valid_pixel():
    depth = torch.zeros(20, 20)
    depth[0, 0] = 3.0
    frame = Frame(torch.rand(3, 20, 20), depth, depth > 0, "", "")
    assert all(augment_frame(frame, draws(seed)).valid.any() for seed in range(50))


def test_epochs_see_frames_otherwise():
    frames = SyntheticFrames(3, size=(12, 12))
    first, again, other = (
        Augmented(frames, [2, 0], 7, epoch, augment_frame)[0] for epoch in (1, 1, 2)
    )
    assert first.name == frames.names[2]
    assert torch.equal(first.picture, again.picture)
    assert not torch.equal(first.picture, other.picture)


@pytest.mark.parametrize("seed", range(10))
def test_maps_go_the_way_of_the_depth(seed):
    frame = SyntheticFrames(1, 2, (30, 40))[0]
    numbers = torch.arange(1.0, 1201.0).reshape(30, 40)
    maps = torch.stack([frame.depth, frame.valid.float(), numbers])
    changed, (depth, valid, number) = augment_with(frame, maps, draws(seed))
    alone = augment_frame(frame, draws(seed))
    assert torch.equal(changed.picture, alone.picture)
    assert torch.equal(changed.depth, alone.depth)
    # Values are those of pixels of the frame, all of the same one; depth is divided by the zoom.
    pixel = number.long() - 1
    assert torch.equal(number, numbers.flatten()[pixel])
    assert torch.equal(depth, frame.depth.flatten()[pixel])
    assert torch.equal(valid > 0, changed.valid)
    zoom = (depth / changed.depth)[changed.valid]
    assert zoom.max() - zoom.min() < 1e-5
    assert 1 <= zoom.mean() <= depth_augment.ZOOM + 0.05


def test_maps_of_another_size_are_refused():
    frame = SyntheticFrames(1, size=(30, 40))[0]
    with pytest.raises(ValueError, match=r"maps must have shape \(maps, 30, 40\); got \(30, 40\)"):
        augment_with(frame, frame.depth, draws(0))

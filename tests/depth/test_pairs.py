"""Folders of pictures and depth maps, KITTI's layout, single depth maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from depth_files import depth_png, sparse_steps, truncate
from folders import picture

from mrfmask.depth import open_frames
from mrfmask.depth.kitti import kitti_frames
from mrfmask.files import read_picture

SIZE = (12, 15)


def pair(root, name, seed=0, size=SIZE):
    picture(root / "image" / f"{name}.png", seed, size)
    return depth_png(root / "depth" / f"{name}.png", sparse_steps(size, seed))


def test_folder_gives_pairs_by_name(tmp_path):
    for seed, name in enumerate(["lab_002", "lab_001", "hall/x9", "77"]):
        pair(tmp_path, name, seed)
    frames = open_frames(str(tmp_path))
    assert frames.names == ["77", "hall/x9", "lab_001", "lab_002"]
    root = tmp_path.name
    assert frames.places == [root, f"{root}/hall", f"{root}/lab", f"{root}/lab"]
    assert frames.left_out == []
    steps = sparse_steps(SIZE, 2)
    assert frames[1].depth.numpy() == pytest.approx(steps / 1000, rel=1e-6)
    assert np.array_equal(frames[1].valid.numpy(), steps > 0)
    assert torch.equal(frames[1].picture, read_picture(tmp_path / "image" / "hall" / "x9.png"))


def test_unit_of_a_folder_is_chosen(tmp_path):
    pair(tmp_path, "a")
    depth = open_frames(str(tmp_path), unit="metres/256")[0].depth
    assert depth.numpy() == pytest.approx(sparse_steps(SIZE) / 256, rel=1e-6)
    with pytest.raises(ValueError, match="unit must be one of 'mm', 'metres/256'; got 'm'"):
        open_frames(str(tmp_path), unit="m")


def test_what_cannot_be_used_is_left_out_and_named(tmp_path):
    pair(tmp_path, "good")
    truncate(pair(tmp_path, "cut-depth"))
    pair(tmp_path, "cut-picture")
    truncate(tmp_path / "image" / "cut-picture.png")
    pair(tmp_path, "size")
    depth_png(tmp_path / "depth" / "size.png", np.ones((5, 15)))
    pair(tmp_path, "empty")
    depth_png(tmp_path / "depth" / "empty.png", np.zeros(SIZE))
    picture(tmp_path / "image" / "lonely.png")
    depth_png(tmp_path / "depth" / "ghost.png", np.ones(SIZE))
    frames = open_frames(str(tmp_path))
    assert frames.names == ["good"]
    reasons = {path.split("/")[-1]: reason for path, reason in frames.left_out}
    assert set(reasons) == {
        *("cut-depth.png", "cut-picture.png", "size.png"),
        *("empty.png", "lonely.png", "ghost.png"),
    }
    assert "depth must be a PNG that can be read" in reasons["cut-depth.png"]
    assert "picture that can be read" in reasons["cut-picture.png"]
    assert "size of its picture, (12, 15); got (5, 15)" in reasons["size.png"]
    assert reasons["empty.png"] == "no valid depth"
    assert reasons["lonely.png"] == "no depth of that name"
    assert reasons["ghost.png"] == "no picture of that name"


def test_sizes_that_differ_need_a_size(tmp_path):
    pair(tmp_path, "a")
    pair(tmp_path, "b", size=(20, 30))
    with pytest.raises(ValueError, match=r"size must be given .*\[\(12, 15\), \(20, 30\)\]"):
        open_frames(str(tmp_path))
    frames = open_frames(str(tmp_path), size=(10, 10))
    assert frames[0].picture.shape == frames[1].picture.shape == (3, 10, 10)
    # From the middle: columns 1..12 of the first, whose cells hold one or two pixels.
    steps = sparse_steps(SIZE)[:, 1:13]
    assert (frames[0].depth[0, 0] > 0) == (steps[:2, :2] > 0).any()


def test_depth_map_alone_has_no_picture(tmp_path):
    steps = sparse_steps(SIZE)
    frames = open_frames(str(depth_png(tmp_path / "aerial.png", steps)))
    assert (frames.names, frames.places) == (["aerial"], ["aerial"])
    assert frames[0].picture.eq(0.5).all()
    assert np.array_equal(frames[0].valid.numpy(), steps > 0)
    depth_png(tmp_path / "maps" / "depth" / "a.png", steps)
    assert open_frames(str(tmp_path / "maps"))[0].picture.eq(0.5).all()


DRIVES = ("2011_09_26_drive_0001_sync", "2011_09_28_drive_0002_sync")
FRAME = (375, 1242)


def kitti_pair(root, part, drive, camera, number, raw=True):
    depth = depth_png(
        root / part / drive / "proj_depth" / "groundtruth" / camera / f"{number:010d}.png",
        sparse_steps(FRAME, number, 0.05),
    )
    if raw:
        folder = root / drive[:10] / drive / camera / "data"
        picture(folder / f"{number:010d}.png", number, FRAME)
    return depth


@pytest.fixture(scope="module")
def kitti(tmp_path_factory):
    root = tmp_path_factory.mktemp("kitti")
    for number in (5, 6, 7):
        kitti_pair(root, "train", DRIVES[0], "image_02", number)
    kitti_pair(root, "train", DRIVES[0], "image_03", 5)
    kitti_pair(root, "train", DRIVES[0], "image_02", 8, raw=False)
    kitti_pair(root, "val", DRIVES[1], "image_02", 5)
    return root


def test_kitti_gives_squares_of_its_drives(kitti):
    frames = kitti_frames(kitti, every=2)
    assert len(frames) == 3 * 4
    assert frames.names[:4] == [
        f"{DRIVES[0]}/image_02/0000000005#0",
        f"{DRIVES[0]}/image_02/0000000005#1",
        f"{DRIVES[0]}/image_02/0000000005#2",
        f"{DRIVES[0]}/image_02/0000000007#0",
    ]
    assert frames.places == [DRIVES[0]] * 9 + [DRIVES[1]] * 3
    assert frames.test == {9, 10, 11}
    assert frames.left_out == []
    steps = sparse_steps(FRAME, 7, 0.05)
    for cut, left in enumerate((0, 446, 892)):
        frame = frames[3 + cut]
        assert frame.picture.shape == (3, 100, 100)
        square = steps[25:, left : left + 350]
        cells = np.full((100, 100), np.inf)
        for y, x in np.argwhere(square):
            cell = (y * 100 // 350, x * 100 // 350)
            cells[cell] = min(cells[cell], square[y, x])
        expected = np.where(np.isinf(cells), 0, cells / 256)
        assert frame.depth.numpy() == pytest.approx(expected, rel=1e-6)


def test_kitti_names_what_is_missing(kitti):
    frames = open_frames(f"kitti:{kitti}")
    assert len(frames) == 3 * 3
    frames = kitti_frames(kitti, every=1)
    ((path, reason),) = frames.left_out
    assert path.endswith("0000000008.png")
    assert reason.startswith("no picture ")


def test_kitti_tests_on_the_selection_where_there_is_one(kitti, tmp_path):
    for part in ("train", DRIVES[0][:10]):
        (tmp_path / part).symlink_to(kitti / part)
    selection = tmp_path / "depth_selection" / "val_selection_cropped"
    name = f"{DRIVES[1]}_{{}}_0000000033_image_03.png"
    depth_png(
        selection / "groundtruth_depth" / name.format("groundtruth_depth"),
        sparse_steps((352, 1216), 3, 0.05),
    )
    picture(selection / "image" / name.format("image"), 3, (352, 1216))
    frames = kitti_frames(tmp_path)
    tested = [frames.names[index] for index in sorted(frames.test)]
    assert tested == [f"{DRIVES[1]}/image_03/0000000033#{cut}" for cut in range(3)]
    assert {frames.places[index] for index in frames.test} == {DRIVES[1]}
    assert DRIVES[1] not in {frames.places[i] for i in range(len(frames)) if i not in frames.test}


def test_small_frames_of_kitti_are_left_out(kitti, tmp_path):
    (tmp_path / "train").symlink_to(kitti / "train")
    (tmp_path / DRIVES[0][:10]).symlink_to(kitti / DRIVES[0][:10])
    drive = "2011_09_29_drive_0003_sync"
    depth_png(
        tmp_path / "val" / drive / "proj_depth" / "groundtruth" / "image_02" / "0000000000.png",
        np.ones((300, 1242)),
    )
    folder = tmp_path / drive[:10] / drive / "image_02" / "data"
    picture(folder / "0000000000.png", 0, (300, 1242))
    frames = kitti_frames(tmp_path)
    assert [reason[:47] for _, reason in frames.left_out] == [
        "picture must be at least 350x350; got 300x1242."
    ] * 3


def test_places_without_frames_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"--data must be synthetic, kitti:ROOT, or"):
        open_frames(str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match="--data must hold train, val or val_selection"):
        open_frames(f"kitti:{tmp_path}")
    with pytest.raises(FileNotFoundError, match="--data must hold the folder depth"):
        open_frames(str(tmp_path))
    (tmp_path / "depth").mkdir()
    with pytest.raises(ValueError, match="--data must hold a picture with depth; got none"):
        open_frames(str(tmp_path))
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ValueError, match=r"--data must be a folder, or end in \.npz or \.png"):
        open_frames(str(tmp_path / "a.txt"))
    with pytest.raises(ValueError, match="--data must name a data set"):
        open_frames()

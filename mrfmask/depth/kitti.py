"""KITTI depth completion as it is unpacked.

Reference: Uhrig, Schneider, Schneider, Franke, Brox and Geiger, Sparsity invariant CNNs, 3DV 2017.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mrfmask.depth.maps import Size
from mrfmask.depth.pairs import Pair, PairFrames, Squares

# Squares of 350 pixels: above them the scanner sees nothing.
SQUARES = Squares(side=350, count=3)
SELECTION = "val_selection_cropped"
_SELECTED = re.compile(r"(.+_sync)_groundtruth_depth_(\d{10})_(image_0[23])$")


def kitti_frames(root: Path, size: Size | None = None, every: int = 10) -> PairFrames:
    """Frames of KITTI's depth completion set, three squares of each, reduced to 100x100.

    Under `root`: ``train/DRIVE/proj_depth/groundtruth/image_02/*.png`` (and image_03), ``val/...``
    alike, the pictures ``DATE/DRIVE/image_02/data/*.png`` of the raw data, and
    ``val_selection_cropped/{image,groundtruth_depth}``, there or in ``depth_selection``. What is
    missing is done without. The standard split: the selection is for testing, or all of ``val``
    where there is no selection; the rest of ``val`` shows the same drives and is not read then.
    The place of a frame is its drive.

    Args:
        root: the folder.
        size: (height, width) that the squares of 350 pixels are reduced to.
        every: of a drive's frames, ten a second, takes each of this number; all of the selection.

    Raises:
        FileNotFoundError: none of the folders is there.
        ValueError: nothing can be used.
    """
    found = [root / SELECTION, root / "depth_selection" / SELECTION]
    selection = next((folder for folder in found if folder.is_dir()), None)
    parts = [part for part in ("train", "val") if (root / part).is_dir()]
    if selection is None and not parts:
        raise FileNotFoundError(
            f"--data must hold train, val or {SELECTION}; got kitti:{root}. Name the folder that "
            "KITTI's archives were unpacked in."
        )
    files = list(_drives(root, "train", every))
    tested = list(_drives(root, "val", every) if selection is None else _selected(selection))
    pairs, test, left_out = [], set(), []
    for number, pair in enumerate(files + tested):
        if not pair.picture.is_file():
            left_out.append((str(pair.depth), f"no picture {pair.picture}"))
            continue
        for cut in range(SQUARES.count):
            if number >= len(files):
                test.add(len(pairs))
            pairs.append(Pair(pair.picture, pair.depth, pair.place, f"{pair.name}#{cut}", cut))
    return PairFrames(
        pairs,
        "metres/256",
        size or (100, 100),
        squares=SQUARES,
        test=test,
        left_out=left_out,
    )


def _drives(root: Path, part: str, every: int) -> Iterator[Pair]:
    folders = sorted((root / part).glob("*/proj_depth/groundtruth/image_0[23]"))
    for folder in folders:
        drive, camera = folder.parents[2].name, folder.name
        # The raw data has a folder for each day: 2011_09_26.
        pictures = root / drive[:10] / drive / camera / "data"
        for depth in sorted(folder.glob("*.png"))[::every]:
            name = f"{drive}/{camera}/{depth.stem}"
            yield Pair(pictures / depth.name, depth, drive, name)


def _selected(folder: Path) -> Iterator[Pair]:
    for depth in sorted((folder / "groundtruth_depth").glob("*.png")):
        match = _SELECTED.match(depth.stem)
        if match:
            drive, number, camera = match.groups()
            picture = folder / "image" / f"{drive}_image_{number}_{camera}.png"
            yield Pair(picture, depth, drive, f"{drive}/{camera}/{number}")

"""From what a user names to frames."""

from __future__ import annotations

from pathlib import Path

from mrfmask.depth.arrays import ArrayFrames
from mrfmask.depth.frames import Frames, JoinedFrames
from mrfmask.depth.kitti import kitti_frames
from mrfmask.depth.maps import Size
from mrfmask.depth.pairs import Pair, PairFrames, folder_frames
from mrfmask.depth.synthetic import SyntheticFrames

SYNTHETIC, KITTI = "synthetic", "kitti:"


def open_frames(
    *specs: str,
    size: Size | None = None,
    unit: str = "mm",
    count: int = 1000,
    seed: int = 0,
) -> Frames:
    """Opens data sets of pictures with depth, joined where there are several.

    Args:
        specs: each is ``synthetic``, see `SyntheticFrames`; ``kitti:ROOT``, every tenth frame, see
            `kitti_frames`; a folder, see `folder_frames`; an .npz file, see `ArrayFrames`; or a
            16-bit PNG, one depth map without a picture. A folder of the name synthetic is
            ``./synthetic``.
        size: (height, width) to reduce to; None keeps files as they are and takes 100x100 for
            synthetic frames and KITTI.
        unit: of a step in depth maps of folders and PNG files: "mm" or "metres/256".
        count: of synthetic frames.
        seed: of synthetic frames.

    Returns:
        What cannot be used is in `Frames.left_out`.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: a file of another kind, or nothing in it can be used, or sizes differ.
    """
    if not specs:
        raise ValueError("--data must name a data set; got none. synthetic is always there.")
    parts = [_open(spec, size, unit, count, seed) for spec in specs]
    return parts[0] if len(parts) == 1 else JoinedFrames(parts)


def _open(spec: str, size: Size | None, unit: str, count: int, seed: int) -> Frames:
    if spec == SYNTHETIC:
        return SyntheticFrames(count, seed, size or (100, 100))
    if spec.startswith(KITTI):
        return kitti_frames(Path(spec.removeprefix(KITTI)), size)
    path = Path(spec)
    if not path.exists():
        raise FileNotFoundError(
            f"--data must be synthetic, kitti:ROOT, or a folder or file that exists; got {spec}. "
            "Check the spelling."
        )
    if path.is_dir():
        return folder_frames(path.absolute(), unit, size)
    if path.suffix.lower() == ".npz":
        return ArrayFrames(path, size)
    if path.suffix.lower() == ".png":
        return PairFrames([Pair(None, path, path.stem, path.stem)], unit, size)
    raise ValueError(
        f"--data must be a folder, or end in .npz or .png; got {spec}. Save depth maps as 16-bit "
        "PNG."
    )

"""Frames from one .npz file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

from mrfmask.depth.frames import Frame, Frames
from mrfmask.depth.maps import UNITS, Size, middle, reduce_depth, reduce_picture

# Frame numbers and times stand alone or after a "_"; digits behind letters belong to a scene.
_MOMENT, _CAMERA = re.compile(r"(^|_)\d+$"), re.compile(r"_CAMERA_\d+$", re.IGNORECASE)
# scene_01 is a scene, though its number stands alone.
_SCENE = re.compile(r"^scene_\d+$", re.IGNORECASE)


class ArrayFrames(Frames):
    """Frames of an .npz file, in memory.

    Args:
        path: the file, with ``rgb`` (N, height, width, 3) uint8, ``depth_mm`` (N, height, width)
            integer, 0 for no measurement, ``id`` (N,) strings, all different, and perhaps
            ``place`` (N,) strings. Without places they are made of the ids: what is behind ``#``
            counts cuts, a number at the end that stands alone or after ``_`` is a moment, and
            ``_CAMERA_01`` before it a camera of the same place. So ``learn7#0`` is a place of its
            own, ``scene_01_CAMERA_05_155`` one of scene_01, and all frames ``0000000012#2`` of a
            file are one place.
        size: (height, width) to reduce to, about the middle.

    Raises:
        ValueError: the file or its arrays are not what they must be, or nothing can be used.
    """

    def __init__(self, path: Path, size: Size | None = None) -> None:
        self.size, self.test, self.left_out = size, frozenset(), []
        rgb, steps, ids, places = _read(path)
        kept = []
        for number, name in enumerate(ids):
            if steps[number].any():
                kept.append(number)
            else:
                self.left_out.append((f"{path}: {name}", "no valid depth"))
        if not kept:
            raise ValueError(
                f"--data must hold a frame with valid depth; got {path} with {len(ids)} frames and "
                "none. 0 means no measurement."
            )
        self._rgb, self._steps = rgb[kept], steps[kept]
        self.names = [f"{path.stem}/{ids[number]}" for number in kept]
        if places is None:
            self.places = [_place(path.stem, ids[number]) for number in kept]
        else:
            self.places = [f"{path.stem}/{places[number]}" for number in kept]

    def __getitem__(self, index: int) -> Frame:
        picture = torch.from_numpy(self._rgb[index]).permute(2, 0, 1).float() / 255
        depth = torch.from_numpy(self._steps[index].astype(np.float32) * np.float32(UNITS["mm"]))
        if self.size is not None:
            rows, columns = middle(*depth.shape, self.size)
            picture = reduce_picture(picture[:, rows, columns], self.size)
            depth = reduce_depth(depth[rows, columns], self.size)
        return Frame(picture, depth, depth > 0, self.places[index], self.names[index])


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, list[str], list[str] | None]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            rgb, steps, ids = arrays["rgb"], arrays["depth_mm"], arrays["id"]
            places = arrays.get("place")
    # Damaged archives raise more than that they are none: zlib.error, EOFError, ...
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        raise ValueError(
            f"--data must be an .npz file with the arrays rgb, depth_mm and id; got {path}: "
            f"{error}. Save it with np.savez(path, rgb=..., depth_mm=..., id=...)."
        ) from error
    if rgb.dtype != np.uint8 or rgb.ndim != 4 or rgb.shape[3] != 3 or rgb.size == 0:
        raise ValueError(
            f"rgb must be uint8 of shape (N, height, width, 3); got {rgb.dtype} of shape "
            f"{rgb.shape} in {path}. Convert it."
        )
    if not np.issubdtype(steps.dtype, np.integer) or steps.shape != rgb.shape[:3]:
        raise ValueError(
            f"depth_mm must be integer of shape {rgb.shape[:3]}; got {steps.dtype} of shape "
            f"{steps.shape} in {path}. Give millimetres, 0 for no measurement."
        )
    if (steps < 0).any():
        raise ValueError(
            f"depth_mm must be at least 0; got {steps.min()} in {path}. 0 means no measurement."
        )
    for name, strings in (("id", ids), ("place", places)):
        if strings is not None and (strings.dtype.kind != "U" or strings.shape != rgb.shape[:1]):
            raise ValueError(
                f"{name} must be strings of shape {rgb.shape[:1]}; got {strings.dtype} of shape "
                f"{strings.shape} in {path}. Use np.array([...], dtype=str)."
            )
    if len(np.unique(ids)) < len(ids):
        raise ValueError(f"id must name each frame differently; got equal ones in {path}. Count.")
    return rgb, steps, ids.tolist(), None if places is None else places.tolist()


def _place(stem: str, name: str) -> str:
    scene = name.partition("#")[0]
    if not _SCENE.match(scene):
        scene = _CAMERA.sub("", _MOMENT.sub("", scene))
    return f"{stem}/{scene}" if scene else stem

"""Files of depth data, as others lay them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from folders import picture
from PIL import Image


def depth_png(path: Path, steps: np.ndarray) -> Path:
    """Writes 16-bit grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(steps, dtype=np.uint16)).save(path)
    return path


def sparse_steps(size: tuple[int, int], seed: int = 0, share: float = 0.3) -> np.ndarray:
    """Depth in steps with few valid pixels."""
    draws = np.random.default_rng(seed)
    return draws.integers(200, 20000, size) * (draws.random(size) < share)


def truncate(path: Path) -> None:
    """Leaves half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def mixed_folder(root: Path, good: str) -> Path:
    """A folder with good pairs, each a place of its own, and three that cannot be used."""
    draws = np.random.default_rng(0)
    for name in (*good, *LEFT_OUT):
        picture(root / "image" / name / "1.png", seed=len(name), size=(20, 30))
        size = (20, 31) if name == "other_size" else (20, 30)
        depth_png(
            root / "depth" / name / "1.png", draws.integers(500, 3000, size) * (name != "invalid")
        )
    truncate(root / "depth" / "truncated" / "1.png")
    return root


# What is said of the pairs of `mixed_folder` that cannot be used.
LEFT_OUT = {
    "truncated": "image file is truncated",
    "other_size": "depth must have the size of its picture, (20, 30); got (20, 31)",
    "invalid": "no valid depth",
}

"""Files of depth data, as others lay them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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

"""Folders of pictures, and what a run left in one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (9, 12)) -> Path:
    """Writes a noisy picture of the given height and width."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def lines(out: Path) -> list[dict]:
    """The records of results.jsonl."""
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def names(out: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())

"""Arrays that take long to make, kept in files; forgotten when what they hang on has changed."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mrfmask.files import PART_PREFIX, PART_SUFFIX, write_whole

Arrays = dict[str, np.ndarray]


class FrameCache:
    """Arrays of frames in a folder, one file a frame; a killed run leaves whole files alone.

    Args:
        folder: made if need be; it belongs to the cache alone.
        key: says what the arrays hang on, e.g. `digest_of` a network. Files made with another key
            are deleted.
    """

    def __init__(self, folder: Path, key: str) -> None:
        digest = hashlib.sha256(key.encode()).hexdigest()[:16]
        self.folder = folder / digest
        if folder.is_dir():
            for other in folder.iterdir():
                if other.is_dir() and other.name != digest:
                    shutil.rmtree(other)
        self.folder.mkdir(parents=True, exist_ok=True)
        for part in self.folder.glob(f"{PART_PREFIX}*{PART_SUFFIX}"):
            part.unlink(missing_ok=True)  # what a killed run was writing

    def get(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """The arrays of the frame `name`: read, or made and written."""
        path = self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.npz"
        arrays = _read(path)
        if arrays is None:
            arrays = make()
            write_whole(path, lambda file: np.savez_compressed(file, **arrays))
        return arrays


def _read(path: Path) -> Arrays | None:
    """What a file holds; None if there is none, or it is broken."""
    try:
        with open(path, "rb") as file:
            return dict(np.load(file, allow_pickle=False).items())
    except FileNotFoundError:
        return None
    # Damaged files make the reader raise almost anything: BadZipFile, EOFError, zlib.error, ...
    except Exception:
        return None

"""Arrays that take long to make, kept in files; forgotten when what they hang on has changed."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mrfmask.files import write_whole

Arrays = dict[str, np.ndarray]


class FrameCache:
    """Arrays of frames in a folder, one file a frame; a killed run leaves whole files alone.

    Args:
        folder: made if need be; it belongs to the cache alone.
        key: says what the arrays hang on, e.g. a digest of a network's weights. Files made with
            another key are deleted.
    """

    def __init__(self, folder: Path, key: str) -> None:
        digest = hashlib.sha256(key.encode()).hexdigest()[:16]
        self.folder = folder / digest
        if folder.is_dir():
            for other in folder.iterdir():
                if other.is_dir() and other.name != digest:
                    shutil.rmtree(other)
        self.folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """The arrays of the frame `name`: read, or made and written."""
        path = self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, zipfile.BadZipFile):
            path.unlink()  # not ours to mend: made again
        arrays = make()
        write_whole(path, lambda file: np.savez_compressed(file, **arrays))
        return arrays

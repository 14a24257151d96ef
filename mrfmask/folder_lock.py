"""A folder for one run at a time: two that write to the same files would spoil them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType


class FolderLock:
    """Holds an output folder until it is closed, or the process ends, however that ends.

    The lock is on the folder itself and leaves no file in it.

    Args:
        folder: the output folder, made if need be.

    Raises:
        RuntimeError: another run holds the folder.
        ValueError: it is a file.
        OSError: the folder cannot be made or opened.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from mrfmask.folder_lock import FolderLock
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with FolderLock(Path(folder) / "out") as lock:
        ...         lock.folder.is_dir()
        True
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise ValueError(
                f"--out must be a folder; got {folder}, a file. Choose another name."
            ) from None
        self._opened = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(self._opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._opened)
            raise RuntimeError(
                f"--out must not be in use by another run; got {folder}. Wait for it to end, or "
                "use another folder."
            ) from None
        except BaseException:
            os.close(self._opened)
            raise

    def close(self) -> None:
        """Lets go of the folder; to be called once."""
        # Processes that were forked meanwhile share the lock: closing alone would leave it to them.
        fcntl.flock(self._opened, fcntl.LOCK_UN)
        os.close(self._opened)

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

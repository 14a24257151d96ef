"""A folder is held by one run at a time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mrfmask.folder_lock import FolderLock

IN_USE = r"^--out must not be in use by another run; got .*out\. Wait for it to end, or use another"
HOLD = """
import sys
from pathlib import Path
from mrfmask.folder_lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_folder_is_held_until_the_other_process_is_killed(tmp_path):
    folder = tmp_path / "out"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with other:
        try:
            assert other.stdout.readline() == b"held\n"
            with pytest.raises(RuntimeError, match=IN_USE):
                FolderLock(folder)
        finally:
            other.kill()
    FolderLock(folder).close()
    assert list(folder.iterdir()) == []


def test_folder_is_free_after_the_block_though_a_fork_lives_on(tmp_path):
    folder = tmp_path / "out"
    with FolderLock(folder) as lock:
        # As a forked process would: the same open folder under another number.
        fork = os.dup(lock._opened)
        with pytest.raises(RuntimeError, match=IN_USE):
            FolderLock(folder)
    try:
        FolderLock(folder).close()
    finally:
        os.close(fork)


def test_folder_that_is_a_file_is_refused(tmp_path):
    path = tmp_path / "out"
    path.write_text("")
    with pytest.raises(ValueError, match=r"^--out must be a folder; got .*, a file\. Choose"):
        FolderLock(path)

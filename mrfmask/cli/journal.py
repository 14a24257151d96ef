"""results.jsonl: one line for each finished image, and what of it still holds on the next run.

Safe against a kill at any moment: a line is appended, and synced, only when the files it speaks of
are complete. A cut last line is dropped on the next run, which then does that image again.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from mrfmask.files import PART_PREFIX, PART_SUFFIX, write_whole
from mrfmask.folder_lock import FolderLock

Record = dict[str, Any]
Key = tuple[str, int | None, str]

LINE_START = b'{"input": '


class Journal:
    """The results of an output folder; held by one run at a time.

    Args:
        folder: the output folder, made if need be.

    Raises:
        RuntimeError: another run is writing to the folder.
        ValueError: there is a results.jsonl that is not ours.
        OSError: the folder cannot be made or written to.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "results.jsonl"
        self.folder = folder
        self._lock = FolderLock(folder)
        try:
            self._records = self._read()
        except BaseException:
            self._lock.close()
            raise
        for part in folder.rglob(f"{PART_PREFIX}*{PART_SUFFIX}"):
            part.unlink(missing_ok=True)  # what a killed run was writing

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.close()

    def finished(self, key: Key, source: str, outputs: Collection[str]) -> Record | None:
        """The record of an image if it still holds, else None.

        It holds if the content of the input is the same, and all outputs are there and are the ones
        that were written with this record.

        Args:
            key: of the image and the settings, see `key_of`.
            source: SHA-256 of the input file.
            outputs: the files that must be there, relative to the folder.
        """
        record = self._records.get(key)
        if record is None or record.get("input_sha256") != source:
            return None
        written = record.get("outputs", {})
        for name in outputs:
            path = self.folder / name
            if name not in written or not path.is_file() or sha256_of(path) != written[name]:
                return None
        return record

    def drop(self, keys: Collection[Key]) -> None:
        """Takes out the records of images that will be done again."""
        if not self._records.keys().isdisjoint(keys):
            kept = {key: record for key, record in self._records.items() if key not in keys}
            text = b"".join(_line(record) for record in kept.values())
            write_whole(self.path, lambda file: file.write(text))
            self._records = kept

    def append(self, record: Record) -> None:
        """Adds the record of an image whose files are complete."""
        line = _line(record)
        with open(self.path, "ab", buffering=0) as file:
            before = file.tell()
            try:
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                os.fsync(file.fileno())
            except BaseException:
                # Half a line would spoil the next one.
                with suppress(OSError):
                    file.truncate(before)
                raise
        self._records[key_of(record)] = record

    def _read(self) -> dict[Key, Record]:
        if not self.path.exists():
            return {}
        *lines, cut = self.path.read_bytes().split(b"\n")
        records: dict[Key, Record] = {}
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
                records[key_of(record)] = record
            except (ValueError, TypeError, KeyError) as error:
                raise self._foreign(number) from error
        if cut and cut[: len(LINE_START)] != LINE_START[: len(cut)]:
            raise self._foreign(len(lines) + 1)
        if cut:
            os.truncate(self.path, self.path.stat().st_size - len(cut))
        return records

    def _foreign(self, number: int) -> ValueError:
        return ValueError(
            f"--out must be a folder whose results.jsonl, if any, is of this command; got "
            f"{self.path} with another kind of line {number}. Move it away, or use another folder."
        )


def key_of(record: Record) -> Key:
    """What a record is the result of: the image and the settings."""
    return record["input"], record["image"], json.dumps(record["settings"], sort_keys=True)


def sha256_of(path: Path) -> str:
    """SHA-256 of the content of a file, in hexadecimal; kept while size and time stay the same."""
    status = os.stat(path)
    return _sha256(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, modified_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _line(record: Record) -> bytes:
    return json.dumps(record, allow_nan=False).encode() + b"\n"

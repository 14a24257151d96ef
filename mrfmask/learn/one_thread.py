"""Torch in one thread, for work in pieces too small to be shared out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[int]:
    """Yields how many threads torch had; threads that start meanwhile take over the setting.

    Where other programs keep the cores busy, waiting for its own threads takes torch ten times as
    long as the work on an image of 100x100.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)

"""Items of a batch in parallel: kernels without the interpreter's lock, in threads of Python."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def each_item(run: Callable[[int], None], items: int) -> None:
    """Calls ``run(0)``, ..., ``run(items - 1)`` in torch.get_num_threads() threads.

    Each writes only what is its own, so results do not depend on the number of threads. The first
    error stops what has not begun and is raised.
    """
    threads = min(torch.get_num_threads(), items)
    if threads < 2:
        for item in range(items):
            run(item)
        return
    # A pool of its own: a lasting one would be lost in processes forked from this one.
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(run, item) for item in range(items)]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise

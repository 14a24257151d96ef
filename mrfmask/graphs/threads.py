"""Items of a batch in parallel: kernels without the interpreter's lock, in threads of Python."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

# Set in the threads of a pool: the event by which it is asked to stop.
_here = threading.local()


def each_item(run: Callable[[int], None], items: int) -> None:
    """Calls ``run(0)``, ..., ``run(items - 1)`` in torch.get_num_threads() threads.

    Each writes only what is its own, so results do not depend on the number of threads. The first
    error, or Ctrl-C, stops what has not begun, and what has at its next `stop_if_asked`; then it
    is raised.
    """
    threads = min(torch.get_num_threads(), items)
    if threads < 2:
        for item in range(items):
            run(item)
        return
    asked = threading.Event()
    # A pool of its own: a lasting one would be lost in processes forked from this one.
    with ThreadPoolExecutor(threads, initializer=_listen, initargs=(asked,)) as pool:
        futures = [pool.submit(run, item) for item in range(items)]
        try:
            for future in futures:
                future.result()
        except BaseException:
            asked.set()
            pool.shutdown(cancel_futures=True)
            raise


def stop_if_asked() -> None:
    """Ends an item of `each_item` whose caller has been interrupted; to be called now and then.

    Only the main thread sees Ctrl-C: kernels in others would go on to their end, and their caller
    wait for them.

    Raises:
        KeyboardInterrupt: in a thread of `each_item` that was asked to stop.
    """
    asked = getattr(_here, "asked", None)
    if asked is not None and asked.is_set():
        raise KeyboardInterrupt


def _listen(asked: threading.Event) -> None:
    _here.asked = asked

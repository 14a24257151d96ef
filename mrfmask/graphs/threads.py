"""Kernels in threads of Python: items of a batch in parallel, and Ctrl-C during long ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, CancelledError, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

Result = TypeVar("Result")

_thread = threading.local()


def each_item(run: Callable[[int], None], items: int) -> None:
    """Calls ``run(0)``, ..., ``run(items - 1)`` in torch.get_num_threads() threads.

    Each writes only what is its own, so results do not depend on the number of threads. The first
    error, or Ctrl-C, stops what has not begun, and what calls `may_stop`, and is raised.
    """
    threads = min(torch.get_num_threads(), items)
    if threads < 2 or hasattr(_thread, "stop"):  # The threads of an outer call are enough.
        for item in range(items):
            run(item)
        return
    stop = threading.Event()

    def work(item: int) -> None:
        _thread.stop = stop
        run(item)

    # A pool of its own: a lasting one would be lost in processes forked from this one.
    with ThreadPoolExecutor(threads) as pool:
        try:
            futures = [pool.submit(work, item) for item in range(items)]
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future.done():
                    future.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def may_stop() -> None:
    """Ends an item of `each_item` that is not wanted any more; to be called every second or so.

    In the main thread Ctrl-C needs no such call, only that no kernel runs for long.
    """
    stop = getattr(_thread, "stop", None)
    if stop is not None and stop.is_set():
        raise CancelledError


def in_thread(run: Callable[[], Result], stop: Callable[[], object] | None = None) -> Result:
    """What `run` returns or raises, from a thread of its own.

    The calling thread stays free to take Ctrl-C, which compiled code cannot (kernels that return
    arrays turn it into a SystemError); it then calls `stop`, waits for the other one and raises.
    """
    # Not Thread.join: interrupted, it takes a running thread for a finished one (Python 3.11).
    done = threading.Event()
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(run())
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=work).start()
    try:
        while not done.wait(timeout=0.1):
            pass
    except KeyboardInterrupt:
        if stop is not None:
            stop()
        done.wait()
        raise
    if errors:
        raise errors[0]
    return results[0]

"""HiGHS, quiet and on one thread; threads that leave Ctrl-C to their caller."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

# A reduced cost may have the wrong sign by this: so much for each variable, all in [0, 1].
DUAL_TOLERANCE = 1e-9

Result = TypeVar("Result")


def quiet_highs() -> Any:
    """An empty program."""
    import highspy

    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    # One thread: a pool of more hangs in processes forked from this one.
    highs.setOptionValue("threads", 1)
    # The other tolerances stay: with smaller ones HiGHS's heuristics find far worse masks.
    highs.setOptionValue("dual_feasibility_tolerance", DUAL_TOLERANCE)
    return highs


def run_interruptibly(highs: Any) -> None:
    """Runs HiGHS so that Ctrl-C stops it.

    In a thread of its own, so that the scheduler that HiGHS keeps for each thread is neither shared
    with other users of HiGHS nor left to forks.
    """
    import highspy

    def run() -> None:
        highs.run()
        highspy.Highs.resetGlobalScheduler(True)

    highs.HandleUserInterrupt = True
    in_thread(run, stop=highs.cancelSolve)


def in_thread(run: Callable[[], Result], stop: Callable[[], object] | None = None) -> Result:
    """What `run` returns or raises, from a thread of its own.

    The calling thread stays free to take Ctrl-C, which compiled code cannot; it then calls `stop`,
    waits for the other one and raises.
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

"""HiGHS, quiet, on one thread, and stopped by Ctrl-C."""

from __future__ import annotations

import threading
from typing import Any

# A reduced cost may have the wrong sign by this: so much for each variable, all in [0, 1].
DUAL_TOLERANCE = 1e-9


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

    In a thread of its own: the calling thread stays free to take the signal, and the scheduler that
    HiGHS keeps for each thread is neither shared with other users of HiGHS nor left to forks.
    """
    import highspy

    # Not Thread.join: interrupted, it takes a running thread for a finished one (Python 3.11).
    done = threading.Event()

    def run() -> None:
        try:
            highs.run()
            highspy.Highs.resetGlobalScheduler(True)
        finally:
            done.set()

    highs.HandleUserInterrupt = True
    threading.Thread(target=run).start()
    try:
        while not done.wait(timeout=0.1):
            pass
    except KeyboardInterrupt:
        highs.cancelSolve()
        done.wait()
        raise

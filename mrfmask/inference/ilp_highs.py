"""HiGHS, quiet and on one thread."""

from __future__ import annotations

from typing import Any

from mrfmask.graphs.threads import in_thread

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

    In a thread of its own, so that the scheduler that HiGHS keeps for each thread is neither shared
    with other users of HiGHS nor left to forks.
    """
    import highspy

    def run() -> None:
        highs.run()
        highspy.Highs.resetGlobalScheduler(True)

    highs.HandleUserInterrupt = True
    in_thread(run, stop=highs.cancelSolve)

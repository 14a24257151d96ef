"""The process that a method is measured in: a request a line on stdin, an answer a line on stdout.

Nothing but the run is in its numbers: imports and a first small run come before, and what the
allocator kept from earlier runs is given back, so that the memory of this one is seen.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import gc
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mrfmask.bench.instances import draw
from mrfmask.inference import METHODS
from mrfmask.inference.method import Method
from mrfmask.model import IsingGrid
from mrfmask.model_files import load_model
from mrfmask.result import MapResult, Status

# One, like the solver of the integer programs.
THREADS = 1
# A quick run is repeated so often, or until so much time is spent; the shortest time counts, as
# other programs on the machine only ever add to it.
MOST_RUNS, ENOUGH_SECONDS = 20, 0.2

PR_SET_PDEATHSIG, SIGKILL = 1, 9


def main() -> None:
    """Answers requests until the input ends."""
    # A killed parent must not leave a solver behind that runs for minutes.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # solvers print
    torch.set_num_threads(THREADS)
    for line in sys.stdin:
        answers.write(json.dumps(answer(json.loads(line)), allow_nan=False) + "\n")
        answers.flush()


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Runs the method of a request; one without a model warms up.

    Args:
        request: "method", a name in METHODS; "options" for it; "model", a file.

    Returns:
        "status" and what was measured; where the method has no mask, "cannot" or "failed" as the
        status, and a reason.
    """
    kind = METHODS[request["method"]]
    if "model" not in request:
        return _warm_up(kind)
    try:
        method = kind(**request["options"])
        model = load_model(request["model"])
        return _measure(method, model)
    except ValueError as error:
        return {"status": "cannot", "reason": str(error), "finished": True}
    except Exception as error:
        # One method that breaks must not end the comparison of the others.
        return {"status": "failed", "reason": f"{type(error).__name__}: {error}", "finished": True}


def _warm_up(kind: type[Method]) -> dict[str, Any]:
    for signs in ("associative", "mixed"):
        with contextlib.suppress(Exception):  # the runs themselves will tell
            kind().find_map(draw(8, signs, strength=1.0, number=0, seed=0).model)
    # Going through all that was imported takes longer than many a run.
    gc.collect()
    gc.freeze()
    return {"status": "ready"}


def _measure(method: Method, model: IsingGrid) -> dict[str, Any]:
    gc.collect()
    _give_memory_back()
    clean = _reset_peak()
    before = _memory_bytes("VmRSS")
    result, seconds, bound_seconds = _run(method, model)
    peak = max(_memory_bytes("VmHWM") - before, 0) if clean else None
    runs, spent = 1, seconds
    limited = result.status[0] is Status.TIME_LIMIT  # each run would have another answer
    while runs < MOST_RUNS and spent < ENOUGH_SECONDS and not limited:
        _, again, again_bound = _run(method, model)
        runs, spent = runs + 1, spent + again
        seconds = min(seconds, again)
        bound_seconds = min(bound_seconds, again_bound)
    mask = np.packbits(result.mask.numpy().reshape(-1))
    return {
        "status": result.status[0].name.lower(),
        "energy": _finite(result.energy),
        "lower_bound": _finite(result.lower_bound),
        "seconds": seconds,
        "bound_seconds": bound_seconds,
        "runs": runs,
        "peak_bytes": peak,
        "mask": base64.b64encode(mask.tobytes()).decode(),
        "finished": _is_finished(method, result),
    }


def _run(method: Method, model: IsingGrid) -> tuple[MapResult, float, float]:
    """The result, the seconds to its mask, and those for a bound that the mask did not need."""
    with _timed_bounds(type(method)) as times:
        start = time.perf_counter()
        result = method.find_map(model)
        seconds = time.perf_counter() - start
    return result, seconds - sum(times), sum(times)


def _is_finished(method: Method, result: MapResult) -> bool:
    """Whether more effort cannot change the answer: it is optimal, or it has converged."""
    done, most = result.stats.get("sweeps"), getattr(method, "max_sweeps", None)
    converged = most is not None and isinstance(done, torch.Tensor) and bool((done < most).all())
    return result.status[0] is Status.OPTIMAL or converged


@contextlib.contextmanager
def _timed_bounds(kind: type[Method]) -> Iterator[list[float]]:
    """Times of the calls that a heuristic makes for a lower bound, which its mask does not need.

    On small grids they take longer than the mask.
    """
    times: list[float] = []
    module = sys.modules[kind.__module__]
    bound = getattr(module, "quick_bound", None)
    if bound is None or kind.exact:
        yield times
        return

    def timed(model: IsingGrid) -> torch.Tensor:
        start = time.perf_counter()
        try:
            return bound(model)
        finally:
            times.append(time.perf_counter() - start)

    module.quick_bound = timed
    try:
        yield times
    finally:
        module.quick_bound = bound


def _give_memory_back() -> None:
    """Free memory that the allocator keeps would hide what the next run takes."""
    with contextlib.suppress(AttributeError):  # not in every C library
        ctypes.CDLL(None).malloc_trim(0)


def _reset_peak() -> bool:
    """Sets the peak of resident memory to what is resident now (man 5 proc, clear_refs)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _memory_bytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status must have {name}; got none. Use Linux.")


def _finite(values: torch.Tensor) -> float | None:
    """The value of the only image; None for infinity, which JSON does not have."""
    value = float(values[0])
    return value if math.isfinite(value) else None


if __name__ == "__main__":
    main()

"""Runs of one method in a process of its own: a crash or a run without end is a row, not the end.

The process is started afresh, not forked: it holds what the method needs and nothing of ours.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from mrfmask.bench.instances import Instance
from mrfmask.bench.worker import THREADS
from mrfmask.model_files import save_model

# Importing torch takes seconds, on a busy machine many.
START_LIMIT_S = 120.0
# A method that minds its time limit is not stopped, one that has none gets so much.
LIMITS, SPARE_SECONDS = 2.0, 10.0
LONGEST_POLL_MS = 2**31 - 1

Answer = dict[str, Any]


class Worker:
    """A process that runs one method; started when first needed, and again after it ended.

    Args:
        method: name in METHODS.
        time_limit_s: longest limit that a run is given; at twice that and 10 s it is killed.
        command: what to start; only tests have another one.
    """

    def __init__(
        self,
        method: str,
        time_limit_s: float,
        command: tuple[str, ...] = (sys.executable, "-m", "mrfmask.bench.worker"),
    ) -> None:
        self._method = method
        self._limit = LIMITS * time_limit_s + SPARE_SECONDS
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._written: Instance | None = None

    def __enter__(self) -> Worker:
        self._folder = tempfile.TemporaryDirectory(prefix="mrfmask-bench-")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()
        self._folder.cleanup()

    def measure(self, instance: Instance, options: dict[str, Any]) -> Answer:
        """Runs the method on an instance and returns what `mrfmask.bench.worker` answers.

        The status is "cannot", "failed" or "killed", with a reason, where there is no mask.
        """
        if self._process is None:
            self._start()
            ready = self._ask({"method": self._method}, START_LIMIT_S)
            if ready["status"] != "ready":
                return ready
        model = Path(self._folder.name, "model.npz")
        if self._written is not instance:
            save_model(instance.model, model)
            self._written = instance
        request = {"method": self._method, "options": options, "model": str(model)}
        return self._ask(request, self._limit)

    def _start(self) -> None:
        threads = {name: str(THREADS) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        with open(self._errors, "wb") as errors:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | threads,
                # Ctrl-C goes to us alone; we stop the process.
                start_new_session=True,
            )

    def _ask(self, request: dict[str, Any], limit_s: float) -> Answer:
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._answer_within(limit_s)
        except BrokenPipeError:
            line = ""
        if line is None:
            self._stop()
            return _without_mask("killed", f"no answer within {limit_s:g} s")
        if not line.endswith("\n"):
            return _without_mask("failed", self._why_it_ended())
        return json.loads(line)

    def _answer_within(self, limit_s: float) -> str | None:
        """The next line, empty or cut where the process ended; None if there is none in time."""
        ready = select.poll()
        ready.register(self._process.stdout, select.POLLIN | select.POLLHUP)
        # An answer comes at once and whole: what can be read ends in a line.
        if not ready.poll(min(limit_s * 1000, LONGEST_POLL_MS)):
            return None
        return self._process.stdout.readline()

    def _why_it_ended(self) -> str:
        code = self._process.wait()
        self._stop()
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        said = self._errors.read_text(errors="replace").strip().splitlines()
        return f"the process ended by {how}" + (f": {said[-1]}" if said else "")

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # what it was to be told last does not matter now
        self._process = None

    @property
    def _errors(self) -> Path:
        return Path(self._folder.name, "errors.txt")


def _without_mask(status: str, reason: str) -> Answer:
    return {"status": status, "reason": reason, "finished": True}

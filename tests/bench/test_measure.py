"""Processes that crash, hang, print and end: each is a row, and the next run goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from measured import instance_of
from strategies import random_grid

import mrfmask as mm
from mrfmask.bench import measure
from mrfmask.bench.measure import Worker

# Speaks the protocol, without the seconds that importing torch takes.
FAKE = """
import json, os, sys, time
for line in sys.stdin:
    request = json.loads(line)
    do = request.get("options", {}).get("do", "")
    exec(do)
    print(json.dumps({"status": "ready", "pid": os.getpid(), "do": do}), flush=True)
"""


@pytest.fixture
def fake():
    with Worker("any", 0.1, command=(sys.executable, "-c", FAKE)) as worker:
        yield worker


@pytest.fixture
def instance():
    return instance_of(random_grid(1, 3, 4))


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_worker_uses_one_process_for_many_runs(fake, instance):
    assert len({fake.measure(instance, {})["pid"] for _ in range(3)}) == 1


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("os.abort()", "SIGABRT"),
        ("os._exit(3)", "exit code 3"),
        ("raise OSError('no more room')", "exit code 1: OSError: no more room"),
        ("print('half a', end='', flush=True); os._exit(0)", "exit code 0"),
    ],
)
def test_crash_is_an_answer_and_the_next_run_goes_on(fake, instance, code, how):
    before = fake.measure(instance, {})["pid"]
    crashed = fake.measure(instance, {"do": code})
    assert crashed["status"] == "failed"
    assert crashed["reason"] == f"the process ended by {how}"
    after = fake.measure(instance, {})["pid"]
    assert after != before
    assert not is_running(before)


def test_run_without_end_is_killed_at_the_limit(fake, instance, monkeypatch):
    monkeypatch.setattr(fake, "_limit", 0.3)
    pid = fake.measure(instance, {})["pid"]
    start = time.monotonic()
    found = fake.measure(instance, {"do": "time.sleep(60)"})
    assert time.monotonic() - start < 5
    assert found == {"status": "killed", "reason": "no answer within 0.3 s", "finished": True}
    assert not is_running(pid)
    assert fake.measure(instance, {})["status"] == "ready"


def test_limit_leaves_room_beyond_the_method_s_own():
    assert Worker("ilp", 7.0)._limit == 7.0 * measure.LIMITS + measure.SPARE_SECONDS > 14


def test_limit_of_centuries_is_taken(instance):
    with Worker("any", 1e12, command=(sys.executable, "-c", FAKE)) as worker:
        assert worker.measure(instance, {})["status"] == "ready"


def test_process_and_files_go_with_the_worker(instance):
    with Worker("any", 0.1, command=(sys.executable, "-c", FAKE)) as worker:
        pid = worker.measure(instance, {})["pid"]
        folder = Path(worker._folder.name)
        assert is_running(pid)
        assert mm.load_model(folder / "model.npz").shape == (1, 3, 4)
    assert not is_running(pid)
    assert not folder.exists()


def test_process_that_cannot_start_is_an_answer(instance):
    with Worker("any", 0.1, command=(sys.executable, "-c", "import no_such_module")) as worker:
        found = worker.measure(instance, {})
    assert found["status"] == "failed"
    assert found["reason"].endswith("No module named 'no_such_module'")


PRINTS_AND_CRASHES = """
import os
import mrfmask as mm
from mrfmask.bench import worker
find_map = mm.GraphCut.find_map

def broken(method, model):
    os.write(1, b"a solver's banner")
    if model.shape[1] == 9:
        os.kill(os.getpid(), 11)
    return find_map(method, model)

mm.GraphCut.find_map = broken
worker.main()
"""


def test_real_process_measures_through_prints_and_crashes(instance):
    command = (sys.executable, "-c", PRINTS_AND_CRASHES)
    with Worker("graph_cut", 1.0, command=command) as worker:
        found = worker.measure(instance, {})
        assert found["energy"] == mm.find_map(instance.model).energy.item()
        assert found["peak_bytes"] < 2**20  # imports are not in it
        crashed = worker.measure(instance_of(random_grid(1, 9, 9)), {})
        assert crashed["status"] == "failed"
        assert crashed["reason"].startswith("the process ended by SIGSEGV: a solver's banner")


HANGS = """
import os, sys, time
import torch
import mrfmask as mm
from mrfmask.bench import worker

if sys.argv[1:] == ["worker"]:
    def endless(method, model):
        if model.shape[1] == 9:
            print(os.getpid(), file=open(os.environ["PID_FILE"], "w"), flush=True)
            time.sleep(600)

    mm.GraphCut.find_map = endless
    worker.main()
else:
    from mrfmask.bench.instances import draw
    from mrfmask.bench.measure import Worker
    with Worker("graph_cut", 600.0, (sys.executable, __file__, "worker")) as worker:
        worker.measure(draw(9, "associative", 1.0, 0, 0), {})
"""


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_process_in_a_long_run_ends_with_a_killed_parent(tmp_path):
    (tmp_path / "hangs.py").write_text(HANGS)
    pid_file = tmp_path / "pid"
    environment = os.environ | {"PID_FILE": str(pid_file)}
    with subprocess.Popen([sys.executable, tmp_path / "hangs.py"], env=environment) as parent:
        pid = int(wait_for(lambda: pid_file.exists() and pid_file.read_text().strip()))
        assert is_running(pid)
        parent.kill()
    wait_for(lambda: not is_running(pid))

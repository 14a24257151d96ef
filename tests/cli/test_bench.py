"""What ``mrfmask bench`` measures, writes and says, and how it goes on after a kill."""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from folders import lines, names
from measured import WorkerHere
from oracles import enumerate_image
from strategies import random_grid
from typer.testing import CliRunner

import mrfmask as mm
from mrfmask.bench import worker
from mrfmask.bench.instances import SIGNS, draw
from mrfmask.cli import app

REPORT = ["bench.html", "bench.json", "bench.png", "results.jsonl"]
SMALL = ("--sizes", "3", "--strengths", "1", "--time-limit", "1")


def bench(*words, code=0):
    result = CliRunner().invoke(app, ["bench", *map(str, words)])
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def here(monkeypatch, tmp_path):
    """Measures in this process, which is quick; gives the list of what was measured."""
    command = importlib.import_module("mrfmask.cli.bench")
    monkeypatch.setattr(command, "Worker", WorkerHere)
    monkeypatch.setattr(WorkerHere, "measured", [], raising=False)
    monkeypatch.setattr(WorkerHere, "folder", tmp_path, raising=False)
    monkeypatch.setattr(worker, "ENOUGH_SECONDS", 0.0)
    monkeypatch.setattr("mrfmask.bench.report.draw_picture", lambda rows, title: b"a picture")
    # As the worker does when it has started: a collection for each run would take longer than it.
    gc.collect()
    gc.freeze()
    yield WorkerHere.measured
    gc.unfreeze()


def report_of(out):
    return json.loads((out / "bench.json").read_text())


def test_bench_measures_in_processes_of_their_own(tmp_path):
    out = tmp_path / "out"
    words = ("--sizes", "5", "--strengths", "1", "--signs", "mixed")
    bench("--out", out, *words, "--methods", "ilp,mean_field")
    assert names(out) == REPORT
    assert (out / "bench.png").read_bytes().startswith(b"\x89PNG")
    model = draw(5, "mixed", 1.0, 0, 0).model
    (record,) = report_of(out)["instances"]
    assert record["energy"] == pytest.approx(mm.find_map(model).energy.item(), rel=1e-9)
    assert {run["method"] for run in record["runs"]} == {"ilp", "mean_field"}
    # A process of our own holds hundreds, and has read the solver before the first run.
    assert all(0 <= run["peak_mib"] < 20 for run in record["runs"])


@pytest.mark.usefixtures("here")
def test_bench_compares_every_method_with_the_true_optimum(tmp_path):
    out = tmp_path / "out"
    result = bench("--out", out, "--sizes", "4", "--strengths", "1.5", "--time-limit", "20")
    report = report_of(out)
    assert [i["signs"] for i in report["instances"]] == list(SIGNS)
    for record in report["instances"]:
        truth = enumerate_image(draw(4, record["signs"], 1.5, 0, 0).model).minimum()
        assert record["proven"]
        assert record["energy"] == pytest.approx(truth, abs=1e-8)
        methods = [run["method"] for run in record["runs"]]
        assert list(dict.fromkeys(methods)) == [
            "exact",
            "graph_cut",
            "strips",
            "qpbo",
            "ilp",
            "mean_field",
            "belief_propagation",
            "annealing",
        ]
        assert methods.count("annealing") > 3
        for run in record["runs"]:
            if run["status"] == "cannot":
                assert (run["method"], record["signs"]) == ("graph_cut", "mixed")
                continue
            assert run["gap"] == pytest.approx(run["energy"] - truth, abs=1e-6)
            assert 0 < run["seconds"] < 20
            assert run["gap"] > 0 or run["same_percent"] == 100
    assert report["machine"]["threads"] == 1
    assert report["machine"]["mrfmask"] == mm.__version__
    assert {"processor", "torch", "highspy", "date", "python"} <= set(report["machine"])
    for words in ("When is mean field good enough?", "When is the cut free?", "cannot"):
        assert words in result.stdout
    assert f"The report is in {out}" in result.stdout


@pytest.mark.usefixtures("here")
def test_bench_takes_files_of_potentials(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    mm.save_model(random_grid(2, 3, 4, signs="any"), folder / "two.npz")
    mm.save_model(random_grid(1, 2, 2), folder / "one.safetensors")
    bench(folder, "--out", tmp_path / "out", "--methods", "mean_field,exact")
    report = report_of(tmp_path / "out")
    found = [(i["name"], i["number"], i["height"], i["width"]) for i in report["instances"]]
    assert found == [("one.safetensors", 0, 2, 2), ("two.npz", 0, 3, 4), ("two.npz", 1, 3, 4)]
    assert report["settings"] == {
        "methods": ["exact", "mean_field"],
        "time_limit_s": 10.0,
        "seed": 0,
        "files": 2,
    }


def test_bench_runs_with_the_settings_that_it_names(here, tmp_path):
    words = ("--signs", "mixed", "--repeats", "2", "--seed", "7", "--methods", "annealing")
    bench("--out", tmp_path / "out", *SMALL, *words)
    instances = report_of(tmp_path / "out")["instances"]
    assert [i["sha256"] for i in instances] == [draw(3, "mixed", 1.0, n, 7).sha256 for n in (0, 1)]
    assert {options["seed"] for _, _, options in here} == {7}
    settings = report_of(tmp_path / "out")["settings"]
    assert settings["repeats"] == 2
    assert settings["strengths"] == [1.0]


def test_bench_stops_where_more_effort_cannot_help(here, tmp_path):
    bench("--out", tmp_path / "out", *SMALL, "--signs", "mixed", "--methods", "mean_field,ilp")
    sweeps = [options["max_sweeps"] for method, _, options in here if method == "mean_field"]
    assert 10_000 not in sweeps
    assert len(sweeps) >= 2
    assert sum(method == "ilp" for method, *_ in here) < 4


def test_second_run_measures_nothing_and_reports_the_same(here, tmp_path):
    words = ("--out", tmp_path / "out", *SMALL, "--methods", "mean_field,exact")
    bench(*words)
    first, count = (tmp_path / "out" / "bench.json").read_text(), len(here)
    result = bench(*words)
    assert len(here) == count > 0
    assert (tmp_path / "out" / "bench.json").read_text() == first
    assert result.stdout.count("already done, skipped") == 6
    bench(*words, "--overwrite")
    assert len(here) == 2 * count
    assert len(lines(tmp_path / "out")) == count


@pytest.mark.parametrize("words", [("--seed", "1"), ("--strengths", "2")])
def test_other_instances_are_measured_anew(here, tmp_path, words):
    bench("--out", tmp_path / "out", *SMALL, "--methods", "exact")
    bench("--out", tmp_path / "out", *SMALL, "--methods", "exact", *words)
    assert len(here) == 6


@pytest.mark.parametrize("fact", ["mrfmask", "processor", "threads"])
def test_other_machine_or_version_is_measured_anew(here, tmp_path, monkeypatch, fact):
    words = ("--out", tmp_path / "out", *SMALL, "--methods", "exact")
    bench(*words)
    command = importlib.import_module("mrfmask.cli.bench")
    other = command.machine() | {fact: "other"}
    monkeypatch.setattr(command, "machine", lambda: other)
    bench(*words)
    assert len(here) == 6


def test_crash_is_reported_and_done_again(here, tmp_path, monkeypatch):
    measure, crash = WorkerHere.measure, {"status": "failed", "reason": "SIGSEGV", "finished": True}

    def broken(worker, instance, options):
        return crash if instance.signs == "repulsive" else measure(worker, instance, options)

    words = ("--out", tmp_path / "out", *SMALL, "--methods", "exact,mean_field")
    with monkeypatch.context() as patch:
        patch.setattr(WorkerHere, "measure", broken)
        result = bench(*words, code=1)
    assert "Error: exact, repulsive 3x3 c=1: SIGSEGV" in result.stderr
    assert "repulsive 3x3 c=1" in (tmp_path / "out" / "bench.html").read_text()
    here.clear()
    bench(*words)
    assert {name for _, name, _ in here} == {"repulsive 3x3 c=1"}
    assert all(record["status"] != "failed" for record in lines(tmp_path / "out"))


@pytest.mark.usefixtures("here")
def test_contradiction_is_an_error(tmp_path, monkeypatch):
    measure = WorkerHere.measure

    def wrong(worker, instance, options):
        found = measure(worker, instance, options)
        return found | {"lower_bound": 5.0} if worker.method == "exact" else found

    monkeypatch.setattr(WorkerHere, "measure", wrong)
    words = (*SMALL, "--signs", "mixed", "--methods", "exact,mean_field")
    result = bench("--out", tmp_path / "out", *words, code=1)
    assert "Error: lower_bound must not exceed energy; got 5.0 from exact" in result.stderr
    assert "lower_bound must not exceed energy" in (tmp_path / "out" / "bench.html").read_text()


def test_interrupt_says_how_to_go_on(here, tmp_path, monkeypatch):
    measure = WorkerHere.measure

    def interrupted(worker, instance, options):
        if instance.signs == "mixed":
            raise KeyboardInterrupt
        return measure(worker, instance, options)

    words = ("--out", tmp_path / "out", *SMALL, "--methods", "exact")
    with monkeypatch.context() as patch:
        patch.setattr(WorkerHere, "measure", interrupted)
        result = bench(*words, code=130)
    assert "Stopped with 2 of 3 done, which are kept. Run the same command" in result.stdout
    bench(*words)
    assert len(here) == 3


def children(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_killed_run_leaves_no_process_and_is_completed(here, tmp_path):
    out = tmp_path / "out"
    words = ["--out", str(out), "--sizes", "3,4", "--methods", "mean_field"]
    command = [sys.executable, "-m", "mrfmask", "bench", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("[8/24]"):
                workers = children(process.pid)
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert len(workers) == 1
    deadline = time.monotonic() + 10
    while Path(f"/proc/{workers[0]}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(ProcessLookupError):
        os.kill(workers[0], 0)
    finished = len(lines(out))
    assert finished >= 8
    assert names(out) == ["results.jsonl"]
    bench(*words)
    report = report_of(out)
    assert len(report["instances"]) == 24
    total = sum(len(i["runs"]) for i in report["instances"])
    assert len(here) == total - finished
    assert len(lines(out)) == total

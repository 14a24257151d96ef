"""What bench/gpu.py computes, and that it runs: on the device of device_tracker.py."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from device_tracker import Card as Tracker
from shim import ShimLauncher

from bench import gpu, mean_field
from bench.roofline import COSTS, Card, bytes_an_update, most_updates_per_ns, peak
from mrfmask import cuda
from mrfmask.cuda_plan import Kind, Plan

ROOT = Path(__file__).parents[1]
H200 = Card(multiprocessors=132, ghz=1.98, copy_gb_per_s=4300.0, l2_bytes=60_000_000)


def plan(kind, sweeps=1):
    return Plan(kind, 434, 224, 98624, 64, 4, sweeps)


def test_peaks_are_those_of_the_documents():
    rows = re.findall(
        r"\| ([^|]+) \| (\d+) \| [\d.]+ \| (\d+) \| (\d+)[^|]*\|",
        (ROOT / "docs/cuda.md").read_text(),
    )
    names = {
        "Gibbs, not kept": "burn_in",
        "Gibbs, kept": "kept",
        "chains, not kept": "chains_burn_in",
        "chains, kept": "chains_kept",
        "mean field": "mean_field",
    }
    assert {names[name] for name, *_ in rows} == set(COSTS)
    for name, instructions, wavefronts, model in rows:
        assert COSTS[names[name]] == (int(instructions), int(wavefronts))
        assert peak(H200, names[name]) == pytest.approx(float(model), abs=5)


def test_bytes_bound_what_memory_must_deliver():
    # 4300 GB/s over 27 bytes, over (12 + 1 + 1) / 4, over 12 / 100.
    assert bytes_an_update(plan(Kind.HALF_SWEEPS), 100, False) == 27
    large = 10_000_000
    for kind, sweeps, want in (
        (Kind.HALF_SWEEPS, 1, 4300 / 27),
        (Kind.TILES, 4, min(4300 / 3.5, peak(H200, "burn_in"))),
        (Kind.RESIDENT, 1, peak(H200, "burn_in")),
    ):
        got = most_updates_per_ns(H200, plan(kind, sweeps), "burn_in", large, 100, False)
        assert got == pytest.approx(want)
    small = most_updates_per_ns(H200, plan(Kind.HALF_SWEEPS), "burn_in", 10_000, 100, False)
    assert small == peak(H200, "burn_in")


@pytest.fixture
def tracker(monkeypatch):
    tracker = Tracker()
    shim = ShimLauncher(20, 101376)
    monkeypatch.setattr(cuda, "launcher", lambda index: shim)
    monkeypatch.setattr(torch.cuda, "current_stream", tracker.current_stream)
    monkeypatch.setattr(gpu, "milliseconds", lambda run: run() is None or 2.0)
    monkeypatch.setattr(mean_field, "RIVALS", {"PyTorch": mean_field.RIVALS["PyTorch"]})
    monkeypatch.setattr(gpu, "gibbs_others", lambda *shape: {"PyTorch": 1.0})
    monkeypatch.setattr(gpu, "GIBBS", ((9, 11, 2, 1, 3, 5), (9, 11, 1, 33, 4, None)))
    monkeypatch.setattr(gpu, "MEAN_FIELD", ((9, 11, 2, 4, 5),))
    monkeypatch.setattr(gpu, "OTHERS", ((9, 11, 2, 3),))
    with tracker:
        yield


def test_rows_have_rates_and_what_the_card_allows(tracker, tmp_path):
    report = gpu.Report(tmp_path / "results" / "gpu.json", {"device": "none"})
    gpu.measure_all(H200, report)
    results = json.loads((tmp_path / "results" / "gpu.json").read_text())
    one, chains = results["gibbs"]
    # Two milliseconds for 9 x 11 pixels of two images in three sweeps.
    assert one["kept"] == pytest.approx(9 * 11 * 2 * 3 * 1e-6 / 2)
    assert one["kept_reached"] == pytest.approx(one["kept"] / peak(H200, "kept"))
    assert chains["kernel"] == "chains 1400"
    assert chains["burn_in_most"] == peak(H200, "chains_burn_in")
    assert results["others"][0]["PyTorch"] == 1.0
    assert results["mean_field"][0]["rate"] == pytest.approx(9 * 11 * 2 * 4 * 1e-6 / 2)
    assert not results["not_measured"]
    assert not results["failed"]


def test_rows_without_time_are_named(tracker, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "SECONDS", 0)
    report = gpu.Report(tmp_path / "gpu.json", {})
    gpu.measure_all(H200, report)
    assert len(json.loads((tmp_path / "gpu.json").read_text())["not_measured"]) == 4


def test_rows_that_fail_are_named_and_others_go_on(tracker, tmp_path, monkeypatch):
    def broken(*shape):
        raise RuntimeError("no memory")

    monkeypatch.setattr(gpu, "gibbs", broken)
    report = gpu.Report(tmp_path / "gpu.json", {})
    gpu.measure_all(H200, report)
    assert [row["error"] for row in report.results["failed"]] == ["no memory"] * 2
    assert len(report.results["mean_field"]) == 1


def test_others_say_why_they_have_no_rate():
    assert gpu.rate_or_reason(10**9, lambda: 2.0) == 0.5
    assert gpu.rate_or_reason(1, lambda: 1 / 0) == "failed: division by zero"

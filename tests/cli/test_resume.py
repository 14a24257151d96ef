"""A second run does what is missing and nothing else, whatever ended the first."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys

import pytest
from folders import lines, names, picture
from PIL import Image

from mrfmask.cli.journal import Journal, sha256_of


def done(result):
    """How many images a run did, and how many it skipped."""
    skipped = result.stdout.count("already done, skipped")
    return result.stdout.count(": energy "), skipped


def check_complete(out, inputs):
    """Every input has one line, and the files that the line speaks of; there is nothing else."""
    records = lines(out)
    assert sorted(record["input"] for record in records) == sorted(inputs)
    written = [name for record in records for name in record["outputs"]]
    assert names(out) == sorted([*written, "results.jsonl"])
    for record in records:
        for name, digest in record["outputs"].items():
            assert sha256_of(out / name) == digest
            with Image.open(out / name) as image:
                image.load()


INPUTS = ["a.jpg", "b.png", "deep/c.PNG"]


def test_second_run_skips_what_is_done(infer, photos, tmp_path):
    out = tmp_path / "out"
    assert done(infer(photos, "--out", out)) == (3, 0)
    before = {name: (out / name).stat().st_mtime_ns for name in names(out)}
    result = infer(photos, "--out", out)
    assert done(result) == (0, 3)
    assert "0 done, 3 skipped (done before)" in result.stdout
    assert {name: (out / name).stat().st_mtime_ns for name in names(out)} == before


def test_overwrite_does_all_again_without_a_second_line(infer, photos, tmp_path):
    infer(photos, "--out", tmp_path / "out")
    assert done(infer(photos, "--out", tmp_path / "out", "--overwrite")) == (3, 0)
    check_complete(tmp_path / "out", INPUTS)


def change_input(photos, out):
    picture(photos / "b.png", seed=99)


def touch_input(photos, out):
    os.utime(photos / "b.png", (1, 1))


def remove_output(photos, out):
    (out / "b.overlay.png").unlink()


def damage_output(photos, out):
    with open(out / "b.mask.png", "ab") as file:
        file.write(b"x")


def add_input(photos, out):
    picture(photos / "new.png")


def leave_half_a_file(photos, out):
    (out / "deep" / ".mrfmask-0123456789abcdef.part").write_bytes(b"half")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (change_input, (1, 2)),
        (touch_input, (0, 3)),
        (remove_output, (1, 2)),
        (damage_output, (1, 2)),
        (add_input, (1, 3)),
        (leave_half_a_file, (0, 3)),
    ],
)
def test_second_run_does_what_changed(infer, photos, tmp_path, change, expected):
    out = tmp_path / "out"
    infer(photos, "--out", out)
    change(photos, out)
    assert done(infer(photos, "--out", out)) == expected
    check_complete(out, INPUTS + ["new.png"] * (change is add_input))


def test_other_settings_are_done_and_kept_apart(infer, photos, tmp_path):
    out = tmp_path / "out"
    infer(photos, "--out", out)
    assert done(infer(photos, "--out", out, "--potentials", "edge")) == (3, 0)
    assert len(lines(out)) == 6
    # Its files were replaced, so the first run no longer holds.
    assert done(infer(photos, "--out", out)) == (3, 0)
    assert len(lines(out)) == 6


def test_more_files_asked_for_are_written(infer, photos, tmp_path):
    infer(photos, "--out", tmp_path / "out")
    assert done(infer(photos, "--out", tmp_path / "out", "--npz")) == (3, 0)
    assert done(infer(photos, "--out", tmp_path / "out")) == (0, 3)
    assert len(lines(tmp_path / "out")) == 3


@pytest.mark.parametrize("left", [0, 1, 5, 12, 200, -1])
def test_cut_last_line_is_done_again(infer, photos, tmp_path, left):
    out = tmp_path / "out"
    infer(photos, "--out", out)
    content = (out / "results.jsonl").read_bytes()
    start = content[:-1].rindex(b"\n") + 1
    (out / "results.jsonl").write_bytes(content[: start + left if left >= 0 else left])
    assert done(infer(photos, "--out", out)) == (1, 2)
    check_complete(out, INPUTS)


class PowerCut(BaseException):
    pass


@pytest.mark.parametrize("step", range(9))
def test_run_that_ends_at_any_write_is_completed(infer, photos, tmp_path, monkeypatch, step):
    out, steps = tmp_path / "out", iter(range(100))

    def fsync(descriptor):
        if next(steps) == step:
            raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(PowerCut):
            infer(photos, "--out", out)
    # Two files and a line for each input: what has its line is not done again.
    assert done(infer(photos, "--out", out)) == (3 - step // 3, step // 3)
    check_complete(out, INPUTS)


def test_interrupt_says_how_to_go_on(infer, photos, tmp_path, monkeypatch):
    command = importlib.import_module("mrfmask.cli.infer")  # the package has a function infer
    run, calls = command.run, iter([False, True])

    def interrupted(*arguments):
        if next(calls):
            raise KeyboardInterrupt
        return run(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(command, "run", interrupted)
        result = infer(photos, "--out", tmp_path / "out", code=130)
    assert "Stopped with 1 of 3 done; their results are complete. Run the same" in result.stdout
    assert done(infer(photos, "--out", tmp_path / "out")) == (2, 1)


def test_full_disk_spoils_no_line(infer, photos, tmp_path, monkeypatch):
    append, calls = Journal.append, iter([False, True, False])

    def full(journal, record):
        if next(calls):
            patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
        try:
            append(journal, record)
        finally:
            patch.setattr(os, "fsync", lambda _: None)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", full)
        result = infer(photos, "--out", tmp_path / "out", code=1)
    assert "Error: b.png: disk full" in result.stderr
    assert [line["input"] for line in lines(tmp_path / "out")] == ["a.jpg", "deep/c.PNG"]
    infer(photos, "--out", tmp_path / "out")
    check_complete(tmp_path / "out", INPUTS)


def test_killed_run_is_completed(infer, tmp_path):
    for number in range(50):
        picture(tmp_path / "photos" / f"{number:02d}.png", seed=number, size=(32, 32))
    out = tmp_path / "out"
    words = ["--out", str(out), "--task", "sample", "--sweeps", "1500"]
    command = [sys.executable, "-m", "mrfmask", "infer", str(tmp_path / "photos"), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("[20/50]"):
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    for name in names(out):
        if name.endswith(".png"):
            with Image.open(out / name) as image:
                image.load()
    finished = (out / "results.jsonl").read_text().count("\n")
    assert 20 <= finished < 50
    assert done(infer(tmp_path / "photos", *words)) == (50 - finished, finished)
    check_complete(out, [f"{number:02d}.png" for number in range(50)])

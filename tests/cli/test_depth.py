"""``mrfmask depth evaluate``: the table, resuming, what is left out; messages."""

from __future__ import annotations

import importlib
import json
import os

import pytest
import torch
from depth_files import LEFT_OUT, mixed_folder
from folders import lines, names
from PIL import Image
from typer.testing import CliRunner

from mrfmask.cli import app
from mrfmask.cli.depth_evaluate import _learned_from
from mrfmask.depth import open_frames
from mrfmask.depth.cases import make_cases
from mrfmask.depth.checkpoint import DepthModel
from mrfmask.depth.density_net import DensityNet
from mrfmask.depth.evaluate import evaluate_frame, summarise
from mrfmask.depth.masking import MASKINGS
from mrfmask.depth.phases import Phases
from mrfmask.depth.predictor import Predictor

QUICK = (
    *("--data", "synthetic", "--count", 3, "--size", "24x32", "--split", "all"),
    *("--budgets", "1%,5%", "--checkpoint", "none", "--methods", "random,long_range"),
)


def run(*words, code=0):
    """Runs ``mrfmask depth``."""
    result = CliRunner().invoke(app, ["depth", *map(str, words)])
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def model(tmp_path):
    """A folder with a small model."""
    torch.manual_seed(0)
    net = DensityNet(8)
    torch.nn.init.normal_(net.net.head[-1].weight)
    folder = tmp_path / "model"
    DepthModel(
        masking=MASKINGS["ising_density"](net=net),
        predictor=Predictor(8),
        phases=Phases(count=2),
        budget=0.01,
    ).save(folder)
    return folder


@pytest.fixture
def folder(tmp_path):
    """Two good pairs in places of their own, and three that cannot be used."""
    return mixed_folder(tmp_path / "data", "ab")


def test_table_is_that_of_the_frames(tmp_path):
    result = run("evaluate", *QUICK, "--phases", "1,2", "--out", tmp_path / "out")
    frames = open_frames("synthetic", count=3, size=(24, 32))
    cases = make_cases(["random", "long_range"], [1, 2], [0.01, 0.05], None, frames)
    records = [
        evaluate_frame(frames[i], c.masking, c.phases, c.share, {}) for i in range(3) for c in cases
    ]
    rows = {(r.share, r.method, r.phases, r.reconstruction): r for r in summarise(records)}
    table = json.loads((tmp_path / "out" / "table.json").read_text())
    assert len(table) == len(rows) == 12
    for row in table:
        key = row["share"], row["method"], row["phases"], row["reconstruction"]
        assert row == json.loads(json.dumps(rows[key].plain()))
    assert [row["share"] for row in table] == [0.01] * 6 + [0.05] * 6
    markdown = (tmp_path / "out" / "table.md").read_text()
    for row in table:
        assert format(row["means"]["rmse"], ".3f") in markdown
        assert format(row["means"]["rmse"], ".3f") in result.stdout
    assert "95 % intervals over" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 120
    assert "\N{HORIZONTAL ELLIPSIS}" not in result.stdout


def test_second_run_does_nothing_and_a_cut_journal_is_completed(tmp_path):
    out = tmp_path / "out"
    first = run("evaluate", *QUICK, "--out", out)
    assert first.stdout.count(": 4 results") == 3
    content = {n: (out / n).read_bytes() for n in names(out)}
    journal = content["results.jsonl"]
    assert journal.count(b"\n") == 12
    again = run("evaluate", *QUICK, "--out", out)
    assert again.stdout.count("already done, skipped") == 3
    # A line and a half of the second frame, and all of the third, are lost.
    (out / "results.jsonl").write_bytes(journal[: journal.index(b"\n", 3 * len(journal) // 5) - 9])
    (out / "table.json").unlink()
    last = run("evaluate", *QUICK, "--out", out)
    assert last.stdout.count("already done, skipped") == 1
    assert "already there" in last.stdout
    assert {n: (out / n).read_bytes() for n in names(out)} == content


def test_results_of_other_settings_are_not_taken_for_these(tmp_path):
    out = tmp_path / "out"
    run("evaluate", *QUICK, "--out", out)
    result = run("evaluate", *QUICK, "--out", out, "--seed", 1)
    assert result.stdout.count(": 4 results") == 3
    table = json.loads((out / "table.json").read_text())
    assert {row["frames"] for row in table} == {3}


def test_frames_that_have_changed_are_judged_again_and_leave_no_line(tmp_path):
    out = tmp_path / "out"
    run("evaluate", *QUICK, "--out", out)
    run("evaluate", *QUICK, "--out", out, "--size", "24x40")
    found = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert len(found) == 12
    assert {record["count"] for record in found} == {round(s * 24 * 40) for s in (0.01, 0.05)}


def test_shuffled_is_judged_again_when_it_can_be_shown_other_frames(tmp_path, model):
    words = [*QUICK[:-1], "shuffled", "--checkpoint", model, "--phases", 1]
    fresh = run("evaluate", *words, "--count", 5, "--out", tmp_path / "fresh")
    assert fresh.stdout.count(": 2 results") == 5
    run("evaluate", *words, "--out", tmp_path / "again")
    run("evaluate", *words, "--count", 5, "--out", tmp_path / "again")
    tables = [(tmp_path / name / "table.json").read_bytes() for name in ("fresh", "again")]
    assert tables[0] == tables[1]


def test_interrupt_says_how_to_go_on(tmp_path, monkeypatch):
    module = importlib.import_module("mrfmask.depth.evaluate")
    judge, calls = module.evaluate_frame, iter([False] * 5 + [True])

    def interrupted(*arguments):
        if next(calls):
            raise KeyboardInterrupt
        return judge(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "evaluate_frame", interrupted)
        result = run("evaluate", *QUICK, "--out", tmp_path / "out", code=130)
    assert "Stopped with 1 of 3 frames done; their results are complete. Run" in result.stdout
    assert len(lines(tmp_path / "out")) == 5
    assert (
        ": 3 results, 1 already there" in run("evaluate", *QUICK, "--out", tmp_path / "out").stdout
    )


def test_frame_that_fails_is_named_and_the_others_go_on(tmp_path, folder, monkeypatch):
    out = tmp_path / "out"
    module = importlib.import_module("mrfmask.depth.evaluate")
    judge = module.evaluate_frame

    def failing(frame, *arguments):
        if frame.name == "a/1":
            raise ValueError("it broke")
        return judge(frame, *arguments)

    words = (*("--data", folder, "--split", "all", "--checkpoint", "none"), "--methods", "random")
    with monkeypatch.context() as patch:
        patch.setattr(module, "evaluate_frame", failing)
        result = run("evaluate", *words, "--out", out, code=1)
    assert "Error: a/1: it broke" in result.stderr
    assert "1 of 2 frames failed" in result.stderr
    assert {record["input"] for record in lines(out)} == {"b/1"}
    run("evaluate", *words, "--out", out)
    assert {record["input"] for record in lines(out)} == {"a/1", "b/1"}


def test_bad_files_are_named_and_left_out(tmp_path, folder):
    words = ("--data", folder, "--split", "all", "--checkpoint", "none", "--methods", "random")
    result = run("evaluate", *words, "--out", tmp_path / "out")
    assert {record["input"] for record in lines(tmp_path / "out")} == {"a/1", "b/1"}
    said = [line for line in result.stdout.splitlines() if line.startswith("Left out")]
    assert len(said) == 3
    for name, reason in LEFT_OUT.items():
        (told,) = (line for line in said if f"/{name}/" in line)
        assert reason in told


def test_model_is_judged_with_its_net_and_drawn(tmp_path, model):
    out = tmp_path / "out"
    result = run(
        *("evaluate", "--data", "synthetic", "--count", 2, "--size", "24x32", "--split", "all"),
        *("--checkpoint", model, "--budgets", "2%", "--pictures", 1, "--out", out),
        *("--methods", "random,ising_density,shuffled,flat,greedy"),
    )
    table = json.loads((out / "table.json").read_text())
    found = {(row["method"], row["phases"]) for row in table}
    phased = {(name, n) for name in ("ising_density", "shuffled", "flat") for n in (1, 2)}
    assert found == {("random", 1), ("greedy", 1)} | phased
    assert {row["reconstruction"] for row in table} == {"linear", "nearest", "net"}
    assert {row["means"]["count"] for row in table} == {15.0}
    assert names(out) == [
        *("curves.png", "penalty.png", "pictures/room-0-0_2%.png"),
        *("results.jsonl", "table.json", "table.md"),
    ]
    for name in names(out):
        if name.endswith(".png"):
            with Image.open(out / name) as image:
                image.load()
    assert f"Results are in {out}" in result.stdout


EVALUATE = [
    ("--data nowhere", "--data must be synthetic, kitti:ROOT, or a folder or file that exists; "),
    ("--budgets two", "--budgets must be shares of all pixels, above 0% and up to 100%; got 'two'"),
    (
        "--budgets 1%,,5%",
        "--budgets must be shares of all pixels, above 0% and up to 100%; got ''.",
    ),
    ("--budgets 0%", "--budgets must be shares of all pixels, above 0% and up to 100%; got '0%'."),
    ("--budgets 0.01%", "--budgets must be a share in (0, 1] that buys a pixel of 768; got 0.0001"),
    ("--budgets 100%", "--data must hold frames with valid pixels enough for 100.0%; got none"),
    ("--methods foo", "--methods must be one of 'full', "),
    ("--methods shuffled", "--methods must not hold shuffled without a network to be shown other"),
    (
        "--methods gumbel",
        "--methods must not hold gumbel without a network that was trained for it",
    ),
    ("--phases two", "--phases must be whole numbers; got 'two'. Write e.g. 1,4."),
    ("--phases 0", "--phases must lie in 1..64; got 0."),
    ("--phases 1,65", "--phases must lie in 1..64; got 65."),
    ("--split half", "--split must be one of 'test', 'all'; got 'half'."),
    ("--split test", "--data must hold a place or moments enough to hold out; got 2 frames in 2 p"),
    ("--size 5", "--size must be HEIGHTxWIDTH with sides in 1..65536; got '5'."),
    ("--unit feet", "--unit must be one of 'mm', 'metres/256'; got 'feet'."),
    ("--seed -1", "--seed must lie in 0..9223372036854775807; got -1."),
    ("--checkpoint nowhere", "--checkpoint must name a folder that exists, or be default; got no"),
    ("--checkpoint .", "--checkpoint must hold depth.json; got '.' without it."),
]


@pytest.mark.parametrize(("options", "message"), EVALUATE, ids=[o for o, _ in EVALUATE])
def test_evaluate_says_what_is_wrong_with_an_option(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    data = () if "--data" in options else ("--data", "synthetic")
    given = ("--count", 2, "--split", "all", "--checkpoint", "none", "--size", "24x32")
    result = run("evaluate", *given, *data, "--out", "out", *options.split(), code=2)
    assert f"Error: {message}" in result.stderr
    assert "of the split to 0" not in result.stderr
    assert not os.path.exists("out")


@pytest.mark.parametrize(
    ("data", "split", "seed", "expected"),
    [
        (["b/a.npz"], "test", 7, []),
        (["b/a.npz"], "all", 7, ["b/a.npz"]),
        (["b/a.npz", "c.npz"], "test", 8, ["b/a.npz"]),
        (["synthetic"], "all", 7, ["synthetic"]),
        (["synthetic"], "all", 8, []),
    ],
)
def test_frames_that_a_model_may_have_seen_are_told(data, split, seed, expected):
    info = {"data": ["synthetic", "a.npz"], "seed": 7}
    assert _learned_from(info, data, split, seed) == expected

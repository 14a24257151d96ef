"""What ``mrfmask path`` writes and says."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
import torch
from folders import lines, names, picture
from PIL import Image
from strategies import random_grid
from typer.testing import CliRunner

import mrfmask as mm
from mrfmask.cli import app
from mrfmask.files import read_picture
from mrfmask.potentials import POTENTIALS


@pytest.fixture
def path():
    """Runs ``mrfmask path``."""

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, ["path", *map(str, arguments)])
        if not isinstance(result.exception, SystemExit | None):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return run


def rows_of(file):
    with open(file, newline="") as text:
        return [{n: float(v) for n, v in row.items()} for row in csv.DictReader(text)]


def grey_of(file):
    with Image.open(file) as image:
        assert image.mode.startswith("I;16")
        return np.asarray(image).astype(np.int64)


def test_path_writes_the_curve_and_the_entry_map_of_each_picture(path, photos, tmp_path):
    out = tmp_path / "out"
    result = path(photos, "--out", out, "--weight", "pairwise=0.2")
    stems = ["a", "b", "deep/c"]
    files = [f"{s}.{kind}" for s in stems for kind in ("path.csv", "path.png", "entry.png")]
    assert names(out) == sorted([*files, "results.jsonl"])
    assert "[3/3] deep/c.PNG: " in result.stdout
    assert "3 done. Results are in" in result.stdout
    for stem, name, line in zip(stems, ["a.jpg", "b.png", "deep/c.PNG"], lines(out), strict=True):
        model = POTENTIALS["contrast"](read_picture(photos / name), pairwise=0.2)
        expected = mm.budget_path(model)
        rows = rows_of(out / f"{stem}.path.csv")
        for column in ("penalty", "count", "energy", "lower_bound"):
            assert [row[column] for row in rows] == getattr(expected, column)[0].tolist()
        assert line["input"] == name
        assert line["settings"]["weights"]["pairwise"] == 0.2
        assert line["masks"] == len(rows)
        assert (line["fewest_on"], line["most_on"]) == (0, 9 * 12)
        assert line["energy"] == mm.find_map(model).energy.item()
        assert line["pixels_on"] == mm.find_map(model).mask.sum()
        with Image.open(out / f"{stem}.path.png") as image:
            assert min(image.size) > 300
            assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 10


def test_path_entry_picture_tells_every_penalty(path, tmp_path):
    model = random_grid(2, 7, 9, coupling=0.5)
    clamps = torch.zeros(2, 7, 9, dtype=torch.bool)
    clamps[0, 2, 3] = clamps[1, 0, 0] = True
    model = model.clamp(on=clamps, off=clamps.flip(2))
    mm.save_model(model, tmp_path / "m.npz")
    path(tmp_path / "m.npz", "--out", tmp_path / "out")
    expected = mm.budget_path(model)
    for image, line in enumerate(lines(tmp_path / "out")):
        assert line["image"] == image
        assert (line["fewest_on"], line["most_on"]) == (1, 7 * 9 - 1)
        entry = expected.entry[image].numpy()
        grey = grey_of(tmp_path / "out" / f"m_{image:04d}.entry.png")
        low, high = (line["entry_png"][f"penalty_at_grey_{g}"] for g in (1, 65534))
        free = np.isfinite(entry)
        told = low + (grey - 1) / 65533 * (high - low)
        assert np.abs(told - entry)[free].max() <= 0.51 * (high - low) / 65533
        assert np.array_equal(grey == 65535, entry == np.inf)
        assert np.array_equal(grey == 0, entry == -np.inf)


def test_path_takes_images_with_nothing_to_choose(path, tmp_path):
    on = torch.ones(1, 3, 4, dtype=torch.bool)
    mm.save_model(random_grid(1, 3, 4).clamp(on=on), tmp_path / "on.npz")
    mm.save_model(random_grid(1, 3, 4).clamp(off=on), tmp_path / "off.npz")
    mm.save_model(random_grid(1, 1, 1), tmp_path / "one.npz")
    path(*(tmp_path / f"{n}.npz" for n in ("on", "off", "one")), "--out", tmp_path / "out")
    assert [line["masks"] for line in lines(tmp_path / "out")] == [1, 1, 2]
    (row,) = rows_of(tmp_path / "out" / "on.path.csv")
    assert (row["penalty"], row["count"]) == (math.inf, 12)
    assert (grey_of(tmp_path / "out" / "on.entry.png") == 65535).all()
    assert (grey_of(tmp_path / "out" / "one.entry.png") == 1).all()


def test_path_goes_on_where_it_was(path, infer, photos, tmp_path):
    out = tmp_path / "out"
    path(photos, "--out", out)
    (out / "b.entry.png").unlink()
    result = path(photos, "--out", out)
    assert result.stdout.count("already done, skipped") == 2
    assert "b.png: " in result.stdout
    assert path(photos, "--out", out, "--overwrite").stdout.count("skipped") == 0
    # The results of another command in the same folder stay what they are.
    infer(photos, "--out", out)
    assert path(photos, "--out", out).stdout.count("already done, skipped") == 3
    assert len(lines(out)) == 6


def test_path_says_what_it_cannot_take_and_goes_on(path, photos, tmp_path):
    mm.save_model(random_grid(1, 4, 5, signs="repulsive"), photos / "m.npz")
    result = path(photos, "--out", tmp_path / "out", code=1)
    assert "Error: m.npz: model must not have negative couplings for budget_path" in result.stderr
    assert "3 done, 1 failed" in result.stdout
    result = path(photos / "m.npz", "--out", tmp_path / "other", "--size", "3x3", code=2)
    assert "--size must come with a picture" in result.stderr
    result = path(photos, "--out", tmp_path / "other", "--potentials", "no", code=2)
    assert "--potentials must be one of" in result.stderr
    entry = tmp_path / "a.entry.png"
    picture(entry)
    result = path(entry, picture(tmp_path / "a.png"), "--out", tmp_path, code=2)
    assert "--out must not make results replace an input" in result.stderr


def test_path_help_shows_examples_and_every_option():
    result = CliRunner().invoke(app, ["path", "--help"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    assert "mrfmask path photo.jpg --out paths" in result.stdout
    for option in ("--out", "--potentials", "--weight", "--size", "--overwrite"):
        assert option in result.stdout


def test_path_lines_are_plain_json(path, tmp_path):
    path(picture(tmp_path / "a.png"), "--out", tmp_path / "out")
    text = (tmp_path / "out" / "results.jsonl").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert json.loads(text)["settings"]["task"] == "path"

"""What ``mrfmask infer`` writes and says."""

from __future__ import annotations

import hashlib
import math
import sys

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


def mask_of(path):
    with Image.open(path) as image:
        assert image.mode == "1"
        return torch.from_numpy(np.asarray(image).copy())


def test_infer_writes_mask_overlay_and_a_line_for_each_picture(infer, photos, tmp_path):
    out = tmp_path / "out"
    result = infer(photos, "--out", out)
    stems = ["a", "b", "deep/c"]
    files = [f"{stem}.{kind}.png" for stem in stems for kind in ("mask", "overlay")]
    assert names(out) == sorted([*files, "results.jsonl"])
    assert [line["input"] for line in lines(out)] == ["a.jpg", "b.png", "deep/c.PNG"]
    for number, name in enumerate(["a.jpg", "b.png", "deep/c.PNG"], start=1):
        assert f"[{number}/3] {name}: energy " in result.stdout
    assert "lower bound" in result.stdout
    assert f"3 done. Results are in {out}" in result.stdout


def test_infer_finds_the_mask_that_python_finds(infer, tmp_path):
    path = picture(tmp_path / "a.png")
    infer(path, "--out", tmp_path / "out", "--weight", "pairwise=0.3", "--weight", "unary=-2")
    model = POTENTIALS["contrast"](read_picture(path), pairwise=0.3, unary=-2.0)
    result = mm.find_map(model, method="mean_field")
    assert torch.equal(mask_of(tmp_path / "out" / "a.mask.png"), result.mask[0])
    (line,) = lines(tmp_path / "out")
    assert line["energy"] == result.energy.item()
    assert line["lower_bound"] == result.lower_bound.item()
    assert line["gap"] == result.gap.item()
    assert line["pixels_on"] == result.mask.sum().item()
    assert line["pixels"] == 9 * 12
    assert (line["method"], line["status"], line["seed"]) == ("mean_field", "heuristic", None)
    assert line["settings"]["weights"] == {"unary": -2.0, "pairwise": 0.3}
    assert line["mrfmask"] == mm.__version__
    assert line["torch"] == torch.__version__
    assert line["python"] == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize("potentials", POTENTIALS)
def test_infer_is_exact_on_pictures_without_being_told_how(infer, tmp_path, potentials):
    path = picture(tmp_path / "a.png")
    infer(path, "--out", tmp_path / "out", "--task", "map", "--potentials", potentials)
    (line,) = lines(tmp_path / "out")
    assert (line["method"], line["status"]) == ("graph_cut", "optimal")
    assert line["gap"] < 1e-3
    assert line["reason"]


def test_infer_writes_marginals_and_arrays(infer, tmp_path):
    path, out = picture(tmp_path / "a.png"), tmp_path / "out"
    infer(path, "--out", out, "--task", "marginals", "--beta", 0.5, "--sweeps", 50, "--npz")
    model = mm.load_model(out / "a.potentials.npz")
    assert torch.equal(model.unary, POTENTIALS["contrast"](read_picture(path)).unary)
    expected = mm.marginals(model, beta=0.5, max_sweeps=50)
    with np.load(out / "a.marginals.npz") as arrays:
        for name in ("probability", "right", "down", "log_partition"):
            assert np.array_equal(arrays[name], getattr(expected, name).numpy())
    with Image.open(out / "a.marginals.png") as image:
        shown = np.asarray(image).astype(float) / 65535
    assert np.abs(shown - expected.probability[0].numpy()).max() < 1e-5
    assert torch.equal(mask_of(out / "a.mask.png"), expected.probability[0] > 0.5)
    (line,) = lines(out)
    assert line["log_partition"] == expected.log_partition.item()
    assert line["kind"] == "lower"
    assert line["lower_bound"] is line["gap"] is None


def test_infer_draws_each_input_from_its_own_stream(infer, tmp_path):
    for name in ("p/a.png", "p/b.png"):
        picture(tmp_path / name)
    options = ("--task", "sample", "--beta", 0.2, "--seed", 7, "--sweeps", 5)
    infer(tmp_path / "p", "--out", tmp_path / "both", *options)
    infer(tmp_path / "p" / "b.png", "--out", tmp_path / "one", *options)
    a, b = (mask_of(tmp_path / "both" / f"{n}.mask.png") for n in "ab")
    assert torch.equal(b, mask_of(tmp_path / "one" / "b.mask.png"))
    assert not torch.equal(a, b)
    (line,) = lines(tmp_path / "one")
    seed = int.from_bytes(hashlib.sha256(b"7/b.png").digest()[:8], "big") & (2**63 - 1)
    assert line["seed"] == seed
    model = POTENTIALS["contrast"](read_picture(tmp_path / "p" / "b.png"))
    expected = mm.sample(model, sweeps=5, beta=0.2, seed=seed)
    assert torch.equal(b, expected.masks[0, 0])
    assert line["effective_sample_size"] == pytest.approx(expected.effective_sample_size.item())


def test_infer_draws_masks_of_a_budget(infer, tmp_path):
    path, out = picture(tmp_path / "a.png"), tmp_path / "out"
    infer(path, "--out", out, "--task", "sample", "--budget", "25%", "--sweeps", 5)
    (line,) = lines(out)
    assert (line["method"], line["pixels_on"]) == ("kawasaki", 27)
    assert line["settings"]["options"]["budget"] == 0.25
    model = POTENTIALS["contrast"](read_picture(path))
    expected = mm.sample(model, budget=27, sweeps=5, seed=line["seed"])
    assert torch.equal(mask_of(out / "a.mask.png"), expected.masks[0, 0])
    options = ("--task", "marginals", "--method", "kawasaki", "--npz")
    infer(path, "--out", tmp_path / "marginals", "--budget", 27, *options)
    with np.load(tmp_path / "marginals" / "a.marginals.npz") as arrays:
        assert arrays["probability"].sum() == pytest.approx(27)


def test_infer_reports_a_budget_that_no_mask_has(infer, tmp_path):
    path, out = picture(tmp_path / "a.png"), tmp_path / "out"
    result = infer(path, "--out", out, "--task", "sample", "--budget", 109, code=1)
    assert "Error: a.png: budget must leave a mask between the 0 pixels clamped on" in result.stderr


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_infer_writes_one_set_for_each_image_of_a_file(infer, tmp_path, suffix):
    model = random_grid(3, 4, 5, signs="any").clamp(on=torch.rand(3, 4, 5) < 0.1)
    mm.save_model(model, tmp_path / f"m{suffix}")
    out = tmp_path / "out"
    infer(tmp_path / f"m{suffix}", "--out", out)
    assert [line["image"] for line in lines(out)] == [0, 1, 2]
    for image, line in enumerate(lines(out)):
        expected = mm.find_map(model[image], method="mean_field")
        assert torch.equal(mask_of(out / f"m_{image:04d}.mask.png"), expected.mask[0])
        assert read_picture(out / f"m_{image:04d}.overlay.png").shape == (3, 4, 5)
        assert "weights" not in line["settings"]


def test_infer_numbers_no_file_of_one_image(infer, tmp_path):
    mm.save_model(random_grid(1, 4, 5), tmp_path / "m.npz")
    infer(tmp_path / "m.npz", "--out", tmp_path / "out")
    assert names(tmp_path / "out") == ["m.mask.png", "m.overlay.png", "results.jsonl"]


def test_infer_resizes_pictures(infer, tmp_path):
    infer(picture(tmp_path / "a.png"), "--out", tmp_path / "out", "--size", "5x20")
    assert mask_of(tmp_path / "out" / "a.mask.png").shape == (5, 20)
    assert lines(tmp_path / "out")[0]["settings"]["size"] == [5, 20]


def test_infer_reads_neither_its_results_nor_hidden_files(infer, photos):
    picture(photos / ".hidden.png")
    picture(photos / ".trash" / "d.png")
    (photos / "notes.txt").write_text("not a picture")
    for _ in range(2):
        infer(photos, "--out", photos / "results")
    assert [line["input"] for line in lines(photos / "results")] == ["a.jpg", "b.png", "deep/c.PNG"]


def test_infer_takes_odd_names(infer, tmp_path):
    odd = ["two words.png", "[red]mark[up].png", "new\nline.png", "ümläut.png", "dots.in.it.png"]
    paths = [picture(tmp_path / name) for name in odd]
    infer(*paths, "--out", tmp_path / "out")
    assert [line["input"] for line in lines(tmp_path / "out")] == odd
    assert (tmp_path / "out" / "dots.in.it.mask.png").is_file()


def test_infer_reports_a_broken_picture_and_goes_on(infer, photos, tmp_path):
    (photos / "b.png").write_bytes((photos / "b.png").read_bytes()[:100])
    (photos / "m.npz").write_bytes(b"broken")
    out = tmp_path / "out"
    result = infer(photos, "--out", out, code=1)
    assert [line["input"] for line in lines(out)] == ["a.jpg", "deep/c.PNG"]
    assert "Error: b.png: path must be a PNG or JPEG picture that can be read; got" in result.stderr
    assert "Error: m.npz: path must be a .npz file that can be read; got" in result.stderr
    assert "2 done, 2 failed. Results are in" in result.stdout
    assert "Error: 2 of 4 failed: b.png, m.npz. The messages above say why" in result.stderr
    assert not (out / "b.mask.png").exists()


def test_infer_reports_what_a_method_cannot_take(infer, tmp_path):
    path = picture(tmp_path / "a.png")
    result = infer(path, "--out", tmp_path / "out", "--method", "exact", "--size", "60x61", code=1)
    assert "Error: a.png: model must have an elimination order with tables of" in result.stderr


def test_infer_says_when_it_stopped_early(infer, tmp_path):
    path = picture(tmp_path / "a.png")
    result = infer(path, "--out", tmp_path / "out", "--task", "marginals", "--sweeps", 1)
    assert "Note: 1 of 1: stopped by max_sweeps before convergence" in result.stdout
    assert lines(tmp_path / "out")[0]["status"] == "sweep_limit"


def test_infer_writes_no_infinity(infer, tmp_path):
    model = random_grid(1, 1, 1)
    mm.save_model(model.clamp(on=torch.ones(1, 1, 1, dtype=torch.bool)), tmp_path / "m.npz")
    infer(tmp_path / "m.npz", "--out", tmp_path / "out", "--task", "sample", "--sweeps", 1)
    (line,) = lines(tmp_path / "out")
    assert line["r_hat"] is None or math.isfinite(line["r_hat"])


def test_help_shows_examples_and_every_option():
    result = CliRunner().invoke(app, ["infer", "--help"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    assert "mrfmask infer photo.jpg --out masks" in result.stdout
    for option in ("--out", "--task", "--method", "--potentials", "--weight", "--size", "--beta"):
        assert option in result.stdout
    for option in ("--sweeps", "--seed", "--time-limit", "--device", "--npz", "--overwrite"):
        assert option in result.stdout


def test_version_names_what_results_depend_on():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert f"mrfmask {mm.__version__}, torch {torch.__version__}, python 3." in result.stdout


def test_methods_lists_every_method():
    result = CliRunner().invoke(app, ["methods"], env={"COLUMNS": "300"})
    assert result.exit_code == 0
    rows = [[cell.strip() for cell in row.split("│")[1:-1]] for row in result.stdout.splitlines()]
    for name, method in mm.METHODS.items():
        exact = "yes" if method.exact else "no"
        answers, devices = ", ".join(method.answers), ", ".join(method.devices)
        models = "grids, graphs" if method.graphs else "grids"
        assert [name, answers, models, exact, devices, method.needs] in rows


def test_infer_keeps_suffixes_where_stems_are_the_same(infer, tmp_path):
    folder = tmp_path / "p"
    for name in ("a.png", "a.jpg", "b_0001.png", "c.png"):
        picture(folder / name)
    mm.save_model(random_grid(2, 3, 3), folder / "b.npz")
    infer(folder, folder / "c.png", folder / "c.png", "--out", tmp_path / "out")
    masks = {p.name for p in (tmp_path / "out").glob("*.mask.png")}
    expected = ("a.png", "a.jpg", "b_0000", "b.npz_0001", "b_0001.png", "c")
    assert masks == {f"{stem}.mask.png" for stem in expected}

"""``mrfmask infer --select``: what it chooses, writes, skips and refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from folders import lines, names, picture
from PIL import Image
from typer.testing import CliRunner

import mrfmask as mm
from mrfmask.cli import app
from mrfmask.files import read_picture
from mrfmask.potentials import edge_scores


def mask_of(path):
    with Image.open(path) as image:
        return torch.from_numpy(np.asarray(image).copy())


@pytest.mark.parametrize("name", mm.SELECTORS)
def test_infer_chooses_exactly_the_budget(infer, photos, tmp_path, name):
    out = tmp_path / "out"
    result = infer(photos, "--out", out, "--select", name, "--budget", "10%")
    stems = ["a", "b", "deep/c"]
    files = [f"{stem}.{kind}.png" for stem in stems for kind in ("mask", "overlay")]
    assert names(out) == sorted([*files, "results.jsonl"])
    for line in lines(out):
        assert line["pixels_on"] == int(line["pixels"] * 0.1 + 0.5)
        assert (line["method"], line["energy"]) == (name, None)
        assert line["settings"]["budget"] == 0.1
    assert "of 108 pixels on, heuristic" in result.stdout
    again = infer(photos, "--out", out, "--select", name, "--budget", "10%")
    assert "0 done, 3 skipped (done before)" in again.stdout
    other = infer(photos, "--out", out, "--select", name, "--budget", "11")
    assert "3 done" in other.stdout


def test_infer_chooses_what_python_chooses(infer, tmp_path):
    path = picture(tmp_path / "a.png")
    infer(path, "--out", tmp_path / "out", "--select", "long_range", "--budget", "9")
    expected = mm.select(edge_scores(read_picture(path))[None], "long_range", budget=9)
    assert torch.equal(mask_of(tmp_path / "out" / "a.mask.png"), expected[0])
    infer(path, "--out", tmp_path / "seg", "--select", "superpixel", "--budget", "9")
    picture_of = read_picture(path)[None]
    expected = mm.select(torch.zeros(1, 9, 12), "superpixel", budget=9, features=picture_of)
    assert torch.equal(mask_of(tmp_path / "seg" / "a.mask.png"), expected[0])


def test_infer_draws_by_the_seed_and_the_name(infer, tmp_path):
    paths = [picture(tmp_path / name) for name in ("a.png", "b.png")]
    for out, seed in (("one", 1), ("two", 2)):
        options = ("--select", "random", "--budget", "30%", "--seed", seed)
        infer(*paths, "--out", tmp_path / out, *options)
    masks = [mask_of(tmp_path / out / f"{n}.mask.png") for out in ("one", "two") for n in "ab"]
    for i, mask in enumerate(masks):
        assert not any(torch.equal(mask, other) for other in masks[:i])


def test_infer_takes_scores_and_clamps_of_a_file(infer, tmp_path):
    unary = torch.randn(1, 6, 7, generator=torch.Generator().manual_seed(0))
    unary[0, 0, 0], unary[0, 3] = torch.inf, -torch.inf
    model = mm.IsingGrid(unary, torch.zeros(1, 6, 6), torch.zeros(1, 5, 7))
    mm.save_model(model, tmp_path / "m.npz")
    infer(tmp_path / "m.npz", "--out", tmp_path / "out", "--select", "top_k", "--budget", 5)
    mask = mask_of(tmp_path / "out" / "m.mask.png")
    assert mask[0, 0]
    best = unary.masked_fill(unary.isinf(), -torch.inf).flatten().topk(4).indices
    assert sorted(mask.flatten().nonzero()[:, 0].tolist()) == sorted([0, *best.tolist()])


def test_infer_reports_a_budget_that_a_picture_cannot_meet(infer, tmp_path):
    path = picture(tmp_path / "a.png")
    result = infer(path, "--out", tmp_path / "o", "--select", "grid", "--budget", "109", code=1)
    assert "Error: a.png: budget must be at most 108 in image 0" in result.stderr


BAD = [
    ("--budget 2% --task map", "--budget must come with a depth model, with --select, or with"),
    ("--select grid", "--budget must come with --select; got --select grid alone."),
    ("--select best --budget 2%", "--select must be one of 'random', 'grid', "),
    ("--select grid --budget two", "--budget must be a number of pixels, or a share above 0% and"),
    ("--select grid --budget 0%", "--budget must be a number of pixels, or a share above 0% and"),
    ("--select grid --budget 101%", "--budget must be a number of pixels, or a share above 0% an"),
    ("--select grid --budget -3", "--budget must be a number of pixels, or a share above 0% and"),
    (
        "--select grid --budget 2% --seed 1",
        "--seed must not be given where nothing uses it; got it",
    ),
    ("--select random --budget 2% --seed -1", "--seed must lie in 0..9223372036854775807; got -1."),
    ("--select grid --budget 2% --size 5", "--size must be HEIGHTxWIDTH"),
    *(
        (f"--select grid --budget 2% {option}", f"{option.split()[0]} must not be given with --sel")
        for option in (
            "--task map",
            "--method exact",
            "--potentials edge",
            "--weight unary=1",
            "--beta 0",
            "--sweeps 3",
            "--time-limit 1",
            "--device cpu",
            "--npz",
        )
    ),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[o for o, _ in BAD])
def test_infer_says_what_is_wrong_with_a_selection(tmp_path, options, message):
    path, out = picture(tmp_path / "a.png"), tmp_path / "out"
    result = CliRunner().invoke(app, ["infer", str(path), "--out", str(out), *options.split()])
    assert result.exit_code == 2
    assert f"Error: {message}" in result.stderr
    assert not out.exists()

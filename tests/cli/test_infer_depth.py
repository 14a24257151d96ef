"""``mrfmask infer`` with a model of ``mrfmask depth train``: where to measure depth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from folders import lines, names, picture
from PIL import Image
from strategies import random_grid
from typer.testing import CliRunner

import mrfmask as mm
from mrfmask.cli import app, depth_options
from mrfmask.depth.checkpoint import DepthModel
from mrfmask.depth.density_net import DensityNet
from mrfmask.depth.full_size import choose_at_full_size
from mrfmask.depth.masking import MASKINGS
from mrfmask.files import read_picture
from mrfmask.nn import MaskNet


def save_model(folder, name="ising_density"):
    """A folder with a small model that has learned nothing."""
    torch.manual_seed(0)
    nets = {"ising_density": {"net": DensityNet(8)}, "random": {}}
    masking = MASKINGS[name](**nets[name])
    if name == "ising_density":
        torch.nn.init.normal_(masking.net.net.head[-1].weight)
    DepthModel(masking=masking, predictor=None, budget=0.01).save(folder)
    return folder


@pytest.fixture
def model(tmp_path):
    return save_model(tmp_path / "model")


def infer(*words, code=0):
    """Runs ``mrfmask infer`` with just these words."""
    result = CliRunner().invoke(app, ["infer", *map(str, words)])
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def mask_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("budget", ["0.5%", "1%", "2%", "5%", "10%", "77"])
def test_mask_has_exactly_the_budget(tmp_path, model, budget):
    path = picture(tmp_path / "a.png", size=(37, 53))
    result = infer(path, "--checkpoint", model, "--budget", budget, "--out", tmp_path / "out")
    count = 77 if budget == "77" else round(float(budget[:-1]) / 100 * 37 * 53)
    mask = mask_of(tmp_path / "out" / "a.mask.png")
    assert mask.sum() == count
    masking = depth_options.load_named_model(str(model)).model.masking
    expected = choose_at_full_size(masking, read_picture(path), count)
    assert np.array_equal(mask, expected.numpy())
    (line,) = lines(tmp_path / "out")
    assert (line["pixels_on"], line["pixels"], line["method"]) == (count, 37 * 53, "ising_density")
    assert line["energy"] is None
    assert f"{count} of 1961 pixels on" in result.stdout


def test_mask_of_a_street_is_of_its_size(tmp_path, model):
    path = picture(tmp_path / "street.png", size=(375, 1242))
    infer(path, "--checkpoint", model, "--budget", "0.2%", "--out", tmp_path / "out")
    mask = mask_of(tmp_path / "out" / "street.mask.png")
    assert mask.shape == (375, 1242)
    assert mask.sum() == round(0.002 * 375 * 1242)
    assert mask_of(tmp_path / "out" / "street.overlay.png").shape == (375, 1242, 3)


def test_second_run_skips_what_is_done_by_the_same_model(tmp_path, model):
    path, out = picture(tmp_path / "a.png", size=(20, 30)), tmp_path / "out"
    words = (path, "--checkpoint", model, "--out", out)
    infer(*words)
    assert names(out) == ["a.mask.png", "a.overlay.png", "results.jsonl"]
    # Files of its training lie beside a model.
    (model / "rounds.jsonl").touch()
    assert "already done, skipped" in infer(*words).stdout
    assert "already done" not in infer(*words, "--budget", "2%").stdout
    save_model(model, "random")
    assert "already done" not in infer(*words, "--budget", "2%").stdout


def test_size_is_that_of_the_mask(tmp_path, model):
    path = picture(tmp_path / "a.png", size=(20, 30))
    infer(path, "--checkpoint", model, "--size", "40x50", "--out", tmp_path / "out")
    mask = mask_of(tmp_path / "out" / "a.mask.png")
    assert mask.shape == (40, 50)
    assert mask.sum() == 20


def test_default_model_chooses_1_percent_where_nothing_else_is_said(tmp_path, model, monkeypatch):
    monkeypatch.setattr(depth_options, "default_folder", lambda: model)
    monkeypatch.setattr(
        depth_options, "default_depth_model", lambda: depth_options.load_depth_model(model)
    )
    path = picture(tmp_path / "a.png", size=(20, 30))
    infer(path, "--out", tmp_path / "bare")
    infer(path, "--out", tmp_path / "named", "--checkpoint", "default")
    infer(path, "--out", tmp_path / "folder", "--checkpoint", model, "--budget", "1%")
    masks = [mask_of(tmp_path / n / "a.mask.png") for n in ("bare", "named", "folder")]
    assert masks[0].sum() == 6
    assert all(np.array_equal(mask, masks[0]) for mask in masks)
    infer(path, "--out", tmp_path / "more", "--budget", "10%")
    assert mask_of(tmp_path / "more" / "a.mask.png").sum() == 60


def test_other_ways_are_as_before(tmp_path, model):
    path, out = picture(tmp_path / "a.png", size=(20, 30)), tmp_path / "out"
    mm.save_model(random_grid(1, 3, 3), tmp_path / "m.npz")
    MaskNet().save_pretrained(tmp_path / "segment")
    for number, words in enumerate(
        [
            (path, "--potentials", "edge"),
            (path, "--task", "map"),
            (path, "--method", "mean_field"),
            (path, "--checkpoint", tmp_path / "segment"),
            (path, "--select", "grid", "--budget", "2%"),
            (tmp_path / "m.npz",),
        ]
    ):
        infer(*words, "--out", out / str(number))
        (line,) = lines(out / str(number))
        assert line["settings"]["task"] == ("select" if "--select" in words else "map")


def test_seed_is_taken_by_methods_that_draw(tmp_path):
    model = save_model(tmp_path / "model", "random")
    path = picture(tmp_path / "a.png", size=(20, 30))
    for seed in (0, 1):
        out = tmp_path / str(seed)
        infer(path, "--checkpoint", model, "--out", out, "--seed", seed, "--budget", 30)
    masks = [mask_of(tmp_path / name / "a.mask.png") for name in "01"]
    assert not np.array_equal(*masks)
    infer(path, "--checkpoint", model, "--out", tmp_path / "bare", "--budget", 30)
    assert np.array_equal(mask_of(tmp_path / "bare" / "a.mask.png"), masks[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--budget two", "--budget must be a number of pixels, or a share above 0% and up to 100%"),
        ("--size 5", "--size must be HEIGHTxWIDTH with sides in 1..65536; got '5'."),
        ("--seed 1", "--seed must not be given where nothing uses it; got it with a model of isi"),
        (
            "--task map",
            "--task must not be given with a depth model, which has no use for it; got ",
        ),
        ("--method exact", "--method must not be given with a depth model, which has no use"),
        ("--potentials edge", "--potentials must not be given with a depth model, which has no"),
        ("--weight unary=1", "--weight must not be given with a depth model, which has no use"),
        ("--select grid", "--select must not be given with a depth model, which has no use"),
        ("--beta 1", "--beta must not be given with a depth model, which has no use"),
        ("--sweeps 3", "--sweeps must not be given with a depth model, which has no use"),
        ("--time-limit 3", "--time-limit must not be given with a depth model, which has no"),
        ("--device cpu", "--device must not be given with a depth model, which has no use"),
        ("--npz", "--npz must not be given with a depth model, which has no use"),
    ],
)
def test_infer_says_what_is_of_no_use_to_a_depth_model(tmp_path, model, options, message):
    path, out = picture(tmp_path / "a.png"), tmp_path / "out"
    result = infer(path, "--checkpoint", model, "--out", out, *options.split(), code=2)
    assert f"Error: {message}" in result.stderr
    assert not out.exists()


def test_infer_says_what_no_picture_is(tmp_path, model):
    path, out = picture(tmp_path / "a.png"), tmp_path / "out"
    mm.save_model(random_grid(1, 3, 3), tmp_path / "m.npz")
    words = (path, tmp_path / "m.npz", "--out", out)
    error = infer(*words, code=2).stderr
    assert "Error: INPUT must be pictures alone, or potentials alone, where nothing says" in error
    error = infer(*words, "--checkpoint", model, code=2).stderr
    assert "Error: INPUT must be pictures for a depth model; got" in error
    assert not out.exists()


def test_broken_model_is_named(tmp_path, model):
    (model / "depth.json").write_text("{")
    path = picture(tmp_path / "a.png")
    error = infer(path, "--checkpoint", model, "--out", tmp_path / "out", code=2).stderr
    assert "Error: depth.json must be JSON; got" in error
    nothing = infer(path, "--checkpoint", tmp_path / "no", "--out", tmp_path / "out", code=2)
    assert "Error: --checkpoint must name a folder that exists; got" in nothing.stderr


def test_budget_of_no_pixel_is_reported(tmp_path, model):
    path = picture(tmp_path / "a.png", size=(5, 5))
    result = infer(path, "--checkpoint", model, "--out", tmp_path / "out", code=1)
    assert "Error: a.png: --budget must buy a pixel, and at most the 25 of a" in result.stderr

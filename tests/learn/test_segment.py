"""Training a MaskNet on pictures: the function, the command, and what infer makes of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from learn.tiny import write_squares
from PIL import Image
from typer.testing import CliRunner

import mrfmask as mm
from mrfmask.cli import app
from mrfmask.learn import segment
from mrfmask.learn.plan import Plan
from mrfmask.learn.segment import LOSSES, train_segmentation
from mrfmask.nn import MaskNet

PLAN = Plan(epochs=3, batch=4, learning_rate=0.01)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("data") / "squares.npz", 10, 16, 16)


def command(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains(data, tmp_path, loss):
    history = train_segmentation(
        data, tmp_path, loss=loss, net={"width": 8}, plan=PLAN, validation=0.3
    )
    assert [record["epoch"] for record in history] == [0, 1, 2]
    assert {"loss", "iou", "boundary_f", "components", "accuracy"} < set(history[0])
    net = MaskNet.from_pretrained(tmp_path)
    assert isinstance(net(torch.rand(1, 3, 16, 16)), mm.IsingGrid)
    assert list((tmp_path / "tensorboard").glob("events*"))


class StopAt:
    """Stops a training in the middle of a pass."""

    def __init__(self, epoch, step):
        self.at = (epoch, step)

    def step(self, epoch, step, steps, loss):
        if (epoch, step) == self.at:
            raise KeyboardInterrupt

    def epoch(self, record, net):
        pass


@pytest.mark.parametrize("loss", ["hinge", "likelihood"])
def test_stopped_training_writes_the_same_files_in_the_end(data, tmp_path, loss):
    options = {"loss": loss, "net": {"width": 8}, "plan": replace(PLAN, save_every_s=1e-3)}
    train_segmentation(data, tmp_path / "whole", **options)
    for at in ((0, 1), (2, 0)):
        with pytest.raises(KeyboardInterrupt):
            train_segmentation(data, tmp_path / "parts", **options, watcher=StopAt(*at))
    notes = []
    train_segmentation(data, tmp_path / "parts", **options, notice=notes.append)
    assert notes[-1].startswith("Going on from pass")
    for name in ("config.json", "model.safetensors", "history.jsonl"):
        whole, parts = ((tmp_path / run / name).read_bytes() for run in ("whole", "parts"))
        assert whole == parts, name


def test_other_data_of_the_same_names_are_refused_on_resume(data, tmp_path):
    plan = replace(PLAN, epochs=1)
    train_segmentation(data, tmp_path / "run", net={"width": 8}, plan=plan)
    other = tmp_path / "squares.npz"
    with np.load(data) as arrays:
        np.savez(other, rgb=255 - arrays["rgb"], mask=arrays["mask"])
    with pytest.raises(ValueError, match="where data is"):
        train_segmentation(other, tmp_path / "run", net={"width": 8}, plan=plan)
    with pytest.raises(ValueError, match=r"where size is None and not \[8, 8\]"):
        train_segmentation(data, tmp_path / "run", net={"width": 8}, plan=plan, size=(8, 8))


def test_divergence_is_said_to_be_that(data, tmp_path):
    text = command(
        *("train", "segment", "--data", data, "--out", tmp_path / "run", "--batch", 2),
        *("--epochs", 3, "--learning-rate", 1e30),
        code=1,
    )
    assert "Error: loss must stay finite; got" in " ".join(text.split())
    assert "Use a lower learning rate" in " ".join(text.split())


@pytest.mark.parametrize("loss", ["hinge", "likelihood"])
def test_pictures_stay_in_place_for_losses_that_remember_them(data, tmp_path, monkeypatch, loss):
    def record(example, draws, moving):
        seen.append(moving)
        return example

    seen = []
    monkeypatch.setattr(segment, "augment", record)
    train_segmentation(data, tmp_path, loss=loss, net={"width": 8}, plan=replace(PLAN, epochs=1))
    assert set(seen) == {loss != "likelihood"}


def test_validation_may_be_other_data_and_sizes_may_change(data, tmp_path):
    history = train_segmentation(
        data,
        tmp_path,
        validation=data,
        size=(8, 12),
        net={"width": 8, "coupling": "none"},
        plan=Plan(epochs=1, batch=10),
    )
    assert len(history) == 1


def test_command_trains_stops_and_infer_uses_the_network(data, tmp_path):
    runs, out = tmp_path / "runs", tmp_path / "out"
    words = ["train", "segment", "--data", data, "--out", runs, "--batch", 4, "--seed", 3]
    text = command(*words, "--epochs", 2)
    assert "pass 0: loss" in text
    assert "Best pass of 0 to 1" in text
    again = command(*words, "--epochs", 2)
    assert "Finished already." in again
    assert "Best pass of 0 to 1" in again
    lines = [json.loads(line) for line in (runs / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1]
    Image.new("RGB", (12, 9), (200, 30, 40)).save(tmp_path / "a.png")
    command("infer", tmp_path / "a.png", "--checkpoint", runs, "--out", out)
    record = json.loads((out / "results.jsonl").read_text())
    net = MaskNet.from_pretrained(runs).eval()
    with torch.no_grad():
        model = net(
            torch.tensor([200, 30, 40])[None, :, None, None] / 255 * torch.ones(1, 3, 9, 12)
        )
    best = mm.find_map(model)
    assert record["energy"] == pytest.approx(best.energy.item(), rel=1e-5)
    assert record["pixels_on"] == best.mask.sum()
    assert len(record["settings"]["checkpoint"]) == 16
    command(
        *("infer", tmp_path / "a.png", "--checkpoint", runs, "--out", tmp_path / "picks"),
        *("--select", "top_k", "--budget", 7),
    )
    with Image.open(tmp_path / "picks" / "a.mask.png") as image:
        assert sum(image.convert("L").tobytes()) == 7 * 255


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "nothing"], "--data must name a folder or an .npz file that exists"),
        (["--validation", "1.5"], "--validation must be a path or a share"),
        (["--validation", "other.npz"], "--validation must name"),
        (["--validation", "0.99"], "--data must have at least 2 examples"),
        (["--loss", "any"], "--loss must be one of 'hinge'"),
        (["--coupling", "any"], "--coupling must be one of 'associative'"),
        (["--precision", "float8"], "--precision must be one of"),
        (["--learning-rate", "0"], "--learning-rate must be"),
        (["--size", "9"], "--size must be HEIGHTxWIDTH"),
    ],
)
def test_wrong_options_are_named(data, tmp_path, words, message):
    given = {"--data": data, "--out": tmp_path / "out"}
    given |= dict(zip(words[::2], words[1::2], strict=True))
    text = command("train", "segment", *(w for pair in given.items() for w in pair), code=2)
    assert message in " ".join(text.split())
    assert not (tmp_path / "out" / "state.pt").exists()


def test_out_must_not_be_a_file(data, tmp_path):
    (tmp_path / "file").write_text("x")
    text = command("train", "segment", "--data", data, "--out", tmp_path / "file", code=2)
    assert "--out must be a folder" in " ".join(text.split())


def test_checkpoint_excludes_other_potentials(tmp_path):
    Image.new("RGB", (12, 9)).save(tmp_path / "a.png")
    MaskNet(width=8).save_pretrained(tmp_path / "net")
    common = ["infer", tmp_path / "a.png", "--out", tmp_path / "out", "--checkpoint"]
    text = command(*common, tmp_path / "net", "--potentials", "edge", code=2)
    assert "--potentials must not be given with --checkpoint" in " ".join(text.split())
    text = command(*common, tmp_path / "other", code=2)
    assert "--checkpoint must name a folder that exists" in " ".join(text.split())

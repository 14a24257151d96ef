"""Trainings of densities on frames whose pictures tell where depth is rough."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mrfmask.depth.density_net import SHARES, PositionPrior
from mrfmask.depth.describe import digest_of
from mrfmask.depth.frames import Frame
from mrfmask.depth.masking.density import Prior
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.training import sharpness
from mrfmask.depth.training.density import PLAN, train_density
from mrfmask.depth.training.prior import train_prior
from mrfmask.depth.training.sharpness import TRIED, tune_sharpness
from mrfmask.depth.training.task import Task

SIZE = (24, 32)


def half_rough(number: int, side: int) -> Frame:
    """Depth is smooth on one half; on the other, where the picture is bright, it has waves."""
    draws = torch.Generator().manual_seed(number)
    bright = torch.zeros(SIZE)
    bright[:, 16 * side : 16 * side + 16] = 1
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(32.0), indexing="ij")
    across, along = 2 * math.pi * torch.rand(2, generator=draws)
    waves = torch.sin(math.pi * columns / 7 + across) * torch.sin(math.pi * rows / 7 + along)
    depth = 4 + 0.02 * columns + bright * waves
    picture = (0.2 + 0.6 * bright + 0.05 * torch.rand(3, *SIZE, generator=draws)).clamp(0, 1)
    valid = torch.ones(SIZE, dtype=torch.bool)
    return Frame(picture, depth, valid, f"place{number}", f"set/{number}")


def task(sides: list[int]) -> Task:
    frames = [half_rough(number, side) for number, side in enumerate(sides)]
    return Task(
        train=frames[:-3],
        validation=frames[-3:],
        test=[],
        shares=SHARES,
        seed=0,
        digest=f"{sides}",
    )


SWAPPED = task([0, 1, 1, 0, 0, 1, 0, 1, 0])
SHORT = replace(PLAN, epochs=2, batch=4, precision="float32")


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr("mrfmask.depth.training.density.STEPS", 8)


class StopError(Exception):
    """Stops a training."""


class Stopper:
    """Stops at a step of the second pass."""

    def step(self, epoch, step, steps, loss):
        if (epoch, step) == (1, 3):
            raise StopError

    def epoch(self, record, net):
        pass


def files(folder) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.glob("*.*")) if p.name != "state.pt"}


def test_density_learns_from_the_picture_and_resumes_to_the_same_bytes(tmp_path):
    masking = train_density(SWAPPED, tmp_path / "whole", Predictor(), plan=SHORT)
    picture = torch.stack([half_rough(50, 0).picture, half_rough(51, 1).picture])
    density = masking.net.log_density(picture, 0.05)
    left, right = density[:, :, :16].mean((1, 2)), density[:, :, 16:].mean((1, 2))
    assert left[0] > right[0] + 0.2
    assert right[1] > left[1] + 0.2
    with pytest.raises(StopError):
        train_density(SWAPPED, tmp_path / "cut", Predictor(), plan=SHORT, watcher=Stopper())
    train_density(SWAPPED, tmp_path / "cut", Predictor(), plan=SHORT)
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


@pytest.mark.parametrize("train", [train_density, train_prior])
def test_finished_training_is_not_tuned_again(tmp_path, monkeypatch, train):
    first = train(SWAPPED, tmp_path, Predictor(), plan=SHORT).net
    with monkeypatch.context() as patch:
        patch.setattr("mrfmask.depth.training.sharpness.buy", None)
        again = train(SWAPPED, tmp_path, Predictor(), plan=SHORT).net
    assert digest_of(again) == digest_of(first)
    # Tuned for other frames it is another one.
    asked = []
    monkeypatch.setattr(sharpness, "tune_sharpness", lambda m, f: asked.append(f) or m)
    other = replace(SWAPPED, validation=SWAPPED.validation[:1], digest="other")
    sharpness.tune_once(Prior(net=Bright(1)), other, tmp_path)
    assert asked == [other.validation]


def test_prior_learns_the_place_alone(tmp_path):
    always = task([1] * 9)
    masking = train_prior(always, tmp_path, Predictor())
    for side in (0, 1):
        density = masking.net.log_density(half_rough(60, side).picture[None], 0.01)[0]
        assert density[:, 20:].mean() > density[:, :12].mean() + 1


class Bright(PositionPrior):
    """As dense as the picture is bright, or dark."""

    def __init__(self, sign: float) -> None:
        super().__init__(1, 1)
        self.sign = sign

    def forward(self, picture: Tensor) -> Tensor:
        return self.sign * 3 * picture.mean(1, keepdim=True).expand(-1, 2, -1, -1)


def test_sharpness_grows_with_what_a_density_is_worth():
    right, wrong = (tune_sharpness(Prior(net=Bright(sign)), SWAPPED.validation) for sign in (1, -1))
    # At the smaller share, 8 picks, chance decides.
    assert wrong.net.sharpness[1] == TRIED[0]
    assert right.net.sharpness[1] >= 0.75


def test_sharpness_stays_where_no_frame_has_pixels_enough():
    valid = torch.zeros(SIZE, dtype=torch.bool)
    valid[0, :10] = True
    frame = half_rough(0, 0)
    few = [replace(frame, valid=valid, depth=frame.depth.where(valid, 0.0))]
    tuned = tune_sharpness(Prior(net=Bright(1)), few).net.sharpness
    assert tuned[1] == 1

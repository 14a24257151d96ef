"""Stages of an alternating training that take no time, and hang on all that they were given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from depth.tiny_depth import tiny_task

from mrfmask.depth.density_net import DensityNet
from mrfmask.depth.describe import digest_of
from mrfmask.depth.masking import MASKINGS
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.training import alternate

BUDGET, METHOD, MOVE = 0.05, "ising_density", 0.02
OPTIONS = {"budget": BUDGET, "info": {"data": "rooms"}, "rounds": 2}
TASK = tiny_task()


class Killed(BaseException):
    """Not an error that a program would handle."""


class Stages:
    """Stands in for the trainings: writes networks that hang on all that they were given.

    What it was asked for is in `asked`; `dies_at` counts stages and says where it is killed, before
    or after the stage's network is written.
    """

    def __init__(self, dies_at: float = -1) -> None:
        self.asked: list[tuple] = []
        self.made = 0
        self.dies_at = dies_at

    def _stage(self, folder: Path, kind: type, make):
        if (folder / "config.json").exists():
            return kind.from_pretrained(folder)
        if self.made == self.dies_at:
            raise Killed
        net = make()
        net.save_pretrained(folder)
        if self.made + 0.5 == self.dies_at:
            raise Killed
        self.made += 1
        return net.eval()

    def fit(self, task, folder, buyers, *, plan=None, start=None, watcher=None):
        self.asked.append(("predictor", folder, list(buyers), start, plan))

        def make() -> Predictor:
            torch.manual_seed(len(buyers))
            net = Predictor(width=8)
            if start is not None:
                net.load_state_dict(start.state_dict())
                with torch.no_grad():
                    net.net.head[-1].bias += MOVE
            return net

        return self._stage(folder, Predictor, make)

    def train(self, task, folder, predictor, *, plan=None, watcher=None):
        self.asked.append(("masking", folder, digest_of(predictor), plan))

        def make() -> DensityNet:
            torch.manual_seed(int(digest_of(predictor)[:8], 16))
            net = DensityNet(width=8)
            with torch.no_grad():
                net.net.head[-1].weight.normal_()
            return net

        return MASKINGS[METHOD](net=self._stage(folder, DensityNet, make))


def content(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def errors_of(monkeypatch: pytest.MonkeyPatch, errors: list[float], linear: float = 2.0) -> None:
    """Lets rounds have these validation errors: the predictor's bias tells them apart."""
    real = alternate.judge

    def judge(buyer, predictor, *args, **options):
        number = round(predictor.net.head[-1].bias.item() / MOVE)
        found = real(buyer, predictor, *args, **options)
        return replace(found, error=errors[number - 1], linear=linear)

    monkeypatch.setattr(alternate, "judge", judge)

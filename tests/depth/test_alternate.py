"""Trainings in turns: who learns from whom, when it ends, and the same bytes after every stop."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from depth.tiny_depth import rooms, tiny_task

from mrfmask.depth.buyer import Buyer, base_buyers
from mrfmask.depth.density_net import DensityNet
from mrfmask.depth.describe import digest_of
from mrfmask.depth.frames import collate_frames
from mrfmask.depth.masking import MASKINGS
from mrfmask.depth.phases import Phases, buy
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.targets import Target
from mrfmask.depth.training import TRAININGS, alternate
from mrfmask.depth.training.alternate import Plans, train_depth
from mrfmask.depth.training.predictor import BASE_PLAN, FINE_PLAN
from mrfmask.files import write_whole
from mrfmask.learn.plan import Plan

BUDGET, METHOD, MOVE = 0.05, "ising_density", 0.02
SHORT = Plans(
    base=replace(BASE_PLAN, epochs=1, batch=2), predictor=replace(FINE_PLAN, epochs=1, batch=2)
)
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


@pytest.fixture
def begin(monkeypatch):
    """Runs `train_depth` with such stages."""

    def run(folder, stages, method=METHOD, task=TASK, **options):
        monkeypatch.setitem(TRAININGS, METHOD, stages.train)
        options = {"budget": BUDGET, "info": {"data": "rooms"}, "rounds": 2} | options
        return train_depth(task, folder, method, fit=stages.fit, **options)

    return run


def content(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]


def errors_of(monkeypatch, errors: list[float], linear: float = 2.0) -> None:
    """Lets rounds have these validation errors: the predictor's bias tells them apart."""
    real = alternate.judge

    def judge(buyer, predictor, *args, **options):
        number = round(predictor.net.head[-1].bias.item() / MOVE)
        found = real(buyer, predictor, *args, **options)
        return replace(found, error=errors[number - 1], linear=linear)

    monkeypatch.setattr(alternate, "judge", judge)


def test_train_depth_asks_stages_for_what_the_others_became(tmp_path, begin, monkeypatch):
    errors_of(monkeypatch, [2.0, 1.0])
    stages, plans = Stages(), Plans(base=Plan(epochs=1), masking=Plan(epochs=2))
    phases = Phases(count=2)
    begin(tmp_path, stages, phases=phases, plans=plans, polyak=0.25, rounds=2)
    base, masking1, fine1, masking2, fine2 = stages.asked
    assert base[1:] == (tmp_path / "base", list(base_buyers()), None, plans.base)
    first = Predictor.from_pretrained(tmp_path / "base")
    assert masking1[1:] == (tmp_path / "round-1" / "masking", digest_of(first), plans.masking)
    assert fine1[1] == tmp_path / "round-1" / "predictor"
    (buyer,) = fine1[2]
    assert isinstance(buyer, Buyer)
    assert buyer.phases == phases
    net = DensityNet.from_pretrained(tmp_path / "round-1" / "masking")
    assert digest_of(buyer.masking.net) == digest_of(net)
    assert digest_of(fine1[3]) == digest_of(first)
    assert fine1[4] is None
    second = Predictor.from_pretrained(tmp_path / "round-1" / "predictor")
    target = Target(first, tau=0.25)
    target.update(second)
    assert masking2[2] == target.digest() != digest_of(first)
    assert digest_of(fine2[3]) == digest_of(second)
    assert [r["target"] for r in records(tmp_path)] == [masking1[2], masking2[2]]


def test_train_depth_notes_the_error_of_predictor_and_linear_fill(tmp_path, begin):
    model = begin(tmp_path, Stages(), rounds=1, phases=Phases(count=3))
    frames = collate_frames(rooms(2, seed=2))
    count = round(BUDGET * frames.depth[0].numel())
    mask = buy(model.masking, frames, count, model.phases, seed=TASK.seed)
    with torch.no_grad():
        predicted = model.predictor(frames.depth, mask)
        linear = Predictor()(frames.depth, mask)
    (record,) = records(tmp_path)
    for name, depth in (("error", predicted), ("linear", linear)):
        each = [
            (p - d)[v].double().square().mean().sqrt()
            for p, d, v in zip(depth, frames.depth, frames.valid, strict=True)
        ]
        assert record[name] == pytest.approx(torch.stack(each).mean().item(), rel=1e-6)
    assert record["error"] != record["linear"]
    assert model.info["error"] == record["error"]


@pytest.mark.parametrize(
    ("errors", "best"),
    [([1.0, 0.9, 0.8], 3), ([1.0, 0.9, 0.95], 2), ([1.0, 1.0], 1), ([1.0, 1.2], 1)],
)
def test_train_depth_ends_when_the_error_no_longer_falls(
    errors, best, tmp_path, begin, monkeypatch
):
    errors_of(monkeypatch, errors)
    model = begin(tmp_path, Stages(), rounds=3)
    assert [r["error"] for r in records(tmp_path)] == errors
    assert [r["best"] for r in records(tmp_path)] == [i < best for i in range(len(errors))]
    expected = tmp_path / f"round-{best}"
    assert model.info["round"] == best
    assert digest_of(model.predictor) == digest_of(
        Predictor.from_pretrained(expected / "predictor")
    )
    assert digest_of(model.masking.net) == digest_of(
        DensityNet.from_pretrained(expected / "masking")
    )
    assert not (tmp_path / f"round-{len(errors) + 1}").exists()


# A run of two rounds has 5 stages; .5 is after the stage's network was written.
@pytest.mark.parametrize("dies_at", [k / 2 for k in range(10)])
def test_train_depth_gives_the_same_bytes_when_killed_in_a_stage(
    dies_at, tmp_path, begin, monkeypatch
):
    errors_of(monkeypatch, [2.0, 1.0])
    begin(tmp_path / "through", Stages())
    with pytest.raises(Killed):
        begin(tmp_path / "killed", Stages(dies_at))
    begin(tmp_path / "killed", Stages())
    assert content(tmp_path / "killed") == content(tmp_path / "through")


# The settings, and for each of two rounds the seven files of the checkpoint and the journal.
@pytest.mark.parametrize("dies_at", range(17))
def test_train_depth_gives_the_same_bytes_when_killed_before_a_file(
    dies_at, tmp_path, begin, monkeypatch
):
    errors_of(monkeypatch, [2.0, 1.0])
    begin(tmp_path / "through", Stages())
    real, written = write_whole, []

    def write(path, content):
        if not {"base", "round-1", "round-2"} & set(Path(path).parts):
            if len(written) == dies_at:
                raise Killed
            written.append(path)
        real(path, content)

    with monkeypatch.context() as patched:
        for name in ("depth.training.alternate", "depth.checkpoint", "nn.hub"):
            patched.setattr(f"mrfmask.{name}.write_whole", write)
        with pytest.raises(Killed):
            begin(tmp_path / "killed", Stages())
    begin(tmp_path / "killed", Stages())
    assert content(tmp_path / "killed") == content(tmp_path / "through")

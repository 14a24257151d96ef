"""Trainings in turns: who learns from whom, when it ends, and the same bytes after every stop."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from depth.stages import BUDGET, METHOD, OPTIONS, TASK, Killed, Stages, content, errors_of
from depth.tiny_depth import Stop, rooms, tiny_task

from mrfmask.depth.buyer import Buyer, base_buyers
from mrfmask.depth.checkpoint import depth_model_at, load_depth_model
from mrfmask.depth.density_net import DensityNet
from mrfmask.depth.describe import digest_of
from mrfmask.depth.frames import collate_frames
from mrfmask.depth.masking import MASKINGS
from mrfmask.depth.phases import Phases, buy
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.targets import Target
from mrfmask.depth.training import STEADY, TRAININGS, alternate
from mrfmask.depth.training.alternate import Plans, train_depth
from mrfmask.depth.training.joint import JointTraining
from mrfmask.depth.training.predictor import BASE_PLAN, FINE_PLAN
from mrfmask.files import write_whole
from mrfmask.folder_lock import FolderLock
from mrfmask.learn.plan import Plan

SHORT = Plans(
    base=replace(BASE_PLAN, epochs=1, batch=2), predictor=replace(FINE_PLAN, epochs=1, batch=2)
)


@pytest.fixture
def begin(monkeypatch):
    """Runs `train_depth` with such stages."""

    # The stub looks at the predictor, whatever the method that it stands for does.
    monkeypatch.setattr(alternate, "STEADY", frozenset())

    def run(folder, stages, method=METHOD, task=TASK, **options):
        monkeypatch.setitem(TRAININGS, METHOD, stages.train)
        return train_depth(task, folder, method, fit=stages.fit, **OPTIONS | options)

    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The files of two rounds, each better than the one before, that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        errors_of(patch, [2.0, 1.0])
        stages = Stages()
        patch.setitem(TRAININGS, METHOD, stages.train)
        patch.setattr(alternate, "STEADY", frozenset())
        train_depth(TASK, folder, METHOD, fit=stages.fit, **OPTIONS)
    return content(folder)


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]


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
@pytest.mark.parametrize("dies_at", [0, 0.5, 1, 1.5, 2, 2.5, 3, 4.5])
def test_train_depth_gives_the_same_bytes_when_killed_in_a_stage(
    dies_at, whole, tmp_path, begin, monkeypatch
):
    errors_of(monkeypatch, [2.0, 1.0])
    with pytest.raises(Killed):
        begin(tmp_path, Stages(dies_at))
    begin(tmp_path, Stages())
    assert content(tmp_path) == whole


# The settings, and for each of two rounds the seven files of the checkpoint and the journal.
@pytest.mark.parametrize("dies_at", [0, 1, 5, 7, 8, 9, 14, 16])
def test_train_depth_gives_the_same_bytes_when_killed_before_a_file(
    dies_at, whole, tmp_path, begin, monkeypatch
):
    errors_of(monkeypatch, [2.0, 1.0])
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
            begin(tmp_path, Stages())
    begin(tmp_path, Stages())
    assert content(tmp_path) == whole


def test_train_depth_goes_on_to_more_rounds(whole, tmp_path, begin, monkeypatch):
    errors_of(monkeypatch, [2.0, 1.0])
    begin(tmp_path, Stages(), rounds=1)
    assert load_depth_model(tmp_path).info["round"] == 1
    begin(tmp_path, Stages(), rounds=2)
    assert content(tmp_path) == whole


def test_train_depth_does_nothing_anew_when_finished(whole, tmp_path, begin, monkeypatch):
    errors_of(monkeypatch, [2.0, 1.0])
    begin(tmp_path, Stages())
    monkeypatch.setattr(alternate, "judge", None)
    again = Stages(dies_at=0)
    model = begin(tmp_path, again)
    assert (again.made, model.info["round"]) == (0, 2)
    assert content(tmp_path) == whole


def test_train_depth_has_one_round_for_methods_without_training(tmp_path, begin):
    stages, said = Stages(), []
    model = begin(tmp_path, stages, method="long_range", rounds=5, notice=said.append)
    assert model.masking == MASKINGS["long_range"]()
    assert [kind for kind, *_ in stages.asked] == ["predictor", "predictor"]
    assert stages.asked[1][2] == [Buyer(MASKINGS["long_range"]())]
    assert said[:2] == [
        "base: a predictor of masks of all kinds",
        "round 1: the predictor of what it buys",
    ]
    assert said[2].startswith("round 1: RMSE")
    assert len(said) == 3


def test_train_depth_resumes_real_trainings_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr("mrfmask.depth.training.fit.STEPS", 3)

    def train(folder, watcher=None):
        return train_depth(TASK, folder, "random", budget=BUDGET, plans=SHORT, watcher=watcher)

    train(tmp_path / "whole")
    for stop in (Stop(0, 1), Later(Stop(0, 1))):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "stopped", stop)
    assert (tmp_path / "stopped" / "round-1" / "predictor").exists()
    train(tmp_path / "stopped")
    first, second = (content(tmp_path / name) for name in ("whole", "stopped"))
    states = {name for name in first if name.endswith("state.pt")}
    assert first.keys() == second.keys()
    assert len(states) == 2
    assert all(first[name] == second[name] for name in first.keys() - states)


class Later:
    """Stops the second stage, not the first."""

    def __init__(self, stop):
        self.stop, self.passes = stop, 0

    def step(self, *args):
        if self.passes:
            self.stop.step(*args)

    def epoch(self, record, net):
        self.passes += 1


@pytest.mark.parametrize(
    ("errors", "linear", "says"),
    [
        ([float("nan")], 2.0, r"Round 1 .* is nan: diverged. Use a lower learning rate"),
        ([4.5], 2.0, r"Round 1 .* 4.5, above 2.0 times the smallest, 2"),
        ([1.0, 2.1], 2.0, r"Round 2 .* 2.1, above 2.0 times the smallest, 1,"),
    ],
)
def test_train_depth_stops_when_the_error_diverges(
    errors, linear, says, tmp_path, begin, monkeypatch
):
    errors_of(monkeypatch, errors, linear)
    for _ in range(2):  # it stays so when called again
        with pytest.raises(RuntimeError, match=says):
            begin(tmp_path, Stages(), rounds=3)
    faults = [f for r in records(tmp_path) for f in r["faults"] if f["stops"]]
    assert [f["kind"] for f in faults] == ["divergence"]
    assert depth_model_at(tmp_path) == (len(errors) > 1)
    if len(errors) > 1:
        assert load_depth_model(tmp_path).info["round"] == 1


def masks_of(monkeypatch, masks: torch.Tensor) -> None:
    """Lets validation frames, all valid, have these masks."""
    real = alternate.judge

    def judge(*args, **options):
        found = real(*args, **options)
        return replace(found, masks=masks, valid=torch.ones_like(masks))

    monkeypatch.setattr(alternate, "judge", judge)


def test_train_depth_stops_when_masks_collapse(tmp_path, begin, monkeypatch):
    masks_of(monkeypatch, torch.zeros(2, 32, 40, dtype=torch.bool))
    with pytest.raises(RuntimeError, match=r"Round 1 .*100% of the masks are all off: collapsed"):
        begin(tmp_path, Stages())
    assert [f["kind"] for f in records(tmp_path)[0]["faults"]] == ["collapse"]
    assert not depth_model_at(tmp_path)


def test_train_depth_tells_of_lattices_and_goes_on(tmp_path, begin, monkeypatch):
    lattice = torch.zeros(2, 32, 40, dtype=torch.bool)
    lattice[:, ::4, ::4] = True
    masks_of(monkeypatch, lattice)
    said = []
    begin(tmp_path, Stages(), rounds=1, notice=said.append)
    assert [f["kind"] for f in records(tmp_path)[0]["faults"]] == ["lattice", "same"]
    assert sum("every 4 rows" in text for text in said) == 1
    assert depth_model_at(tmp_path)


def test_train_depth_expects_the_same_masks_of_methods_that_see_no_picture(
    tmp_path, begin, monkeypatch
):
    lattice = torch.zeros(2, 32, 40, dtype=torch.bool)
    lattice[:, ::4, ::4] = True
    masks_of(monkeypatch, lattice)
    begin(tmp_path, Stages(), method="grid")
    assert records(tmp_path)[0]["faults"] == []


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("budget", {"budget": 0.04}),
        ("polyak", {"polyak": 0.4}),
        ("phases", {"phases": Phases(count=2)}),
        ("info", {"info": {}}),
        ("seed", {"task": replace(TASK, seed=1)}),
        ("data", {"task": replace(TASK, digest="other")}),
        ("predictor", {"plans": Plans(predictor=Plan(epochs=3))}),
        ("method", {"method": "random"}),
    ],
)
def test_train_depth_refuses_a_folder_of_another_training(name, other, tmp_path, begin):
    with pytest.raises(Killed):
        begin(tmp_path, Stages(dies_at=0))
    with pytest.raises(ValueError, match=f"same settings; got .*, where {name} is"):
        begin(tmp_path, Stages(), **other)
    # What does not change the result may change.
    plans = [Plans(base=Plan(workers=w, save_every_s=1.0 + w)) for w in (0, 1)]
    for plan in plans:
        with pytest.raises(Killed):
            begin(tmp_path / "free", Stages(dies_at=0), plans=plan)


@pytest.mark.parametrize("name", ["settings.json", "rounds.jsonl"])
def test_train_depth_refuses_broken_files(name, tmp_path, begin):
    with pytest.raises(Killed):
        begin(tmp_path, Stages(dies_at=0))
    (tmp_path / name).write_text("{")
    with pytest.raises(ValueError, match="must hold files that can be read"):
        begin(tmp_path, Stages())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"method": "magic"}, "method must be one of"),
        ({"method": "none"}, "method must be one that keeps a budget; got 'none'"),
        ({"method": "ising_ssvm"}, "method must be one with a training or without a network"),
        ({"budget": 0.06}, "budget must be above 0 and at most .* 0.05; got 0.06"),
        ({"budget": 0.0}, "budget must be above 0"),
        ({"rounds": 0}, "rounds must lie in"),
        ({"polyak": 0.0}, "polyak must be positive"),
        ({"polyak": 1.5}, r"polyak must lie in \(0, 1\]"),
        ({"info": {"x": {1}}}, "info must hold what JSON can"),
        ({"phases": Phases(weight=lambda b, m, v: b)}, "phases must weigh by one of"),
        ({"task": tiny_task(validation=0)}, "validation must leave frames"),
    ],
)
def test_train_depth_refuses_other_arguments_before_anything_is_made(
    options, says, tmp_path, begin, monkeypatch
):
    monkeypatch.delitem(TRAININGS, "ising_ssvm", raising=False)
    with pytest.raises(ValueError, match=says):
        begin(tmp_path / "run", Stages(dies_at=0), **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", TRAININGS)
def test_steady_methods_are_those_that_the_predictor_does_not_change(name, tmp_path, monkeypatch):
    monkeypatch.setattr("mrfmask.depth.training.density.STEPS", 1)
    monkeypatch.setattr("mrfmask.depth.training.sharpness.TRIED", (1.0,))
    training, plan = TRAININGS[name], Plan(epochs=1, batch=2, learning_rate=1e-2)
    if isinstance(training, JointTraining):
        training = replace(training, examples=2)
    changed = Predictor(width=8)
    torch.nn.init.normal_(changed.net.head[-1].weight)
    found = [
        digest_of(training(tiny_task(2, 1), tmp_path / str(n), predictor, plan=plan).net)
        for n, predictor in enumerate((Predictor(width=8), changed))
    ]
    assert (found[0] == found[1]) == (name in STEADY)


def test_steady_methods_are_trained_once(tmp_path, begin, monkeypatch):
    errors_of(monkeypatch, [2.0, 1.0])
    stages = Stages()
    monkeypatch.setattr(alternate, "STEADY", frozenset({METHOD}))
    begin(tmp_path, stages)
    folders = {asked[1] for asked in stages.asked if asked[0] == "masking"}
    assert folders == {tmp_path / "round-1" / "masking"}
    maskings = {record["masking"] for record in records(tmp_path)}
    assert (len(maskings), len(records(tmp_path))) == (1, 2)


def test_train_depth_refuses_a_folder_in_use_and_frees_it_when_stopped(
    tmp_path, begin, monkeypatch
):
    errors_of(monkeypatch, [2.0, 1.0])
    with FolderLock(tmp_path):
        with pytest.raises(RuntimeError, match="--out must not be in use by another run; got"):
            begin(tmp_path, Stages())
        assert content(tmp_path) == {}

    def meddle(task, folder, buyers, **options):
        with pytest.raises(RuntimeError, match="in use by another run"):
            begin(tmp_path, Stages())
        raise Killed

    stages = Stages()
    monkeypatch.setattr(stages, "fit", meddle)
    with pytest.raises(Killed):
        begin(tmp_path, stages)
    begin(tmp_path, Stages())

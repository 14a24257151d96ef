"""Trainings in turns: what later phases go by, and how the target follows."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from depth.stages import BUDGET, METHOD, OPTIONS, TASK, Killed, Stages, content, errors_of

from mrfmask.depth.checkpoint import load_depth_model
from mrfmask.depth.describe import describe, digest_of
from mrfmask.depth.error_head import ErrorHead
from mrfmask.depth.phases import Phases
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.saved_weights import taken_apart
from mrfmask.depth.training import TRAININGS, alternate, weight
from mrfmask.depth.training.alternate import Plans, train_depth
from mrfmask.depth.training.predictor import BASE_PLAN, FINE_PLAN
from mrfmask.depth.weights import EnsembleVariance, ExpectedError
from mrfmask.learn.plan import Plan

TRAINED = ("ensemble", "head")
PHASES = Phases(count=3)


class WeightStages(Stages):
    """With stages of what later phases go by."""

    def ensemble(self, task, folder, buyers, *, plan, watcher):
        self.asked.append(("weight", folder, plan))
        return EnsembleVariance(tuple(self._net(folder / str(k), Predictor, k) for k in range(2)))

    def head(self, task, folder, *, plan, watcher):
        self.asked.append(("weight", folder, plan))
        return self._net(folder, ErrorHead, 7)

    def _net(self, folder, kind, seed):
        def make():
            torch.manual_seed(seed)
            net = kind(width=8)
            torch.nn.init.normal_(net.net.head[-1].weight)
            return net

        return self._stage(folder, kind, make)


@pytest.fixture
def begin(monkeypatch):
    """Runs `train_depth` with such stages."""
    monkeypatch.setattr(alternate, "STEADY", frozenset())

    def run(folder, stages, **options):
        monkeypatch.setitem(TRAININGS, METHOD, stages.train)
        monkeypatch.setattr(weight, "fit_ensemble", stages.ensemble)
        monkeypatch.setattr(weight, "fit_error_head", stages.head)
        return train_depth(TASK, folder, METHOD, fit=stages.fit, **OPTIONS | options)

    return run


@pytest.mark.parametrize("name", TRAINED)
def test_phases_go_by_the_weight_that_was_trained_for_them(name, tmp_path, begin):
    stages, plans = WeightStages(), Plans(base=Plan(epochs=1))
    model = begin(tmp_path, stages, weight=name, phases=PHASES, plans=plans, rounds=2)
    kind, folder, plan = stages.asked[0]
    assert (kind, folder, plan) == ("weight", tmp_path / "phases", plans.base)
    buyers = [asked[2] for asked in stages.asked if asked[1].parent.name.startswith("round")]
    used = [given[0].phases for given in buyers if isinstance(given, list)]
    assert used
    made, nets = taken_apart(used[0].weight)
    places = [folder / "0", folder / "1"] if name == "ensemble" else [folder]
    kinds = Predictor if name == "ensemble" else ErrorHead
    assert made == name
    assert [digest_of(net) for net in nets] == [
        digest_of(kinds.from_pretrained(place)) for place in places
    ]
    # All rounds and the checkpoint have it, and all else of the phases as it was given.
    assert {describe(phases) for phases in (*used, model.phases)} == {describe(used[0])}
    assert replace(model.phases, weight=PHASES.weight) == PHASES
    assert describe(load_depth_model(tmp_path).phases) == describe(used[0])


@pytest.mark.parametrize("name", TRAINED)
def test_training_with_a_weight_gives_the_same_bytes_when_killed(
    name, tmp_path, begin, monkeypatch
):
    errors_of(monkeypatch, [2.0, 1.0])
    options = {"weight": name, "phases": PHASES}
    begin(tmp_path / "whole", WeightStages(), **options)
    # Before the weight is there, after, and in a round after the first checkpoint.
    for dies_at in (0, 0.5, 1.5):
        with pytest.raises(Killed):
            begin(tmp_path / "stopped", WeightStages(dies_at), **options)
    begin(tmp_path / "stopped", WeightStages(), rounds=1, **options)
    begin(tmp_path / "stopped", WeightStages(), **options)
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")
    # The checkpoint left the stage's networks alone: nothing is trained anew.
    begin(tmp_path / "whole", WeightStages(dies_at=0), **options)


@pytest.mark.parametrize("name", TRAINED)
def test_training_with_a_weight_runs_with_real_networks(name, tmp_path, monkeypatch):
    monkeypatch.setattr("mrfmask.depth.training.fit.STEPS", 1)
    plans = Plans(
        base=replace(BASE_PLAN, epochs=1, batch=2),
        predictor=replace(FINE_PLAN, epochs=1, batch=2),
    )
    phases = Phases(count=2)
    model = train_depth(
        TASK, tmp_path, "long_range", budget=BUDGET, phases=phases, weight=name, plans=plans
    )
    assert taken_apart(model.phases.weight)[0] == name


def test_target_becomes_the_predictor_every_few_rounds(tmp_path, begin, monkeypatch):
    errors_of(monkeypatch, [4.0, 3.0, 2.0, 1.0], linear=4.0)
    stages = WeightStages()
    begin(tmp_path, stages, every=2, rounds=3)
    # Stopped and gone on with, it counts on.
    begin(tmp_path, stages, every=2, rounds=4)
    base, second = (
        digest_of(Predictor.from_pretrained(tmp_path / place))
        for place in ("base", "round-2/predictor")
    )
    lines = (tmp_path / "rounds.jsonl").read_text().splitlines()
    assert [json.loads(line)["target"] for line in lines] == [base, base, second, second]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"weight": "magic"}, "weight must be one of 'variance', 'ensemble', 'head'; got 'magic'"),
        (
            {"weight": "head", "phases": Phases()},
            "weight must be variance where all is bought at once: one phase looks at no depth; got "
            "'head'",
        ),
        (
            {"weight": "head", "phases": Phases(count=2, weight=ExpectedError(ErrorHead(8)))},
            "weight must be variance where phases have one of their own; got 'head' beside 'head'",
        ),
        ({"every": 0}, "every must lie in"),
        ({"every": 2, "polyak": 0.5}, "polyak must be left out where every is given; got 0.5"),
    ],
)
def test_choices_that_cannot_be_are_refused_before_anything_is_made(options, says, tmp_path, begin):
    with pytest.raises(ValueError, match=f"^{says}"):
        begin(tmp_path / "run", WeightStages(dies_at=0), **options)
    assert not (tmp_path / "run").exists()


def test_folder_of_another_choice_is_refused_and_one_begun_before_there_was_any_goes_on(
    tmp_path, begin
):
    with pytest.raises(Killed):
        begin(tmp_path, WeightStages(dies_at=0), phases=PHASES)
    path = tmp_path / "settings.json"
    before = json.loads(path.read_text())
    del before["every"], before["weight"]
    path.write_text(json.dumps(before))
    for name, other in (("polyak", {"every": 2}), ("weight", {"weight": "head"})):
        with pytest.raises(ValueError, match=f"same settings; got .*, where {name} is"):
            begin(tmp_path, WeightStages(), phases=PHASES, **other)
    begin(tmp_path, WeightStages(), phases=PHASES, rounds=1)

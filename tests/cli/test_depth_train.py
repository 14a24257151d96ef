"""``mrfmask depth train``: what it asks for, tells, leaves out and refuses."""

from __future__ import annotations

import re
from dataclasses import replace
from inspect import signature

import pytest
from depth_files import LEFT_OUT, mixed_folder
from folders import names
from typer.testing import CliRunner

from mrfmask.cli import app
from mrfmask.cli.depth_evaluate import evaluate
from mrfmask.cli.depth_train import train
from mrfmask.depth.checkpoint import load_depth_model
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.training import TRAININGS, alternate, density, fit, ssvm
from mrfmask.depth.training.predictor import BASE_PLAN, FINE_PLAN
from mrfmask.learn.loop import Trainer

PLANS = ("base", "masking", "predictor")


def run(*words, code=0):
    """Runs ``mrfmask depth train``."""
    result = CliRunner().invoke(app, ["depth", "train", *map(str, words)])
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


class Asked(Exception):  # noqa: N818 (no error: the end of a run)
    """Holds what train_depth was called with."""


@pytest.fixture
def asked(monkeypatch):
    """Runs the command and returns what it asks of train_depth."""

    def stop(task, folder, method, **options):
        raise Asked({"task": task, "folder": folder, "method": method, **options})

    monkeypatch.setattr(alternate, "train_depth", stop)

    def of(*words):
        with pytest.raises(Asked) as caught:
            run("--data", "synthetic", "--count", 12, "--size", "16x20", *words)
        return caught.value.args[0]

    return of


def test_recipe_is_asked_for_by_default(asked, tmp_path):
    found = asked("--out", tmp_path / "out")
    assert found["method"] == "ising_density"
    assert found["folder"] == tmp_path / "out"
    assert (found["budget"], found["rounds"], found["phases"].count) == (0.01, 3, 1)
    base, masking, fine = (getattr(found["plans"], name) for name in PLANS)
    assert (base, masking, fine) == (BASE_PLAN, density.PLAN, FINE_PLAN)
    assert found["weight"] == "variance"
    assert found["task"].shares == (0.01,)
    assert found["info"]["data"] == ["synthetic"]


def test_options_reach_the_training(asked, tmp_path):
    found = asked(
        *("--out", tmp_path / "out", "--method", "ising_ssvm", "--budget", "2%", "--phases", 4),
        *("--weight", "head", "--rounds", 2, "--steps", fit.STEPS + 1, "--seed", 5, "--workers", 1),
    )
    assert (found["method"], found["budget"], found["rounds"]) == ("ising_ssvm", 0.02, 2)
    assert (found["phases"].count, found["weight"]) == (4, "head")
    assert found["task"].shares == (0.01, 0.02)
    assert found["task"].seed == 5
    plans = found["plans"]
    for plan in (plans.base, plans.masking, plans.predictor):
        assert (plan.seed, plan.workers) == (5, 1)
    assert (plans.base.epochs, plans.predictor.epochs) == (2, 2)
    assert plans.masking.batch == ssvm.PLAN.batch


@pytest.mark.parametrize("method", ["ising_density", "ising_ssvm", "gumbel"])
def test_every_network_is_trained_for_so_many_steps_up_to_a_whole_pass(
    asked, tmp_path, monkeypatch, method
):
    """Counted by the trainer itself, pass by pass."""
    found = asked("--out", tmp_path / "out", "--method", method, "--steps", 53)
    task, plan = found["task"], found["plans"].masking
    trainers = []

    def stop(trainer):
        trainers.append(trainer)
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "resume", stop)
    with pytest.raises(KeyboardInterrupt):
        TRAININGS[method](task, tmp_path / "masking", Predictor(), plan=plan)
    (trainer,) = trainers
    assert trainer.steps * (plan.epochs - 1) < 53 <= trainer.steps * plan.epochs


def test_more_workers_go_on_where_fewer_were(asked, tmp_path):
    plans = [asked("--out", tmp_path, *more)["plans"] for more in ((), ("--workers", 3))]
    for name in PLANS:
        few, many = (getattr(own, name) for own in plans)
        assert (few.workers, many.workers) == (0, 3)
        assert few == replace(many, workers=0)


def test_training_leaves_out_bad_files_and_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "STEPS", 1)
    folder, out = mixed_folder(tmp_path / "data", "abcdefghijkl"), tmp_path / "out"
    words = ("--data", folder, "--method", "long_range", "--budget", "5%", "--out", out)
    calls, judge = [], alternate.judge

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return judge(*arguments, **options)

    monkeypatch.setattr(alternate, "judge", interrupted)
    result = run(*words, "--steps", 1, code=130)
    said = [line for line in result.stdout.splitlines() if line.startswith("Left out")]
    assert len(said) == 3
    for name, reason in LEFT_OUT.items():
        (told,) = (line for line in said if f"/{name}/" in line)
        assert reason in told
    assert "Stopped. The same command goes on from the last saved state." in result.stdout
    assert len(re.findall(r"pass 0: loss [\d.]+, score -[\d.]+ \(best\)", result.stdout)) == 2
    again = run(*words, "--steps", 1)
    # All networks were trained before; only the round is judged.
    assert "pass 0" not in again.stdout
    assert "round 1: RMSE" in again.stdout
    assert f"The model is in {out}." in again.stdout
    model = load_depth_model(out)
    assert model.masking.name == "long_range"
    assert model.info["data"] == [str(folder)]
    logs = [name for name in names(out) if "tfevents" in name]
    assert {name.split("/")[1].split("_")[0] for name in logs} == {"base", "round"}
    other = run(*words, "--steps", 1, "--seed", 1, code=2)
    assert "Error: --out must be of a training with the same settings; got" in other.stderr


MESSAGES = [
    ("--data nowhere", "--data must be synthetic, kitti:ROOT, or a folder or file that exists; "),
    ("--budget two", "--budget must be shares of all pixels, above 0% and up to 100%; got 'two'."),
    ("--budget 1%,2%", "--budget must be one share; got '1%,2%'. Write e.g. 1%."),
    ("--budget 100%", "--data must hold frames for train that have pixels enough for the budg"),
    ("--method foo", "--method must be one of 'none', 'full', "),
    ("--phases 0", "--phases must lie in 1..64; got 0."),
    ("--weight foo", "--weight must be one of 'variance', 'ensemble', 'head'; got 'foo'."),
    ("--weight head", "--weight must be variance where all is bought at once: one phase looks"),
    ("--size 5", "--size must be HEIGHTxWIDTH with sides in 1..65536; got '5'."),
    ("--unit feet", "--unit must be one of 'mm', 'metres/256'; got 'feet'."),
    ("--seed -1", "--seed must lie in 0..2147483647; got -1."),
]


@pytest.mark.parametrize(("options", "message"), MESSAGES, ids=[o for o, _ in MESSAGES])
def test_train_says_what_is_wrong_with_an_option(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    data = () if "--data" in options else ("--data", "synthetic")
    given = (*data, "--count", 12, "--size", "16x20", "--out", "out")
    result = run(*given, *options.split(), code=2)
    assert f"Error: {message}" in result.stderr
    assert not (tmp_path / "out").exists()


def test_as_many_synthetic_frames_are_judged_as_were_learned_from_by_default():
    counts = [signature(f).parameters["count"].default for f in (train, evaluate)]
    assert counts == [200, 200]


@pytest.mark.parametrize("command", ["evaluate", "train"])
def test_help_shows_examples_and_every_option(command):
    result = CliRunner().invoke(app, ["depth", command, "--help"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    assert f"mrfmask depth {command} --" in result.stdout
    wanted = {"--data", "--out", "--size", "--unit", "--count", "--seed", "--phases"}
    wanted |= {
        "evaluate": {"--checkpoint", "--budgets", "--methods", "--split", "--pictures"},
        "train": {"--method", "--budget", "--rounds", "--steps", "--weight", "--workers"},
    }[command]
    assert wanted <= set(re.findall(r"--[a-z]+", result.stdout))

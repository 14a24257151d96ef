"""The training loop: the same result whatever interrupts it, and when it stops."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from learn.tiny import EPOCHS, digest, tiny_net, trainer, write_squares

from mrfmask.learn.plan import Plan
from mrfmask.learn.processes import Processes

ALONE = Processes(0, 1, torch.device("cpu"))
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("data") / "squares.npz", 13)


@pytest.fixture(scope="module")
def whole(data, one_thread, tmp_path_factory):
    """A training that nothing interrupted."""
    training = trainer(data, tmp_path_factory.mktemp("whole"), ALONE)
    training.run()
    return training


class StopAt:
    """Stops the training as an exception would, after a given step."""

    def __init__(self, epoch, step):
        self.at = (epoch, step)

    def step(self, epoch, step, steps, loss):
        if (epoch, step) == self.at:
            raise KeyboardInterrupt

    def epoch(self, record, net):
        pass


def test_training_learns(whole):
    assert whole.best > 0.8
    assert [r["epoch"] for r in whole.history] == list(range(EPOCHS))
    assert digest(whole.bare) != digest(tiny_net())


@pytest.mark.parametrize("at", [(0, 0), (0, 2), (3, 1), (EPOCHS - 1, 2)])
def test_stopped_training_goes_on_to_the_same_bits(data, whole, tmp_path, at):
    with pytest.raises(KeyboardInterrupt):
        trainer(data, tmp_path, ALONE).run(StopAt(*at))
    again = trainer(data, tmp_path, ALONE)
    assert again.resume() is (at != (0, 0))
    again.run()
    assert digest(again.bare) == digest(whole.bare)
    assert again.history == whole.history
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == whole.history


def test_killed_training_goes_on_to_the_same_bits(data, whole, tmp_path):
    command = [sys.executable, "-m", "learn.tiny", str(data), str(tmp_path)]
    for wanted in ("0.1", "2.2", "4.0"):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=TESTS) as process:
            for line in process.stdout:
                if line.strip() == wanted:
                    os.kill(process.pid, signal.SIGKILL)
                    break
        assert process.returncode == -signal.SIGKILL
    out = subprocess.run(command, capture_output=True, text=True, cwd=TESTS, check=True)
    assert out.stdout.split()[-1] == digest(whole.bare)


def test_finished_training_does_nothing_more(data, tmp_path):
    first = trainer(data, tmp_path, ALONE, epochs=2)
    first.run()
    again = trainer(data, tmp_path, ALONE, epochs=2)
    again.resume()
    assert again.run(StopAt(0, 0)) == first.history
    assert digest(again.bare) == digest(first.bare)


def test_training_stops_when_the_score_no_longer_grows(data, tmp_path):
    training = trainer(data, tmp_path, ALONE, epochs=50, patience=2)
    scores = iter([0.1, 0.5, 0.4, 0.5, 0.9])
    training.score = lambda net: {"iou": next(scores)}
    history = training.run()
    assert [r["iou"] for r in history] == [0.1, 0.5, 0.4, 0.5]
    assert [r["best"] for r in history] == [True, True, False, False]


def test_other_settings_are_refused_on_resume(data, tmp_path):
    trainer(data, tmp_path, ALONE, epochs=1).run()
    other = trainer(data, tmp_path, ALONE, epochs=1, learning_rate=0.01)
    with pytest.raises(ValueError, match=r"where learning_rate is 0.05 and not 0.01"):
        other.resume()


def test_how_it_reads_and_saves_may_change_on_resume(data, whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trainer(data, tmp_path, ALONE).run(StopAt(2, 1))
    again = trainer(data, tmp_path, ALONE, workers=2, save_every_s=100.0)
    assert again.resume()
    again.run()
    assert digest(again.bare) == digest(whole.bare)


def test_broken_state_is_refused(data, tmp_path):
    trainer(data, tmp_path, ALONE, epochs=1).run()
    (tmp_path / "state.pt").write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"--out must hold a state that can be read"):
        trainer(data, tmp_path, ALONE, epochs=1).resume()


def test_infinite_loss_is_an_error(data, tmp_path):
    training = trainer(data, tmp_path, ALONE)
    training.loss_of = lambda net, batch: net(batch.picture).sum() * torch.inf
    with pytest.raises(RuntimeError, match=r"loss must stay finite; got"):
        training.run()


def test_infinite_gradient_is_an_error_and_leaves_the_weights(data, tmp_path):
    training = trainer(data, tmp_path, ALONE)
    before = digest(training.bare)
    training.loss_of = lambda net, batch: (net(batch.picture) * 0).abs().sqrt().sum()
    with pytest.raises(RuntimeError, match=r"gradient nan in step 0 of pass 0"):
        training.run()
    assert digest(training.bare) == before


def test_batch_must_divide_among_processes(data, tmp_path):
    three = Processes(0, 3, torch.device("cpu"))
    with pytest.raises(ValueError, match=r"batch must be a multiple of the 3 processes; got 4"):
        trainer(data, tmp_path, three)


def test_two_processes_train_as_one_does(data, tmp_path):
    """Averaged gradients of half batches are those of whole batches, but for rounding."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    digests = []
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "learn.tiny", str(data), str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=TESTS,
            env={
                **os.environ,
                **{"WORLD_SIZE": "2", "RANK": rank, "LOCAL_RANK": rank},
                **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
            },
        )
        for rank in "01"
    ]
    for process in processes:
        digests.append(process.communicate(timeout=60)[0].split()[-1])
        assert process.returncode == 0
    assert digests[0] == digests[1]
    assert torch.load(tmp_path / "state.pt", weights_only=True)["epoch"] == EPOCHS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch", 0),
        ("patience", 0),
        ("seed", -1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("weight_decay", -1.0),
        ("weight_decay", float("nan")),
        ("precision", "float8"),
        ("save_every_s", 0.0),
    ],
)
def test_plan_refuses_what_makes_no_sense(name, value):
    with pytest.raises(ValueError, match=f"{name} must"):
        Plan(**{name: value})


def test_rate_rises_and_falls_to_nothing():
    plan = Plan(learning_rate=1.0)
    rates = [plan.rate(done / 1000) for done in range(1001)]
    top = rates.index(max(rates))
    assert 40 <= top <= 60
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert 0 < rates[0] < 0.03
    assert rates[-1] == 0

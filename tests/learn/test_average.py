"""The average of weights: its closed form, and that a stopped training goes on with it."""

from __future__ import annotations

import math

import pytest
import torch
from learn.test_loop import ALONE, StopAt
from learn.tiny import EPOCHS, digest, trainer, write_squares
from torch import nn

from mrfmask.learn.average import Average


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("data") / "squares.npz", 13)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def weights_of(length):
    """A network of one weight and one buffer, and the values that both take."""
    net = nn.Linear(1, 1, bias=False).double()
    net.register_buffer("seen", torch.zeros(1, dtype=torch.float64))
    rng = torch.Generator().manual_seed(0)
    return net, torch.randn(length, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("decay", [0.0, 0.6, 0.99])
def test_average_is_the_weighted_sum_of_all_weights(decay):
    net, values = weights_of(60)
    first = net.weight.item()
    average = Average(net, decay)
    for value in values:
        with torch.no_grad():
            net.weight.fill_(value)
            net.seen.fill_(value)
        average.update(net)
    decays = [min(decay, (1 + t) / (10 + t)) for t in range(60)]
    # What is left of each: its own share, times all later decays.
    expected = first * math.prod(decays) + sum(
        (1 - decays[t]) * math.prod(decays[t + 1 :]) * values[t].item() for t in range(60)
    )
    assert average.net.weight.item() == pytest.approx(expected, rel=1e-12)
    assert average.net.seen.item() == values[-1]
    assert net.weight.item() == values[-1]


def test_average_of_other_decay_than_a_share_is_refused():
    for decay in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match=r"average must lie in \[0, 1\); got"):
            Average(nn.Linear(1, 1), decay)


def test_average_is_what_is_scored_and_kept_and_shown(data, tmp_path):
    training = trainer(data, tmp_path, ALONE, average=0.9, epochs=3)
    scored, shown = [], []
    score = training.score
    training.score = lambda net: scored.append(digest(net)) or score(net)

    class Shown(StopAt):
        def epoch(self, record, net):
            shown.append(digest(net))

    training.run(Shown(None, None))
    kept = torch.load(tmp_path / "best.pt", weights_only=True)
    training.bare.load_state_dict(kept)
    assert scored == shown
    assert digest(training.bare) == scored[training.best_epoch]


def test_average_leaves_the_training_as_it_was(data, tmp_path):
    nets = []
    for decay in (0.0, 0.9):
        training = trainer(data, tmp_path / str(decay), ALONE, average=decay, epochs=3)
        training.run()
        nets.append(training)
    assert digest(nets[0].bare) == digest(nets[1].bare) == digest(nets[0].judged)
    assert digest(nets[1].judged) != digest(nets[1].bare)


@pytest.mark.parametrize("at", [(0, 2), (3, 1), (EPOCHS - 1, 2)])
def test_stopped_training_goes_on_to_the_same_average(data, tmp_path, at):
    whole = trainer(data, tmp_path / "whole", ALONE, average=0.9)
    whole.run()
    with pytest.raises(KeyboardInterrupt):
        trainer(data, tmp_path / "cut", ALONE, average=0.9).run(StopAt(*at))
    again = trainer(data, tmp_path / "cut", ALONE, average=0.9)
    assert again.resume()
    again.run()
    assert digest(again.judged) == digest(whole.judged)
    assert again.history == whole.history
    kept = [torch.load(tmp_path / n / "best.pt", weights_only=True) for n in ("whole", "cut")]
    for name, weights in kept[0].items():
        assert torch.equal(weights, kept[1][name])


def test_other_average_is_refused_on_resume(data, tmp_path):
    trainer(data, tmp_path, ALONE, average=0.9, epochs=1).run()
    for other in (0.0, 0.8):
        with pytest.raises(ValueError, match=r"where average is 0\.9 and not"):
            trainer(data, tmp_path, ALONE, average=other, epochs=1).resume()

"""Joint trainings: they find what is worth measuring, without the known ways to fail."""

from __future__ import annotations

import itertools
import json
import math
import re
from dataclasses import replace

import pytest
import torch
from depth.rough_half import RoughHalf, rough_half, rough_task

from mrfmask.depth import cells
from mrfmask.depth.frames import FrameBatch, collate_frames
from mrfmask.depth.masking import MASKINGS, first_view
from mrfmask.depth.masking.grid import cell_model, features_of
from mrfmask.depth.metrics import depth_metrics
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.reconstruct import linear
from mrfmask.depth.training import TRAININGS
from mrfmask.depth.training.cell_groups import CellGroup, cell_groups
from mrfmask.depth.training.cell_health import cell_health
from mrfmask.depth.training.joint_score import fill_error
from mrfmask.depth.training.penalty_curve import penalty_curve
from mrfmask.depth.training.relative_error import RelativeError, spread
from mrfmask.learn.plan import Plan
from mrfmask.model import IsingGrid
from mrfmask.nn import MaskNet

JOINT = ("naive", "gumbel", "reinforce", "ising_mean_field", "ising_score", "ising_tv")
PLAN = Plan(epochs=3, batch=8, learning_rate=1e-2, save_every_s=1e-6)
PREDICTOR = Predictor()


def small(name, **changes):
    return replace(TRAININGS[name], width=8, examples=64, **changes)


def held_out():
    frames = collate_frames([RoughHalf(8, 6)[index] for index in range(8)])
    return frames, torch.stack([rough_half(6 + index) for index in range(8)])


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, one_thread):
    """What each method learned, and the folder of it."""
    folder = tmp_path_factory.mktemp("joint")
    kept = {}

    def train(name):
        if name not in kept:
            kept[name] = small(name)(rough_task(), folder / name, PREDICTOR, plan=PLAN)
        return kept[name], folder / name

    return train


@pytest.mark.parametrize("name", JOINT)
def test_training_moves_picks_to_where_the_errors_are(name, trained):
    frames, rough = held_out()
    masking, _ = trained(name)
    assert type(masking) is MASKINGS[name]
    # Fewer than the rough half has cells. By chance half of them would lie there.
    mask = masking(first_view(frames), 20)
    assert mask[rough].sum() / mask.sum() > 0.75


@pytest.mark.parametrize("name", JOINT)
def test_training_gives_neither_a_lattice_nor_a_constant(name, trained):
    _, folder = trained(name)
    records = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    best = next(record for record in reversed(records) if record["best"])
    assert best["lattice"] < 0.5
    assert best["contrast"] > 0.2


def test_gumbel_probabilities_are_not_confined(trained):
    frames, _ = held_out()
    masking, _ = trained("gumbel")
    side = cells.cell_side(frames.valid[0], 29)
    with torch.no_grad():
        features = features_of(masking.net, frames.picture)
        logits = 2 * cell_model(masking.net, features, side).unary
    probability = logits.sigmoid()
    assert probability.max() > 0.8
    assert probability.min() < 0.2


def test_gumbel_draws_by_log_odds():
    """Probabilities in their place would leave P(on) between 0.27 and 0.73."""
    unary = torch.tensor([-2.0, -0.5, 0.5, 2.0]).expand(5000, 1, -1)
    model = IsingGrid(unary, torch.zeros(5000, 1, 3), torch.zeros(5000, 0, 4))
    layer = TRAININGS["gumbel"].layer(seed=3)
    drawn = (layer(model) > 0.5).double().mean((0, 1))
    expected = (2 * unary[0, 0].double()).sigmoid()
    # Five standard deviations.
    assert ((drawn - expected).abs() < 5 * (expected * (1 - expected) / 5000).sqrt()).all()


def four_pixels():
    """One image of 1x4, all valid."""
    depth = torch.tensor([[[2.0, 3.0, 7.0, 4.0]]])
    return FrameBatch(torch.zeros(1, 3, 1, 4), depth, depth > 0, ("here",), ("one",))


@pytest.mark.parametrize(("name", "coupling"), [("reinforce", 0.0), ("ising_score", -0.4)])
def test_reward_has_the_gradient_of_the_expected_error(name, coupling):
    frames, copies = four_pixels(), 4000
    error = RelativeError(frames, 2)
    unary = torch.tensor([0.3, -0.2, 0.5, 0.1])
    right = torch.full((copies, 1, 3), coupling)
    # By enumeration of the six masks with two pixels on.
    exact = unary.double().requires_grad_()
    states = torch.tensor([s for s in itertools.product((-1.0, 1.0), repeat=4) if sum(s) == 0])
    states = states.double()
    likely = (states @ exact + coupling * (states[:, 1:] * states[:, :-1]).sum(1)).softmax(0)
    losses = error([0], (states[None, :, None] > 0).float())[0]
    assert losses.std() > 0.1
    (likely * losses).sum().backward()
    # Two samples an image, where a baseline that is not independent would halve the gradient.
    training = small(name, samples=2)
    group = CellGroup(
        images=[0] * copies,
        side=1,
        open=torch.ones(copies, 1, 4, dtype=torch.bool),
        pixels=torch.ones(copies, 1, 4, dtype=torch.bool),
    )
    drawn = unary.expand(copies, 1, -1).clone().requires_grad_()
    model = IsingGrid(drawn, right, torch.zeros(copies, 0, 4))
    value = training.loss(training.layer(seed=1), model, group, error, 2)
    value.backward()
    gradients = copies * drawn.grad[:, 0].double()
    deviation = gradients.std(0) / math.sqrt(copies)
    assert (exact.grad.abs() > 10 * deviation).any()
    assert ((gradients.mean(0) - exact.grad).abs() < 5 * deviation).all()
    expected = (likely * losses).sum().item()
    assert value.item() == pytest.approx(expected, abs=5 * losses.std().item() / copies**0.5)


class StopAt:
    """Stops a training as an exception would, after a given step."""

    def __init__(self, *at):
        self.at = at

    def step(self, epoch, step, steps, loss):
        if (epoch, step) == self.at:
            raise KeyboardInterrupt

    def epoch(self, record, net):
        pass


def test_training_that_was_stopped_ends_with_the_same_bytes(trained, tmp_path):
    _, whole = trained("gumbel")
    for at in ((0, 3), (1, 5)):
        with pytest.raises(KeyboardInterrupt):
            small("gumbel")(rough_task(), tmp_path, PREDICTOR, plan=PLAN, watcher=StopAt(*at))
    small("gumbel")(rough_task(), tmp_path, PREDICTOR, plan=PLAN)
    for name in ("model.safetensors", "history.jsonl"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_training_that_is_finished_loads_at_once(trained):
    masking, folder = trained("gumbel")
    again = small("gumbel")(rough_task(), folder, PREDICTOR, plan=PLAN, watcher=StopAt(0, 0))
    ours, theirs = again.net.state_dict(), masking.net.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_training_without_validation_frames_keeps_the_last_network(tmp_path):
    task, plan = replace(rough_task(), validation=[]), replace(PLAN, epochs=2)
    small("gumbel")(task, tmp_path, PREDICTOR, plan=plan)
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["best"] for line in lines] == [True, True]


def test_penalty_curve_falls(tmp_path):
    penalties = (1.0, 0.01)
    plan = replace(PLAN, epochs=2)
    dear, cheap = penalty_curve(
        small("naive"), penalties, rough_task(), tmp_path, PREDICTOR, plan=plan
    )
    assert (dear.penalty, cheap.penalty) == penalties
    assert dear.share == cheap.share == 0.1
    assert 1 <= dear.count < cheap.count / 2
    assert cheap.rmse < dear.rmse


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"penalty": 0.0}, "penalty must be positive and finite; got 0.0."),
        ({"power": 3}, "power must lie in 1..2; got 3."),
    ],
)
def test_penalty_says_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        small("naive", **options)


@pytest.mark.parametrize("power", [1, 2])
def test_penalty_is_the_price_of_the_soft_sum(power):
    frames = four_pixels()
    (group,) = cell_groups(frames.valid, 2)
    unary = torch.tensor([[[0.3, -0.2, 0.5, 0.1]]])
    model = IsingGrid(unary, torch.zeros(1, 1, 3), torch.zeros(1, 0, 4))
    error = RelativeError(frames, 2)
    losses = []
    for penalty in (0.5, 1.5):
        training = small("naive", penalty=penalty, power=power)
        losses.append(training.loss(training.layer(0), model, group, error, 2))
    used = (2 * unary).sigmoid().sum() / 2
    torch.testing.assert_close(losses[1] - losses[0], used**power, rtol=1e-5, atol=0)


@pytest.mark.parametrize("count", [12, 29, 60])
def test_cell_groups_buy_what_the_masking_buys(count):
    frames, _ = held_out()
    torch.manual_seed(0)
    net = MaskNet(width=8, coupling="none")
    mask = MASKINGS["gumbel"](net=net)(first_view(frames), count)
    groups = cell_groups(frames.valid, count)
    assert sorted(i for group in groups for i in group.images) == list(range(8))
    for group in groups:
        chosen = cells.some(mask[group.images], group.side)
        assert torch.equal(group.weights(chosen.float()) > 0, mask[group.images])
        several = group.weights(torch.stack([chosen, ~chosen], 1).float())
        assert several.shape == (len(group.images), 2, *mask.shape[1:])
        assert torch.equal(several.sum(1) > 0, group.pixels)
        assert torch.equal(group.pixels.sum((1, 2)), group.open.sum((1, 2)))


def test_relative_error_of_spread_pixels_is_one():
    frames, _ = held_out()
    error = RelativeError(frames, 29)
    masks = torch.stack([spread(frames.valid, 29), frames.valid], dim=1).float()
    both = error(range(8), masks)
    torch.testing.assert_close(both[:, 0], torch.ones(8))
    assert (both[:, 1] < 0.02).all()
    torch.testing.assert_close(error([5], masks[5:6]), both[5:6])


def test_fill_error_is_the_rmse():
    frames, _ = held_out()
    mask = spread(frames.valid, 29)
    filled = linear(frames.depth, mask)
    expected = depth_metrics(filled, frames.depth, frames.valid, mask)["rmse"]
    torch.testing.assert_close(fill_error(frames, mask).double(), expected, rtol=1e-5, atol=0)


def test_cell_health_sees_checkerboards_constants_and_all_or_nothing():
    rows, columns = torch.arange(20)[:, None], torch.arange(30)
    open_ = torch.rand(20, 30, generator=torch.manual_seed(0)) < 0.7
    for pattern in ((rows + columns) % 2 == 0, (rows + 0 * columns) % 2 == 0):
        health = cell_health(torch.ones(20, 30), pattern, open_)
        assert health["lattice"] == pytest.approx(1)
        assert (health["on"], health["contrast"]) == (1, 0)
    logits = torch.randn(20, 30, generator=torch.manual_seed(1))
    health = cell_health(logits, logits > 0, open_)
    assert health["lattice"] < 0.05
    assert health["on"] == pytest.approx((logits[open_] > 0).float().mean().item())
    assert health["contrast"] == pytest.approx(1, abs=0.1)
    everything = torch.ones(20, 30, dtype=torch.bool)
    assert cell_health(logits, everything, open_)["lattice"] == 0

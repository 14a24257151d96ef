"""Training of predictors: what they see of frames, and the same bytes whatever interrupts it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from depth.tiny_depth import SHARES, SIZE, Stop, random_depth, tiny_task
from torch import nn

from mrfmask.depth import budget_of, collate_frames
from mrfmask.depth.buyer import Buyer, base_buyers
from mrfmask.depth.describe import describe, digest_of
from mrfmask.depth.masking import MASKINGS
from mrfmask.depth.metrics import depth_metrics
from mrfmask.depth.phases import Phases
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.reconstruct import fill
from mrfmask.depth.training import bought as bought_module
from mrfmask.depth.training import fit as fit_module
from mrfmask.depth.training.bought import BuyAnew, buy_some, collate_bought
from mrfmask.depth.training.predictor import (
    BASE_PLAN,
    FINE_PLAN,
    fit_predictor,
    plan_of,
    ratio_to_linear,
)
from mrfmask.learn.plan import Plan

PLAN = Plan(epochs=2, batch=2, learning_rate=2e-3, save_every_s=1e-3)
BUYERS = (
    Buyer(MASKINGS["random"]()),
    Buyer(MASKINGS["weighted_farthest"](), Phases(count=2)),
)
NET = ("config.json", "model.safetensors", "history.jsonl")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Three steps a pass, on one thread."""
    monkeypatch.setattr(fit_module, "STEPS", 3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def files_of(folder):
    return [(folder / name).read_bytes() for name in NET]


def examples_of(frame, count, shares=SHARES, buyers=BUYERS):
    make = BuyAnew(buyers, shares)
    return [make(frame, torch.Generator().manual_seed(seed)) for seed in range(count)]


def test_stopped_training_gives_the_same_bytes(tmp_path):
    task = tiny_task()
    fit_predictor(task, tmp_path / "whole", BUYERS, plan=PLAN)
    for at in ((0, 1), (1, 0)):
        with pytest.raises(KeyboardInterrupt):
            fit_predictor(task, tmp_path / "cut", BUYERS, plan=PLAN, watcher=Stop(*at))
    fit_predictor(task, tmp_path / "cut", BUYERS, plan=PLAN)
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def test_workers_give_the_same_bytes(tmp_path):
    for workers in (0, 2):
        plan = replace(PLAN, epochs=1, workers=workers)
        fit_predictor(tiny_task(), tmp_path / str(workers), BUYERS, plan=plan)
    assert files_of(tmp_path / "2") == files_of(tmp_path / "0")


def test_finished_training_is_read_and_not_trained(tmp_path, monkeypatch):
    first = fit_predictor(tiny_task(), tmp_path, BUYERS, plan=PLAN)

    def never(*args):
        raise AssertionError("bought again")

    monkeypatch.setattr(bought_module, "buy_of", never)
    again = fit_predictor(tiny_task(), tmp_path, BUYERS, plan=PLAN)
    assert digest_of(again) == digest_of(first)
    assert not again.training


def test_training_of_other_data_buyers_start_or_loss_is_refused(tmp_path):
    plan = replace(PLAN, epochs=1)
    task = tiny_task()
    start = Predictor()
    nn.init.constant_(start.net.head[-1].bias, 0.1)
    fit_predictor(task, tmp_path, BUYERS, plan=plan)
    others = {
        "data": lambda: fit_predictor(replace(task, digest="other"), tmp_path, BUYERS, plan=plan),
        "shares": lambda: fit_predictor(replace(task, shares=(0.02,)), tmp_path, BUYERS, plan=plan),
        "buyers": lambda: fit_predictor(task, tmp_path, BUYERS[:1], plan=plan),
        "start": lambda: fit_predictor(task, tmp_path, BUYERS, plan=plan, start=start),
        "loss": lambda: fit_predictor(task, tmp_path, BUYERS, plan=plan, loss="mae"),
    }
    for name, other in others.items():
        with pytest.raises(ValueError, match=rf"same settings; got .* where {name} is"):
            other()


def test_fine_tuning_goes_on_from_start_and_leaves_it(tmp_path):
    torch.manual_seed(3)
    start = Predictor()
    nn.init.normal_(start.net.head[-1].weight, std=0.1)
    before = {name: value.clone() for name, value in start.state_dict().items()}
    slow = replace(PLAN, epochs=1, learning_rate=1e-6, weight_decay=0.0)
    tuned = fit_predictor(tiny_task(), tmp_path, BUYERS, plan=slow, start=start)
    for name, value in tuned.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=1e-5)
        assert torch.equal(start.state_dict()[name], before[name])
    assert digest_of(tuned) != digest_of(start)


def test_training_without_validation_frames_keeps_the_last_pass(tmp_path):
    scored = []

    class Watch(Stop):
        def epoch(self, record, net):
            scored.append((record["best"], digest_of(net)))

    task = tiny_task(validation=0)
    net = fit_predictor(task, tmp_path, BUYERS, plan=PLAN, watcher=Watch(-1, -1))
    assert [best for best, _ in scored] == [True, True]
    assert digest_of(net) == scored[-1][1] != scored[0][1]


def test_training_learns_to_beat_the_linear_fill(tmp_path, monkeypatch):
    """Of noise nothing can be known but its mean, and interpolation does worse."""
    monkeypatch.setattr(fit_module, "STEPS", 25)
    task = tiny_task()
    noise = [
        replace(frame, depth=depth, valid=depth > 0)
        for frame, depth in zip(task.train, random_depth(4, *SIZE)[0], strict=True)
    ]
    task = replace(task, train=noise[:2], validation=noise[2:])
    plan = Plan(epochs=1, batch=2, learning_rate=1e-2)
    buyers = BUYERS[:1]
    net = fit_predictor(task, tmp_path, buyers, plan=plan)
    held = [[collate_bought(buy_some(task.validation, buyers, share, 9))] for share in SHARES]
    assert ratio_to_linear(Predictor(), held) == 1
    assert ratio_to_linear(net, held) < 0.93


def test_ratio_to_linear_is_that_of_summed_errors():
    torch.manual_seed(0)
    net = Predictor().eval()
    nn.init.normal_(net.net.head[-1].weight, std=0.2)
    held = [buy_some(tiny_task().train, BUYERS, share, 5) for share in SHARES]
    ratios = []
    for examples in held:
        errors = []
        for one in examples:
            frames = one.frames
            predicted = net(frames.depth, one.mask)
            for map_ in (predicted, one.fills.linear):
                found = depth_metrics(map_, frames.depth, frames.valid, one.mask)
                errors.append(found["rmse"].item())
        ratios.append(sum(errors[::2]) / sum(errors[1::2]))
    batches = [[collate_bought(e[:2]), collate_bought(e[2:])] for e in held]
    assert ratio_to_linear(net, batches) == pytest.approx(sum(ratios) / 2, rel=1e-5)


def test_examples_hit_the_counts_on_valid_pixels_alone():
    frame = tiny_task().train[0]
    counts = {budget_of(frame.valid, share) for share in SHARES}
    seen = set()
    for one in examples_of(frame, 16):
        assert not (one.mask & ~one.frames.valid).any()
        seen |= set(one.mask.sum((1, 2)).tolist())
        assert torch.equal(one.measured > 0, one.mask)
    assert seen == counts


def test_examples_come_with_their_mirror_images():
    one = examples_of(tiny_task().train[0], 1)[0]
    for values in (one.frames.picture, one.frames.depth, one.frames.valid, one.mask):
        assert torch.equal(values[1], values[0].flip(-1))
    again = fill(one.frames.depth, one.mask)
    torch.testing.assert_close(one.fills.distance, again.distance)
    torch.testing.assert_close(one.fills.linear[0], again.linear[0])
    torch.testing.assert_close(one.fills.linear[1], again.linear[0].flip(-1))


def test_examples_are_pure_functions_of_their_draws():
    frame = tiny_task().train[0]
    first, second = examples_of(frame, 6), examples_of(frame, 6)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.mask, b.mask)
        assert torch.equal(a.frames.depth, b.frames.depth)
    assert len({a.mask.numpy().tobytes() for a in first}) == 6


def test_frame_that_a_zoom_leaves_too_empty_is_taken_as_it_was():
    """Valid pixels in opposite corners: hardly a zoom keeps both."""
    frame = tiny_task().train[0]
    valid = torch.zeros_like(frame.valid)
    valid[:4, :4] = valid[-4:, -4:] = True
    frame = replace(frame, depth=torch.ones_like(frame.depth).where(valid, 0), valid=valid)
    share = 30 / valid.numel()
    kept = 0
    for one in examples_of(frame, 12, shares=(share,), buyers=BUYERS[:1]):
        assert (one.mask.sum((1, 2)) == 30).all()
        kept += torch.equal(one.frames.valid[0], valid)
    assert kept > 6


def test_examples_to_judge_by_pair_every_frame_with_every_buyer():
    frames = tiny_task(train=3).train
    examples = buy_some(frames, BUYERS, 0.05, most=99)
    assert len(examples) == 6
    for k, one in enumerate(examples):
        buyer = BUYERS[(k % 3 + k // 3) % 2]
        same = buyer(collate_frames([frames[k % 3]]), int(one.mask.sum()), seed=k)
        assert torch.equal(one.mask, same)
    assert len({(one.frames.names, one.mask.numpy().tobytes()) for one in examples}) == 6


def test_buyers_are_told_apart():
    net = Predictor()
    other = Predictor()
    nn.init.constant_(other.net.head[-1].bias, 1e-6)
    texts = [
        describe(what)
        for what in (
            *base_buyers(),
            BUYERS,
            replace(BUYERS[1], phases=Phases(count=3)),
            replace(BUYERS[1], phases=Phases(count=2, power=0.7)),
            replace(BUYERS[1], phases=Phases(count=2, weight=lambda *a: a[0])),
            net,
            other,
        )
    ]
    assert len(set(texts)) == len(texts)
    assert describe(base_buyers()) == describe(base_buyers())


def test_no_buyers_and_unknown_losses_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"buyers must be at least one; got none\."):
        fit_predictor(tiny_task(), tmp_path, [], plan=PLAN)
    with pytest.raises(ValueError, match=r"loss must be one of"):
        fit_predictor(tiny_task(), tmp_path, BUYERS, plan=PLAN, loss="none")
    assert not list(tmp_path.iterdir())


def test_plan_has_the_seed_of_the_task():
    task = tiny_task(seed=7)
    assert plan_of(task, None) == replace(BASE_PLAN, seed=7)
    assert plan_of(task, Predictor()) == replace(FINE_PLAN, seed=7)

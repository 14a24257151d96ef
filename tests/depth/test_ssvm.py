"""The structured SVM masking: its hinge by enumeration, and a training from start to end."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch.utils.data import Subset

import mrfmask as mm
from mrfmask.depth.budget import budget_of, measure
from mrfmask.depth.frames import Frame, Frames, collate_frames
from mrfmask.depth.masking import first_view
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.reconstruct import linear
from mrfmask.depth.training import ssvm
from mrfmask.depth.training.budget_hinge import budget_hinge
from mrfmask.depth.training.ssvm import MarkedFrames, masking_of, train_ssvm
from mrfmask.depth.training.task import Task
from mrfmask.learn.plan import Plan
from mrfmask.nn import MaskNet

SHARES = (0.03,)
PLAN = Plan(epochs=6, batch=4, learning_rate=0.01, weight_decay=0.05, save_every_s=1e-3)


class Boxes(Frames):
    """A far wall with near, dented boxes; the picture is bright where the depth changes."""

    def __init__(self, count, size=(32, 40), seed=0):
        self.names = [f"box-{seed}-{index}" for index in range(count)]
        self.places, self.test, self.left_out = list(self.names), frozenset(), []
        self.size, self.seed = size, seed

    def __getitem__(self, index):
        draws = torch.Generator().manual_seed(1000 * self.seed + index)
        top, left = (int(torch.randint(0, side - 14, (), generator=draws)) for side in self.size)
        depth = torch.full(self.size, 6.0)
        depth[top : top + 14, left : left + 14] = 2.0
        depth[top + 4 : top + 10, left + 4 : left + 10] = 4.0
        rough = torch.zeros(self.size)
        rough[max(top - 1, 0) : top + 15, max(left - 1, 0) : left + 15] = 1.0
        picture = (0.2 + 0.6 * rough + 0.1 * torch.rand(self.size, generator=draws)).expand(
            3, -1, -1
        )
        return Frame(picture.contiguous(), depth, depth > 0, self.places[index], self.names[index])


def boxes_task(train=24, held_out=6):
    frames = Boxes(train + 2 * held_out)
    sides = [range(train), range(train, train + held_out), range(train + held_out, len(frames))]
    return Task(
        train=Subset(frames, sides[0]),
        validation=Subset(frames, sides[1]),
        test=Subset(frames, sides[2]),
        shares=SHARES,
        seed=0,
        digest="boxes",
    )


def predictor(seed=0):
    torch.manual_seed(seed)
    return Predictor(width=8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return folder, train_ssvm(boxes_task(), folder, predictor(), plan=PLAN)


def batch_of(side):
    return collate_frames([side[index] for index in range(len(side))])


def rmse(masking, frames):
    mask = masking(first_view(frames), budget_of(frames.valid, SHARES[0]))
    gap = linear(measure(frames.depth, frames.valid, mask), mask) - frames.depth
    return gap.square().mean((1, 2)).sqrt()


def model_of(seed, sign, size=(3, 4)):
    draws = torch.Generator().manual_seed(seed)
    height, width = size
    right, down = (
        torch.rand(1, *s, generator=draws) for s in ((height, width - 1), (height - 1, width))
    )
    unary = torch.randn(1, *size, generator=draws)
    return mm.IsingGrid(unary, sign * right, sign * down)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("seed", range(4))
def test_budget_hinge_is_the_largest_violation_of_all_masks_of_that_size(seed, sign):
    model = model_of(seed, sign)
    draws = torch.Generator().manual_seed(seed + 50)
    target = torch.zeros(1, 12, dtype=torch.bool)
    target[0, torch.randperm(12, generator=draws)[: 3 + seed]] = True
    target = target.reshape(1, 3, 4)
    on, off = torch.zeros_like(target), torch.zeros_like(target)
    on[target.nonzero()[:1].unbind(1)] = True
    off[(~target).nonzero()[:2].unbind(1)] = True
    clamped = model.clamp(on=on, off=off)
    violations = []
    for chosen in itertools.combinations(range(12), int(target.sum())):
        y = torch.zeros(12, dtype=torch.bool)
        y[list(chosen)] = True
        y = y.reshape(1, 3, 4)
        if (on & ~y).any() or (off & y).any():
            continue
        gap = clamped.energy(target) - clamped.energy(y)
        violations.append(float(gap) + int((y != target).sum()))
    found = budget_hinge(clamped, target)
    assert float(found) == pytest.approx(max(violations), abs=1e-5)
    assert float(found) > 0


def test_budget_hinge_is_zero_where_the_target_wins_by_its_margin():
    target = torch.tensor([[[True, False, False, True]]])
    unary = torch.where(target, 0.6, -0.6)
    model = mm.IsingGrid(unary, torch.zeros(1, 1, 3), torch.zeros(1, 0, 4))
    assert budget_hinge(model, target) == 0
    assert budget_hinge(replace(model, unary=0.4 * unary), target) > 0


def test_budget_hinge_has_the_gradient_of_finite_differences():
    model, target = model_of(7, -1), torch.zeros(1, 3, 4, dtype=torch.bool)
    target[0, 0, :3] = True
    parts = [t.double().requires_grad_() for t in (model.unary, model.right, model.down)]
    found = budget_hinge(mm.IsingGrid(*parts), target)
    found.backward()
    assert torch.autograd.gradcheck(
        lambda *p: budget_hinge(mm.IsingGrid(*p), target), parts, eps=1e-6
    )
    # A constant on all unaries changes nothing: the number on is given.
    assert parts[0].grad.sum().abs() < 1e-12
    assert parts[0].grad.abs().sum() > 0


def test_training_takes_the_seed_of_the_task(tmp_path, monkeypatch):
    monkeypatch.setattr(ssvm, "PLAN", replace(PLAN, epochs=1))
    nets = []
    for seed in (0, 5):
        task = replace(boxes_task(4, 1), seed=seed)
        nets.append(train_ssvm(task, tmp_path / str(seed), predictor()).net)
    weights = [net.state_dict() for net in nets]
    assert not all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_training_takes_budgets_of_one_pixel(tmp_path):
    task = replace(boxes_task(2, 1), shares=(1 / 1280,))
    plan = replace(PLAN, epochs=1, batch=2)
    assert masking_count(train_ssvm(task, tmp_path, predictor(), plan=plan), task) == 1


def masking_count(masking, task):
    view = first_view(batch_of(task.validation))
    return int(masking(view, budget_of(view.valid, task.shares[0])).sum())


def test_trained_masking_beats_its_untrained_self_on_new_frames(trained):
    _, masking = trained
    frames = batch_of(boxes_task().test)
    torch.manual_seed(PLAN.seed)
    untrained = masking_of(
        MaskNet(in_channels=ssvm.CHANNELS, width=ssvm.WIDTH, coupling=ssvm.COUPLING, rate=0.25)
    )
    assert (rmse(masking, frames) / rmse(untrained, frames)).mean() < 0.85


def test_trained_masking_looks_at_the_picture(trained):
    _, masking = trained
    frames = batch_of(boxes_task().test)
    other = replace(first_view(frames), picture=frames.picture.roll(1, 0))
    count = budget_of(frames.valid, SHARES[0])
    own, swapped = masking(first_view(frames), count), masking(other, count)
    assert (own != swapped).any((1, 2)).all()

    # With the picture of another frame the masks are worse.
    def error(mask):
        return (linear(measure(frames.depth, frames.valid, mask), mask) - frames.depth).square()

    assert error(own).mean() < 0.9 * error(swapped).mean()


class StopAt:
    """Stops a training in the middle of a pass."""

    def __init__(self, epoch, step):
        self.at = (epoch, step)

    def step(self, epoch, step, steps, loss):
        if (epoch, step) == self.at:
            raise KeyboardInterrupt

    def epoch(self, record, net):
        pass


def test_stopped_training_writes_the_same_files_in_the_end(trained, tmp_path):
    whole, _ = trained
    for at in ((0, 1), (2, 0)):
        with pytest.raises(KeyboardInterrupt):
            train_ssvm(boxes_task(), tmp_path, predictor(), plan=PLAN, watcher=StopAt(*at))
    train_ssvm(boxes_task(), tmp_path, predictor(), plan=PLAN)
    for name in ("config.json", "model.safetensors", "history.jsonl"):
        assert (whole / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_finished_training_loads_at_once(trained):
    folder, masking = trained

    class Refuse:
        def step(self, *_):
            raise AssertionError("it trains again")

        def epoch(self, *_):
            raise AssertionError("it validates again")

    again = train_ssvm(boxes_task(), folder, predictor(), plan=PLAN, watcher=Refuse())
    assert again.options() == masking.options()
    for name, weight in masking.net.state_dict().items():
        assert torch.equal(weight, again.net.state_dict()[name])


def test_other_predictors_ask_for_other_masks(tmp_path):
    """Pseudo-truth of weights that have moved is forgotten."""
    task = boxes_task(4, 1)
    keys = set()
    for seed in (0, 0, 1):
        folder = tmp_path / "run"
        train_ssvm(task, folder, predictor(seed), plan=replace(PLAN, epochs=1))
        keys |= {path.name for path in (folder / ssvm.CACHE).iterdir()}
        assert len(list((folder / ssvm.CACHE).iterdir())) == 1
        (folder / "state.pt").unlink()
    assert len(keys) == 2


def test_marked_frames_hold_picks_within_the_budget(tmp_path):
    truth = ssvm.truth_of(predictor())
    marked = MarkedFrames(
        boxes_task().train, (0.01, 0.05), truth, ssvm.FrameCache(tmp_path, "key")
    )[0]
    for share, (first, picked) in zip((0.01, 0.05), marked.masks, strict=True):
        count = budget_of(marked.frame.valid, share)
        assert int(picked.sum()) == count
        assert int(first.sum()) == round(ssvm.SPREAD * count)
        assert not (first & ~picked).any()

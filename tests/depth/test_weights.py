"""What later phases go by: against direct formulas, and blind to all that was not bought."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from depth.tiny_depth import SHARES, SIZE, Stop, random_depth, tiny_task
from torch import nn

from mrfmask.depth import collate_frames
from mrfmask.depth.buyer import base_buyers
from mrfmask.depth.describe import digest_of
from mrfmask.depth.error_head import ErrorHead
from mrfmask.depth.masking import MASKINGS
from mrfmask.depth.neighbour_variance import neighbour_variance
from mrfmask.depth.phases import Phases, buy
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.reconstruct import fill
from mrfmask.depth.training import fit as fit_module
from mrfmask.depth.training.bought import buy_some, collate_bought
from mrfmask.depth.training.ensemble import fit_ensemble
from mrfmask.depth.training.error_head import error_loss, fit_error_head, mean_loss
from mrfmask.depth.training.fit import before_later_phases
from mrfmask.depth.weights import WEIGHTS, EnsembleVariance, ExpectedError, NeighbourVariance
from mrfmask.learn.plan import Plan

PLAN = Plan(epochs=2, batch=2, learning_rate=2e-3, save_every_s=1e-3)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Three steps a pass, on one thread."""
    monkeypatch.setattr(fit_module, "STEPS", 3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trained_like(kind, seed, **options):
    """A network whose maps differ visibly from pixel to pixel."""
    torch.manual_seed(seed)
    net = kind(**options)
    nn.init.normal_(net.net.head[-1].weight, std=0.2)
    return net.eval()


def weight_of(name):
    networks = {
        "variance": (),
        "ensemble": (tuple(trained_like(Predictor, seed) for seed in range(3)),),
        "head": (trained_like(ErrorHead, 0),),
    }
    return WEIGHTS[name](*networks[name])


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_do_not_see_depths_that_were_not_bought(name):
    depth, mask, valid = random_depth()
    weight = weight_of(name)
    hidden = torch.where(mask, depth, torch.nan)
    expected = weight(depth, mask, valid)
    assert expected.std() > 0
    assert (expected >= 0).all()
    assert not expected.requires_grad
    assert torch.equal(weight(hidden, mask, valid), expected)


@pytest.mark.parametrize("name", WEIGHTS)
def test_masks_of_phases_depend_on_bought_depths_alone(name):
    """Other depths wherever nothing was bought yet: the next phase buys the same pixels."""
    frame = tiny_task().train[0]
    phases = Phases(count=2, weight=weight_of(name))
    masking = MASKINGS["long_range"]()
    frames = collate_frames([frame])
    count = 60
    mask = buy(masking, frames, count, phases)
    first = masking_of_first(masking, frames, phases, count)
    assert first.sum() == phases.counts(count)[0]
    assert not (first & ~mask).any()
    other = torch.where(first[0], frame.depth, frame.depth.flip(0).clamp(min=0.5))
    changed = replace(frame, depth=other.where(frame.valid, 0))
    assert torch.equal(buy(masking, collate_frames([changed]), count, phases), mask)
    # Those that were bought do count.
    turned = torch.where(first[0], frame.depth.flip(1).clamp(min=0.5), frame.depth)
    changed = replace(frame, depth=turned.where(frame.valid, 0))
    assert not torch.equal(buy(masking, collate_frames([changed]), count, phases), mask)


def masking_of_first(masking, frames, phases, count):
    return buy(masking, frames, phases.counts(count)[0], Phases())


def test_variance_is_that_of_neighbours():
    case = random_depth()
    assert torch.equal(NeighbourVariance()(*case), neighbour_variance(*case))


def test_ensemble_gives_the_variance_of_predictions():
    depth, mask, valid = random_depth()
    nets = tuple(trained_like(Predictor, seed) for seed in range(3))
    with torch.no_grad():
        predictions = [net(depth, mask).numpy() for net in nets]
    found = EnsembleVariance(nets)(depth, mask, valid)
    np.testing.assert_allclose(found.numpy(), np.var(predictions, axis=0), rtol=1e-4, atol=1e-9)


def test_ensemble_of_one_or_with_pictures_is_refused():
    with pytest.raises(ValueError, match=r"predictors must be at least 2; got 1\."):
        EnsembleVariance((Predictor(),))
    with pytest.raises(ValueError, match=r"predictors must be made with picture=False; got one"):
        EnsembleVariance((Predictor(), Predictor(picture=True)))


def test_error_head_starts_at_the_variance_of_neighbours():
    depth, mask, valid = random_depth()
    measured = torch.where(mask, depth, 0)
    unit = (measured.sum((1, 2)) / mask.sum((1, 2)))[:, None, None]
    expected = neighbour_variance(depth, mask, valid) + (1e-3 * unit) ** 2
    torch.testing.assert_close(ErrorHead()(depth, mask, valid), expected)


def test_error_head_in_another_unit_expects_the_same_errors():
    depth, mask, valid = random_depth()
    net = trained_like(ErrorHead, 0)
    expected = net(depth, mask, valid)
    assert (expected / ErrorHead()(depth, mask, valid)).log().std() > 0.05
    torch.testing.assert_close(net(1000 * depth, mask, valid), 1e6 * expected, rtol=1e-3, atol=0)


def test_error_head_takes_fills_and_passes_gradients_to_every_weight():
    depth, mask, valid = random_depth()
    net = trained_like(ErrorHead, 0)
    found = net(depth, mask, valid, fills=fill(depth, mask))
    assert torch.equal(found, net(depth, mask, valid))
    (found * torch.randn(found.shape, generator=torch.manual_seed(1))).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_error_head_sees_where_depth_is_valid():
    depth, mask, valid = random_depth()
    net = trained_like(ErrorHead, 0)
    assert not torch.equal(net(depth, mask, valid), net(depth, mask, torch.ones_like(valid)))


def test_error_head_comes_back_from_a_folder(tmp_path):
    case = random_depth()
    net = trained_like(ErrorHead, 0, width=8)
    net.save_pretrained(tmp_path / "net")
    loaded = ErrorHead.from_pretrained(tmp_path / "net")
    assert torch.equal(loaded(*case), net(*case))


WRONG = [
    (lambda d, m, v: ErrorHead(width=4), ValueError, "width must lie in 8.."),
    (lambda d, m, v: ErrorHead()(d[0], m, v), ValueError, "bought must have shape"),
    (lambda d, m, v: ErrorHead()(d, m & False, v), ValueError, "mask must have a pixel in every"),
    (lambda d, m, v: ErrorHead()(-d, m, v), ValueError, "bought must be positive and finite"),
    (lambda d, m, v: ErrorHead()(d, m, v[:, 1:]), ValueError, "valid must have shape"),
    (lambda d, m, v: ErrorHead()(d, m, d), TypeError, "valid must be a bool tensor"),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_error_head_refuses_what_makes_no_sense(call, kind, message):
    with pytest.raises(kind, match=message):
        call(*random_depth())


def test_error_loss_is_what_picks_leave():
    """By loops over pixels, in float64."""
    rng = torch.Generator().manual_seed(0)
    expected, squared = torch.rand(2, 2, 5, 6, generator=rng).double() + 0.1
    wanted = torch.rand(2, 5, 6, generator=rng) < 0.6
    found = error_loss(expected, squared, wanted)
    for b in range(2):
        pixels = wanted[b].nonzero().tolist()
        rho = [expected[b, y, x].item() ** (1 / 1.7) for y, x in pixels]
        mean, pairs = sum(rho) / len(rho), zip(pixels, rho, strict=True)
        left = [squared[b, y, x].item() * (r / mean) ** -0.7 for (y, x), r in pairs]
        assert found[b].item() == pytest.approx(np.log(sum(left) / len(left)), rel=1e-12)
    # Neither a factor nor what is not wanted counts, NaN included.
    again = error_loss(
        (7 * expected).where(wanted, torch.nan), squared.where(wanted, torch.nan), wanted
    )
    torch.testing.assert_close(again, found)


def test_error_loss_is_least_where_the_errors_are_expected():
    rng = torch.Generator().manual_seed(0)
    squared = torch.rand(1, 5, 6, generator=rng).double() + 0.1
    expected = squared.clone().requires_grad_()
    wanted = torch.rand(1, 5, 6, generator=rng) < 0.6
    error_loss(expected, squared, wanted).sum().backward()
    assert expected.grad.abs().max() < 1e-12
    least = error_loss(squared, squared, wanted)
    for _ in range(20):
        other = squared * (0.3 * torch.randn(squared.shape, generator=rng).double()).exp()
        assert error_loss(other, squared, wanted) > least


def test_stopped_head_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(fit_module, "JUDGED", 6)
    fit_error_head(tiny_task(), tmp_path / "whole", plan=PLAN)
    for at in ((0, 1), (1, 0)):
        with pytest.raises(KeyboardInterrupt):
            fit_error_head(tiny_task(), tmp_path / "cut", plan=PLAN, watcher=Stop(*at))
    fit_error_head(tiny_task(), tmp_path / "cut", plan=PLAN)
    for name in ("config.json", "model.safetensors", "history.jsonl"):
        files = [(tmp_path / folder / name).read_bytes() for folder in ("whole", "cut")]
        assert files[0] == files[1]


def test_head_learns_where_errors_are(tmp_path, monkeypatch):
    """A steep plane, which interpolation gets right and the variance of neighbours does not."""
    monkeypatch.setattr(fit_module, "STEPS", 25)
    task = tiny_task()
    frames = []
    for frame, depth in zip(task.train, random_depth(4, *SIZE)[0], strict=True):
        depth[: SIZE[0] // 2] = torch.linspace(1, 80, SIZE[1])
        frames.append(replace(frame, depth=depth, valid=depth > 0))
    task = replace(task, train=frames[:2], validation=frames[2:])
    net = fit_error_head(task, tmp_path, plan=Plan(epochs=1, batch=1, learning_rate=1e-2))
    held = [[collate_bought(buy_some(task.validation, base_buyers(), s, 9))] for s in SHARES]
    with torch.no_grad():
        assert mean_loss(net, held) < mean_loss(ErrorHead(), held) - 0.02


def test_weights_learn_from_what_is_bought_before_later_phases():
    task = replace(tiny_task(), shares=(0.01, 0.05))
    assert SIZE == (32, 40)
    # 13 and 64 pixels, of which 1/4, 1/2 and 3/4 are bought before.
    counts = [round(share * 32 * 40) for share in before_later_phases(task).shares]
    assert counts == [3, 6, 10, 16, 32, 48]
    assert before_later_phases(replace(task, shares=(0.0001,))).shares == (1 / 1280,)


def test_ensemble_training_gives_predictors_of_their_own(tmp_path):
    buyers = base_buyers()[:1]
    start = trained_like(Predictor, 5)
    plan = replace(PLAN, epochs=1)
    ensemble = fit_ensemble(tiny_task(), tmp_path, buyers, members=2, start=start, plan=plan)
    assert len({digest_of(net) for net in (*ensemble.predictors, start)}) == 3
    for member, net in enumerate(ensemble.predictors):
        kept = Predictor.from_pretrained(tmp_path / str(member))
        assert digest_of(kept) == digest_of(net)
    with pytest.raises(ValueError, match=r"members must"):
        fit_ensemble(tiny_task(), tmp_path, buyers, members=1, plan=plan)


def test_expected_error_is_what_the_head_gives():
    case = random_depth()
    head = trained_like(ErrorHead, 0)
    assert torch.equal(ExpectedError(head)(*case), head(*case))

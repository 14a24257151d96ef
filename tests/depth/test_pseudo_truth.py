"""Pseudo-ground-truth: good for completing depth, exact in what it says of gradients and sums."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from mrfmask.depth.budget import measure
from mrfmask.depth.frames import Frame, collate_frames
from mrfmask.depth.masking import MASKINGS, first_view
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.pseudo_truth import PSEUDO_TRUTHS, linear_target, predictor_target
from mrfmask.depth.pseudo_truth.gaussian_field import GaussianField
from mrfmask.depth.pseudo_truth.pseudo_truth import errors
from mrfmask.depth.pseudo_truth.saliency import saliency
from mrfmask.depth.pseudo_truth.swap_search import swap_search
from mrfmask.depth.reconstruct import fill, linear
from mrfmask.depth.synthetic import SyntheticFrames


@pytest.fixture(scope="module")
def frames():
    return collate_frames(list(SyntheticFrames(6, seed=5, size=(48, 64))))


def predictor():
    """A network with corrections that differ visibly from pixel to pixel."""
    torch.manual_seed(0)
    net = Predictor(width=8)
    nn.init.normal_(net.net.head[-1].weight, std=0.05)
    return net.eval()


def squared_error(frames, mask):
    """Sums over valid pixels, of the linear fill, by the reconstructor itself."""
    gap = linear(measure(frames.depth, frames.valid, mask), mask) - frames.depth
    return torch.stack([(g[v].double() ** 2).sum() for g, v in zip(gap, frames.valid, strict=True)])


def rmse(frames, mask):
    return (squared_error(frames, mask) / frames.valid.sum((1, 2))).sqrt()


@pytest.mark.parametrize("name", PSEUDO_TRUTHS)
@pytest.mark.parametrize("count", [1, 2, 30])
def test_pseudo_truth_has_so_many_valid_pixels_and_comes_again(frames, name, count):
    truth = PSEUDO_TRUTHS[name]()
    mask = truth(frames, count, seed=1)
    assert mask.sum((1, 2)).tolist() == [count] * len(frames)
    assert not (mask & ~frames.valid).any()
    assert torch.equal(truth(frames, count, seed=1), mask)


@pytest.mark.parametrize("name", PSEUDO_TRUTHS)
def test_pseudo_truth_of_an_image_hangs_on_that_image_alone(name):
    """Beside one whose few valid pixels lie close, where picks are far denser."""
    close, wide = SyntheticFrames(2, seed=5, size=(48, 64))
    valid = torch.zeros_like(close.valid)
    valid[20:28, 30:38] = True
    depth = close.depth.where(close.valid, 3.0).where(valid, 0.0)
    close = replace(close, depth=depth, valid=valid)
    truth = PSEUDO_TRUTHS[name]()
    together = truth(collate_frames([close, wide]), 12)
    alone = [truth(collate_frames([frame]), 12)[0] for frame in (close, wide)]
    assert torch.equal(together, torch.stack(alone))


@pytest.mark.parametrize(
    ("name", "margin"), [("worst_error", 0.75), ("saliency", 0.95), ("ensemble", 0.95)]
)
def test_pseudo_truth_beats_even_picks(frames, name, margin):
    mask = PSEUDO_TRUTHS[name]()(frames, 60)
    even = MASKINGS["k_center"]()(first_view(frames), 60)
    assert rmse(frames, mask).sum() < margin * rmse(frames, even).sum()


@pytest.mark.parametrize("name", PSEUDO_TRUTHS)
def test_pseudo_truth_is_good_for_the_target_it_was_made_for(frames, name):
    """Another target, another mask; and depth elsewhere than in the frame is never asked for."""
    target = predictor_target(predictor())
    mask = PSEUDO_TRUTHS[name](target=target)(frames, 30)
    assert not torch.equal(mask, PSEUDO_TRUTHS[name]()(frames, 30))
    assert mask.sum((1, 2)).tolist() == [30] * len(frames)


@pytest.mark.parametrize("name", PSEUDO_TRUTHS)
def test_pseudo_truth_refuses_more_pixels_than_are_valid(frames, name):
    most = int(frames.valid.sum((1, 2)).min())
    for count in (0, most + 1):
        with pytest.raises(ValueError, match=f"count must lie between 1 .* {most}; got {count}"):
            PSEUDO_TRUTHS[name]()(frames, count)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("worst_error", {"rounds": 0}),
        ("worst_error", {"swaps": -1}),
        ("worst_error", {"first": 0.0}),
        ("worst_error", {"first": 1.5}),
        ("worst_error", {"smoothing": 0.0}),
        ("saliency", {"rounds": 0}),
        ("saliency", {"power": 0.0}),
        ("ensemble", {"members": 1}),
        ("ensemble", {"share": 1.5}),
        ("ensemble", {"floor": 0.0}),
    ],
)
def test_pseudo_truth_refuses_options_out_of_range(name, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        PSEUDO_TRUTHS[name](**options)


def test_pseudo_truth_sees_nothing_where_depth_is_not_valid(frames):
    """Any target may say anything there."""
    for name, kind in PSEUDO_TRUTHS.items():

        def strange(depth, mask, fills):
            return torch.where(frames.valid, fills.linear, torch.nan)

        assert torch.equal(kind(target=strange)(frames, 20), kind()(frames, 20)), name


def test_worst_error_finds_the_one_object_that_matters():
    """A small box before a flat wall: even picks miss it or hit it once."""
    depth = torch.full((40, 60), 5.0)
    depth[10:16, 40:46] = 1.0
    frame = Frame(torch.zeros(3, 40, 60), depth, depth > 0, "wall", "wall")
    frames = collate_frames([frame])
    mask = PSEUDO_TRUTHS["worst_error"]()(frames, 60)
    even = MASKINGS["k_center"]()(first_view(frames), 60)
    near = torch.zeros_like(mask)
    near[:, 7:19, 37:49] = True
    assert (mask & near).sum() > 3 * (even & near).sum()
    assert squared_error(frames, mask) < 0.2 * squared_error(frames, even)


def test_swap_search_never_makes_the_error_worse_and_mostly_better(frames):
    mask = MASKINGS["random"]()(first_view(frames), 25)
    before = squared_error(frames, mask)
    last = before
    for swaps in (0, 1, 5, 40):
        found = swap_search(linear_target, frames, mask, swaps, seed=2)
        after = squared_error(frames, found)
        # More tries go on where fewer stopped.
        assert (after <= last).all()
        assert found.sum((1, 2)).tolist() == [25] * len(frames)
        assert not (found & ~frames.valid).any()
        last = after
    assert torch.equal(swap_search(linear_target, frames, mask, 0), mask)
    assert (last < 0.8 * before).float().mean() > 0.5


def test_swap_search_of_a_perfect_mask_changes_nothing():
    depth = torch.linspace(1, 4, 12).reshape(1, 12).expand(9, 12).contiguous()
    frames = collate_frames([Frame(torch.zeros(3, 9, 12), depth, depth > 0, "slope", "slope")])
    mask = torch.zeros(1, 9, 12, dtype=torch.bool)
    mask[0, [0, 0, -1, -1], [0, -1, 0, -1]] = True
    assert torch.equal(swap_search(linear_target, frames, mask, 10), mask)


@pytest.mark.parametrize("kind", ["linear", "predictor"])
def test_saliency_is_the_gradient_by_finite_differences(frames, kind):
    net = predictor().double()
    target = linear_target if kind == "linear" else predictor_target(net)
    one = collate_frames([SyntheticFrames(1, seed=8, size=(24, 32))[0]])
    mask = MASKINGS["random"]()(first_view(one), 12)
    found = saliency(target, one, mask)
    assert (found[~mask] == 0).all()

    def loss(depth):
        completed = target(depth, mask, fill(depth, mask))
        return ((completed - one.depth.double())[one.valid] ** 2).sum()

    bought = measure(one.depth, one.valid, mask).double()
    step = 1e-5
    for place in mask.nonzero():
        moved = torch.zeros_like(bought)
        moved[tuple(place)] = step
        slope = (loss(bought + moved) - loss(bought - moved)) / (2 * step)
        torch.testing.assert_close(
            found[tuple(place)].double(), slope.abs(), rtol=2e-3, atol=1e-3 * float(found.max())
        )


def field(size=(5, 5), members=3, reach=1.5, seed=0):
    draws = torch.Generator().manual_seed(seed)
    return GaussianField(torch.randn(members, *size, dtype=torch.float64, generator=draws), reach)


def covariance(field):
    """The whole matrix, entry by entry."""
    draws = field.draws.flatten(1)
    _, height, width = field.draws.shape
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], 1).double()
    apart = (places[:, None] - places[None]).square().sum(2)
    return draws.T @ draws / len(draws) * torch.exp(-apart / (2 * 1.5**2))


def test_gaussian_field_is_that_covariance():
    model = field((4, 6))
    whole = covariance(model)
    assert torch.linalg.eigvalsh(whole).min() > -1e-9
    torch.testing.assert_close(model.variance.flatten(), whole.diagonal())
    for pixel in range(24):
        column = model.column(pixel // 6, pixel % 6).flatten()
        torch.testing.assert_close(column, whole[:, pixel])
    values = torch.rand(4, 6, dtype=torch.float64)
    torch.testing.assert_close(model.times(values).flatten(), whole @ values.flatten())
    valid = torch.rand(4, 6) < 0.6
    expected = (whole[valid.flatten()] ** 2).sum(0)
    torch.testing.assert_close(model.squares(valid).flatten(), expected)


@pytest.mark.parametrize("seed", range(4))
def test_greedy_takes_the_pixels_of_brute_force(seed):
    """Every pixel tried in turn, the variance left by Gaussian conditioning on all picks."""
    model, noise = field(seed=seed), 0.05
    whole = covariance(model)
    valid = torch.rand(25, generator=torch.Generator().manual_seed(seed)) < 0.8
    picks: list[int] = []

    def left(chosen):
        own = whole[chosen][:, chosen] + noise * torch.eye(len(chosen), dtype=torch.float64)
        explained = whole[:, chosen] @ torch.linalg.solve(own, whole[chosen])
        return (whole - explained).diagonal()[valid].sum()

    for count in range(1, 9):
        free = [p for p in range(25) if valid[p] and p not in picks]
        picks.append(min(free, key=lambda p: left([*picks, p])))
        found = model.greedy(valid.reshape(5, 5), count, noise)
        assert sorted(found.flatten().nonzero()[:, 0].tolist()) == sorted(picks)


def test_errors_are_of_valid_pixels_alone(frames):
    mask = MASKINGS["random"]()(first_view(frames), 20)
    found = errors(linear_target, frames, mask)
    assert (found[~frames.valid] == 0).all()
    assert (found[mask] == 0).all()
    torch.testing.assert_close(found.double().square().sum((1, 2)), squared_error(frames, mask))

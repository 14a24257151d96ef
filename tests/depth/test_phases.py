"""Buying in phases: masks nest, see what was bought alone, and go where depth changes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from mrfmask.depth import FrameBatch, SyntheticFrames, collate_frames, measure
from mrfmask.depth.masking import MASKINGS, Masking, View
from mrfmask.depth.neighbour_variance import neighbour_variance
from mrfmask.depth.phases import Phases, buy, log_error
from mrfmask.depth.reconstruct import linear

FRAMES = collate_frames([SyntheticFrames(3, 8, (48, 64))[index] for index in range(3)])
COUNT = 90


@dataclass(frozen=True, kw_only=True)
class Recorded(Masking):
    """A method that notes what it saw and gave."""

    masking: Masking
    seen: list[tuple[View, torch.Tensor]] = field(default_factory=list)
    name = "recorded"

    def _choose(self, view, count):
        mask = self.masking(view, count)
        self.seen.append((view, mask))
        return mask


def recorded(frames=FRAMES, name="long_range", **options):
    """The mask bought in phases, and what was seen and given in each."""
    masking = Recorded(masking=MASKINGS[name]())
    return buy(masking, frames, COUNT, Phases(**options)), masking.seen


@pytest.mark.parametrize(
    ("phases", "first", "total", "counts"),
    [
        (1, 0.25, 100, [100]),
        (4, 0.25, 100, [25, 50, 75, 100]),
        (3, 0.5, 21, [10, 16, 21]),
        (4, 0.25, 2, [1, 1, 2, 2]),
        (4, 0.001, 1, [1, 1, 1, 1]),
        (2, 1.0, 9, [9, 9]),
    ],
)
def test_counts_of_phases_are_as_written(phases, first, total, counts):
    assert Phases(count=phases, first=first).counts(total) == counts


@pytest.mark.parametrize("name", ["long_range", "random", "k_center", "superpixel"])
@pytest.mark.parametrize("phases", [1, 2, 4])
def test_masks_of_phases_nest(name, phases):
    mask, seen = recorded(name=name, count=phases)
    masks = [m for _, m in seen]
    assert len(masks) == phases
    counts = Phases(count=phases).counts(COUNT)
    for (view, now), before, count in zip(seen, [None, *masks[:-1]], counts, strict=True):
        taken = torch.zeros_like(now) if before is None else before
        assert torch.equal(view.taken, taken)
        assert not (taken & ~now).any()
        assert (now.sum((1, 2)) == count).all()
    assert torch.equal(mask, masks[-1])


def test_phase_sees_what_was_bought_before_and_no_other_depth():
    """Depths that a phase has not bought may be any: its next mask is the same."""
    _, seen = recorded(count=3)
    for bought, after in ((1, 2), (0, 1)):
        mask = seen[bought][1]
        # Deeper by a factor of 1 to 10, and moved, wherever nothing was bought in that phase.
        factor = torch.linspace(1, 10, FRAMES.depth.numel()).reshape(FRAMES.depth.shape)
        changed = torch.where(mask, FRAMES.depth, FRAMES.depth * factor)
        _, again = recorded(replace(FRAMES, depth=changed), count=3)
        for phase in range(after + 1):
            assert torch.equal(again[phase][1], seen[phase][1])
            assert torch.equal(again[phase][0].log_weight, seen[phase][0].log_weight)
    # And it does look at those it has bought: the same change of them changes the next mask.
    changed = torch.where(seen[0][1], FRAMES.depth * factor, FRAMES.depth)
    _, again = recorded(replace(FRAMES, depth=changed), count=3)
    assert torch.equal(again[0][1], seen[0][1])
    assert not torch.equal(again[1][1], seen[1][1])


def test_weight_is_given_bought_depths_alone():
    given = []

    def weight(bought, mask, valid):
        given.append((bought, mask, valid))
        return neighbour_variance(bought, mask, valid)

    _, seen = recorded(count=3, weight=weight)
    assert len(given) == 2
    for (bought, mask, valid), (_, before) in zip(given, seen[:-1], strict=True):
        assert torch.equal(mask, before)
        assert torch.equal(valid, FRAMES.valid)
        assert torch.equal(bought, FRAMES.depth * before)


def test_later_phase_sees_weights_as_the_formula_says():
    phases = {"count": 2, "power": 0.6, "trust": 0.2}
    _, ((first, mask), (second, _)) = recorded(**phases)
    assert (first.log_weight == 0).all()
    assert (first.trust, second.trust) == (1.0, 0.2)
    assert first.seeds == second.seeds
    error = neighbour_variance(measure(FRAMES.depth, FRAMES.valid, mask), mask, FRAMES.valid)
    for index in range(len(FRAMES)):
        e, valid = error[index].double().numpy(), FRAMES.valid[index].numpy()
        expected = 0.6 * np.log(e / e[valid].mean() + 0.03)
        assert np.allclose(second.log_weight[index], expected, rtol=1e-5, atol=1e-5)


def test_log_error_is_relative_to_the_mean_on_valid_pixels():
    error = torch.tensor([[[1.0, 3.0, 100.0]], [[0.0, 0.0, 5.0]], [[2.0, 2.0, 2.0]]])
    valid = torch.tensor([True, True, False]).expand(3, 1, 3)
    found = log_error(error, valid)
    assert found[0, 0].tolist() == pytest.approx(np.log([0.53, 1.53, 50.03]).tolist(), rel=1e-6)
    assert (found[1] == 0).all()  # no errors where it counts
    assert torch.allclose(found[2], torch.tensor(1.03).log())
    # Units do not count.
    assert torch.allclose(log_error(1000 * error, valid), found, atol=1e-5)
    assert (log_error(torch.zeros_like(error), valid) == 0).all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -1e-3])
def test_weight_that_gives_no_errors_is_refused(bad):
    def weight(bought, mask, valid):
        error = torch.ones_like(bought)
        error[2, 5, 6] = bad
        return error

    message = re.escape("weight must give finite errors from 0 on for all pixels; got ")
    with pytest.raises(ValueError, match=message + r".* at \(2, 5, 6\)"):
        buy(MASKINGS["long_range"](), FRAMES, COUNT, Phases(count=2, weight=weight))


def test_another_weight_decides():
    """Errors expected on the left third alone: the second phase buys there."""
    left = (torch.arange(64) < 21).float().expand(3, 48, 64)
    phases = Phases(count=2, first=0.1, weight=lambda bought, mask, valid: left)
    valid = torch.ones_like(FRAMES.valid)
    frames = replace(FRAMES, valid=valid, depth=torch.ones_like(FRAMES.depth))
    mask = buy(MASKINGS["weighted_farthest"](), frames, COUNT, phases)
    assert (mask[..., :21].sum((1, 2)) > 0.6 * COUNT).all()


def steps(count: int = 6, size: int = 64) -> FrameBatch:
    """Frames with an edge of depth across them, at any angle; the picture does not show it."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    draws = torch.Generator().manual_seed(2)
    depths = []
    for _ in range(count):
        angle, shift = torch.rand(2, generator=draws).tolist()
        across = np.cos(3.1 * angle) * (columns - size / 2) + np.sin(3.1 * angle) * (
            rows - size / 2
        )
        depths.append(torch.where(across > 20 * (shift - 0.5), 2.0, 6.0))
    depth = torch.stack(depths)
    names = tuple(f"step-{index}" for index in range(count))
    return FrameBatch(torch.full((count, 3, size, size), 0.5), depth, depth > 0, names, names)


def test_phases_find_edges_that_the_picture_hides():
    # Thrice as many picks near the edge bring its error, like the root of their distance, to 0.76.
    frames, count = steps(), 120
    errors = {}
    for phases in (1, 4):
        mask = buy(MASKINGS["long_range"](), frames, count, Phases(count=phases))
        bought = measure(frames.depth, frames.valid, mask)
        errors[phases] = (linear(bought, mask) - frames.depth).square().mean((1, 2)).sqrt()
    assert (errors[4] < 0.8 * errors[1]).all()


@pytest.mark.parametrize("name", ["long_range", "poisson_disk"])
def test_bought_pixels_of_a_frame_do_not_hang_on_the_batch(name):
    together = buy(MASKINGS[name](), FRAMES, COUNT, Phases(count=4), seed=3)
    for index in (2, 0):
        alone = FrameBatch(
            FRAMES.picture[index : index + 1],
            FRAMES.depth[index : index + 1],
            FRAMES.valid[index : index + 1],
            FRAMES.places[index : index + 1],
            FRAMES.names[index : index + 1],
        )
        mask = buy(MASKINGS[name](), alone, COUNT, Phases(count=4), seed=3)
        assert torch.equal(mask[0], together[index])


def test_nothing_and_everything_are_bought_at_once():
    for name in ("none", "full"):
        mask = buy(MASKINGS[name](), FRAMES, COUNT, Phases(count=4))
        assert torch.equal(mask, FRAMES.valid & (name == "full"))


def test_frames_of_one_depth_are_bought_evenly_in_every_phase():
    """No edge, no preference: each phase goes where the last left holes."""
    flat = replace(FRAMES, depth=FRAMES.valid * 0.1)
    mask, seen = recorded(flat, count=4)
    assert all((view.log_weight == 0).all() for view, _ in seen)
    assert (mask.sum((1, 2)) == COUNT).all()


def test_budget_is_checked_before_the_first_phase():
    masking = Recorded(masking=MASKINGS["random"]())
    with pytest.raises(ValueError, match="count must lie between the pixels taken and the valid"):
        buy(masking, FRAMES, int(FRAMES.valid.sum((1, 2)).min()) + 1, Phases(count=4))
    with pytest.raises(TypeError, match="count must be an int; got float"):
        buy(masking, FRAMES, 0.01, Phases(count=4))
    assert not masking.seen


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"count": 0}, ValueError, "count must lie in 1.."),
        ({"count": 2.0}, TypeError, "count must be an int; got float"),
        ({"first": 0}, ValueError, "first must be above 0; got 0"),
        ({"first": "all"}, TypeError, "first must be a number; got str"),
        ({"power": 1.5}, ValueError, "power must lie in [0, 1]; got 1.5"),
        ({"trust": float("nan")}, ValueError, "trust must lie in [0, 1]; got nan"),
    ],
)
def test_phases_are_checked(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        Phases(**options)

"""What a budget buys, and depth maps with a percentage zeroed."""

from __future__ import annotations

import re

import pytest
import torch
from depth_files import depth_png, sparse_steps

from mrfmask.depth import SyntheticFrames, ZeroedFrames, budget_of, measure, open_frames

VALID = torch.zeros(2, 10, 20, dtype=torch.bool)
VALID[0, :5], VALID[1, :2] = True, True


@pytest.mark.parametrize(("budget", "count"), [(0.01, 2), (0.0126, 3), (0.2, 40), (0.005, 1)])
def test_budget_is_a_share_of_all_pixels(budget, count):
    assert budget_of(VALID, budget) == count


def test_budget_is_at_most_the_valid_pixels_of_each_image():
    assert budget_of(VALID[0], 0.5) == 100
    message = "got 0.205, which is 41 pixels, where 40 are valid"
    with pytest.raises(ValueError, match=re.escape(message)):
        budget_of(VALID, 0.205)


@pytest.mark.parametrize("budget", [0, -0.1, 1.5, 0.002, float("nan")])
def test_budget_must_buy_a_pixel(budget):
    with pytest.raises(ValueError, match=re.escape("budget must be a share in (0, 1] that buys")):
        budget_of(VALID, budget)


def test_budget_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="budget must be a number; got str"):
        budget_of(VALID, "1%")
    with pytest.raises(TypeError, match=r"valid must be a bool tensor; got torch\.float32"):
        budget_of(VALID.float(), 0.1)


def test_measurements_are_the_depths_bought():
    depth = torch.where(VALID, torch.rand(2, 10, 20) + 1, 0.0)
    mask = torch.zeros_like(VALID)
    mask[0, 4, 3] = mask[1, 1, 19] = True
    measured = measure(depth, VALID, mask)
    assert measured[0, 4, 3] == depth[0, 4, 3]
    assert measured[1, 1, 19] == depth[1, 1, 19]
    assert measured.count_nonzero() == 2
    mask[1, 2, 0] = True
    with pytest.raises(ValueError, match=r"mask must lie on valid pixels; got 1 .* \(1, 2, 0\)"):
        measure(depth, VALID, mask)
    with pytest.raises(TypeError, match="mask must be a bool tensor"):
        measure(depth, VALID, depth)


@pytest.mark.parametrize("percentage", [0, 37.5, 90, 100])
def test_given_percentage_of_valid_pixels_is_zeroed(percentage):
    frames = SyntheticFrames(2, size=(20, 20))
    zeroed = ZeroedFrames(frames, percentage, seed=3)
    assert len(zeroed) == 2
    for index in range(2):
        completion = zeroed[index]
        valid = int(completion.frame.valid.sum())
        assert torch.equal(completion.frame.depth, frames[index].depth)
        assert int(completion.given.sum()) == valid - round(percentage / 100 * valid)
        assert not (completion.given & ~completion.frame.valid).any()
        assert torch.equal(completion.given, ZeroedFrames(frames, percentage, seed=3)[index].given)


def test_zeroed_pixels_hang_on_the_seed_and_lie_everywhere(tmp_path):
    frames = open_frames(str(depth_png(tmp_path / "aerial.png", sparse_steps((30, 30)))))
    given = torch.stack([ZeroedFrames(frames, 50, seed)[0].given for seed in range(200)])
    share = given[:, frames[0].valid].float().mean(dim=0)
    # Seven standard errors of a half of 200.
    assert (share - 0.5).abs().max() < 7 * (0.25 / 200) ** 0.5
    with pytest.raises(ValueError, match=r"percentage must lie in 0\.\.100; got 101"):
        ZeroedFrames(frames, 101)

"""Metrics against values by hand; intervals against all draws there are, and known coverage."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
import torch

from mrfmask.depth.metrics import PairedRatio, depth_metrics, paired_ratio

NAN = math.nan
DEPTH = torch.tensor([[[2.0, 4.0, 8.0], [10.0, NAN, 0.0]], [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]])
VALID = DEPTH > 0
PREDICTED = torch.tensor([[[2.0, 5.0, 4.0], [16.0, 7.0, NAN]], [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]])
BOUGHT = torch.zeros(2, 2, 3, dtype=torch.bool)
BOUGHT[0, 0, 0] = True


def test_metrics_are_those_by_hand():
    found = depth_metrics(PREDICTED, DEPTH, VALID, BOUGHT, radius=1.0)
    expected = {
        "mse": (0 + 1 + 16 + 36) / 4,
        "rmse": math.sqrt(53 / 4),
        "mae": (0 + 1 + 4 + 6) / 4,
        "abs_rel": (0 + 1 / 4 + 1 / 2 + 6 / 10) / 4,
        "sq_rel": (0 + 1 / 4 + 16 / 8 + 36 / 10) / 4,
        "rmse_log": math.sqrt((math.log(1.25) ** 2 + math.log(2) ** 2 + math.log(1.6) ** 2) / 4),
        # Factors 1, 1.25, 2, 1.6 below 1.25, 1.5625 and 1.953: the limit itself is not below.
        "delta_1": 1 / 4,
        "delta_2": 2 / 4,
        "delta_3": 3 / 4,
        "count": 1,
        # To the corner from itself, its neighbours and the pixel two to the right.
        "distance": (0 + 1 + 2 + 1) / 4,
        "coverage": 3 / 4,
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == torch.float64
        assert found[name][0].item() == pytest.approx(value, rel=1e-12), name


def test_metrics_of_a_right_prediction_without_a_bought_pixel():
    found = {
        name: x[1].item() for name, x in depth_metrics(PREDICTED, DEPTH, VALID, BOUGHT).items()
    }
    for name in ("mse", "rmse", "mae", "abs_rel", "sq_rel", "rmse_log", "count", "coverage"):
        assert found[name] == 0
    assert found["delta_1"] == found["delta_2"] == found["delta_3"] == 1
    assert found["distance"] == math.inf


def test_metrics_treat_under_and_over_estimates_of_a_factor_alike():
    depth = torch.full((2, 1, 3), 3.0)
    factor = torch.tensor([1.2, 1.5, 1.9])
    low, high = (
        depth_metrics(p.expand(2, 1, 3), depth, depth > 0, depth > 0)
        for p in (3 / factor, 3 * factor)
    )
    for name in ("rmse_log", "delta_1", "delta_2", "delta_3"):
        torch.testing.assert_close(low[name], high[name], rtol=1e-6, atol=0)
    assert low["delta_1"][0] == pytest.approx(1 / 3)


def test_metrics_treat_images_of_a_batch_alone():
    rng = torch.Generator().manual_seed(0)
    depth, predicted = (1 + torch.rand(3, 7, 9, generator=rng) for _ in range(2))
    valid = torch.rand(3, 7, 9, generator=rng) < 0.7
    bought = valid & (torch.rand(3, 7, 9, generator=rng) < 0.2)
    together = depth_metrics(predicted, depth, valid, bought)
    for b in range(3):
        one = slice(b, b + 1)
        alone = depth_metrics(predicted[one], depth[one], valid[one], bought[one])
        assert all(torch.equal(together[name][one], alone[name]) for name in alone)


def test_coverage_is_the_share_of_valid_pixels_within_the_radius():
    valid = torch.rand(1, 20, 30, generator=torch.Generator().manual_seed(1)) < 0.6
    bought = torch.zeros_like(valid)
    places = valid[0].nonzero()[::40]
    bought[0, places[:, 0], places[:, 1]] = True
    depth = torch.ones(1, 20, 30)
    apart = torch.cdist(valid[0].nonzero().double(), places.double()).amin(dim=1)
    for radius in (1.0, 2.5, 5.0):
        found = depth_metrics(depth, depth, valid, bought, radius=radius)
        share = (apart <= radius + 1e-9).double().mean()
        assert found["coverage"].item() == pytest.approx(share.item())
        assert found["distance"].item() == pytest.approx(apart.mean().item())


def test_paired_ratio_is_that_of_the_means():
    found = paired_ratio([1.0, 2.0, 6.0], [2.0, 3.0, 8.0], ["a", "a", "b"])
    assert found.ratio == pytest.approx(9 / 13)
    assert found.places == 2
    # A quarter of the draws have the first place twice, a quarter the second.
    assert (found.low, found.high) == pytest.approx((3 / 5, 6 / 8))


def test_paired_interval_is_that_of_all_draws():
    """Four places make 256 equally likely draws: all of them give the exact distribution."""
    rng = np.random.default_rng(3)
    places = np.array(list("aabbbcdddd"))
    ours, baseline = rng.uniform(1, 5, 10), rng.uniform(1, 5, 10)
    ratios = []
    for drawn in itertools.product("abcd", repeat=4):
        images = np.concatenate([np.flatnonzero(places == place) for place in drawn])
        ratios.append(ours[images].mean() / baseline[images].mean())
    ratios = np.array(ratios)
    draws = 20_000
    found = paired_ratio(ours, baseline, places, seed=1, draws=draws)
    slack = 7 * math.sqrt(0.025 * 0.975 / draws)
    for end, share in ((found.low, 0.025), (found.high, 0.975)):
        assert (ratios < end - 1e-9).mean() <= share + slack
        assert (ratios <= end + 1e-9).mean() >= share - slack
    assert found.ratio == pytest.approx(ours.mean() / baseline.mean())
    assert found.low < found.ratio < found.high


def test_paired_interval_covers_the_truth_over_places():
    """Ratios differ from place to place, hardly within: 30 places with 8 images each.

    Intervals by images are too short by sqrt(8) and cover the truth half of the time.
    """
    rng, truth, repeats = np.random.default_rng(0), 0.7, 300
    places = np.repeat(np.arange(30), 8)
    covered = 0
    for _ in range(repeats):
        size = rng.gamma(4.0, size=30)[places]
        baseline = size * rng.uniform(0.9, 1.1, len(places))
        at_place = truth * rng.uniform(0.5, 1.5, 30)
        ours = size * at_place[places] * rng.uniform(0.95, 1.05, len(places))
        found = paired_ratio(ours, baseline, places, draws=300)
        covered += found.low <= truth <= found.high
    # 92 % are to be expected of the percentile interval with 30 places.
    assert abs(covered / repeats - 0.92) < 6 * math.sqrt(0.08 * 0.92 / repeats)


def test_paired_ratio_depends_on_the_seed_and_not_on_the_order():
    rng = np.random.default_rng(5)
    ours, baseline, places = rng.uniform(1, 2, 40), rng.uniform(1, 2, 40), rng.integers(0, 9, 40)
    order = rng.permutation(40)
    found = paired_ratio(ours, baseline, places)
    assert found == paired_ratio(ours, baseline, places)
    assert found != paired_ratio(ours, baseline, places, seed=1)
    shuffled = paired_ratio(ours[order], baseline[order], places[order])
    for name in ("ratio", "low", "high"):
        assert getattr(shuffled, name) == pytest.approx(getattr(found, name), rel=1e-12)


def test_paired_ratio_takes_tensors():
    ours, baseline = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0])
    expected = PairedRatio(ratio=0.5, low=0.5, high=0.5, places=2)
    assert paired_ratio(ours, baseline, ["a", "b"]) == expected


ALL = torch.ones(2, 2, 3, dtype=torch.bool)
ONES = torch.ones(2, 2, 3)
WRONG = [
    (
        lambda: depth_metrics(ONES, DEPTH, ALL, BOUGHT),
        ValueError,
        "depth must be positive and finite wherever valid is True; got nan at (0, 1, 1). Set valid",
    ),
    (
        lambda: depth_metrics(-ONES, ONES, VALID, BOUGHT),
        ValueError,
        "predicted must be positive and finite wherever valid is True; got -1.0 at (0, 0, 0). "
        "Check what computed it.",
    ),
    (
        lambda: depth_metrics(ONES[:1], ONES, VALID, BOUGHT),
        ValueError,
        "predicted must have shape (2, 2, 3) on cpu; got (1, 2, 3) on cpu.",
    ),
    (
        lambda: depth_metrics(ONES, ONES, VALID, ALL),
        ValueError,
        "bought must hold valid pixels alone; got (0, 1, 1), which is not. Measure only where",
    ),
    (
        lambda: depth_metrics(ONES, ONES, VALID, BOUGHT, radius=0.0),
        ValueError,
        "radius must be positive and finite; got 0.0.",
    ),
    (
        lambda: paired_ratio([1.0], [1.0, 2.0], ["a", "b"]),
        ValueError,
        "ours, baseline and places must have one value an image; got 1, 2 and 2.",
    ),
    (
        lambda: paired_ratio([1.0, 2.0], [1.0, 2.0], ["a", "a"]),
        ValueError,
        "places must name at least 2 places; got 1.",
    ),
    (
        lambda: paired_ratio([1.0, 2.0], [1.0, NAN], ["a", "b"]),
        ValueError,
        "baseline must be a list of positive, finite errors; got nan of image 1. Leave images",
    ),
    (
        lambda: paired_ratio(ONES, [1.0], ["a"]),
        ValueError,
        "ours must be a list of positive, finite errors; got shape (2, 2, 3).",
    ),
    (
        lambda: paired_ratio([1.0, 2.0], [1.0, 2.0], ["a", "b"], draws=0),
        ValueError,
        "draws must lie in 1..",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_metrics_say_what_is_wrong(call, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        call()

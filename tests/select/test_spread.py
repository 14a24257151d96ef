"""The selectors that spread picks: what each guarantees, by enumeration or by definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from selections import requests

import mrfmask as mm
from mrfmask.select.snap import snap

SETTINGS = settings(max_examples=60, deadline=None)


def covering_radius(apart, centres, covered):
    """The largest distance of any covered point to its nearest centre."""
    return apart[np.ix_(covered, centres)].min(axis=1).max()


@SETTINGS
@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from([(3, 4), (2, 5), (1, 9), (4, 4)]),
    forbidden=st.sampled_from([0.0, 0.4]),
    count=st.integers(1, 4),
    in_features=st.booleans(),
)
def test_k_center_covers_within_twice_the_best_radius(seed, shape, forbidden, count, in_features):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.zeros(1, *shape)
    scores[torch.rand(1, *shape, generator=generator) < forbidden] = -torch.inf
    allowed = scores.flatten().isfinite().nonzero()[:, 0].tolist()
    assume(len(allowed) >= count)
    features = torch.rand(1, 2, *shape, generator=generator, dtype=torch.float64)
    points = features[0].flatten(1).T if in_features else (scores[0] < 1).nonzero().double()
    apart = torch.cdist(points, points).numpy()
    mask = mm.select(scores, "k_center", budget=count, features=features if in_features else None)
    chosen = mask.flatten().nonzero()[:, 0].tolist()
    best = min(covering_radius(apart, c, allowed) for c in itertools.combinations(allowed, count))
    assert covering_radius(apart, chosen, allowed) <= 2 * best + 1e-6


@SETTINGS
@given(request=requests(most_images=1), weighted=st.booleans())
def test_farthest_points_are_those_of_the_definition(request, weighted):
    scores, taken = request["scores"].clamp(-100, 100), request["taken"]
    scores[request["scores"] == -torch.inf] = -torch.inf
    name = "weighted_farthest" if weighted else "k_center"
    places = (scores[0] < torch.inf).nonzero().double()
    free = ((scores > -torch.inf) & ~taken).flatten()
    assume(free.any())
    logs = scores.double().flatten()
    density = (logs - logs[free].max()).clamp(max=0).exp().numpy()
    density = density if weighted else np.ones_like(density)
    on = taken.flatten().clone()
    apart = torch.cdist(places, places).square().round().numpy()
    for count in range(1, request["new"][0] + 1):
        if on.any():
            value = apart[:, on.numpy()].min(axis=1) * density
        else:
            middle = torch.tensor([[(s - 1) / 2 for s in scores.shape[1:]]]).double()
            near = torch.cdist(places, middle)[:, 0].numpy()
            value = np.where(density == density[free.numpy()].max(), 100 - near, 0)
        # A larger budget adds a pixel, one of those with the largest value.
        mask = mm.select(scores, name, budget_new=count, taken=taken).flatten()
        assert (mask & on).sum() == on.sum()
        added = int((mask & ~on).nonzero())
        assert value[added] >= value[free.numpy()].max() * (1 - 1e-8)
        on, free[added] = mask, False


@SETTINGS
@given(request=requests(most_images=1), seed=st.integers(0, 2**40))
def test_poisson_disk_keeps_the_largest_distance_that_its_order_allows(request, seed):
    taken, new = request["taken"], request["new"][0]
    mask = mm.select(request["scores"], "poisson_disk", budget_new=new, taken=taken, seed=seed)
    chosen = (mask & ~taken)[0].nonzero()
    assume(len(chosen) >= 1 and len(chosen) + taken.sum() >= 2)
    everybody = mask[0].nonzero()
    apart = torch.cdist(chosen.double(), everybody.double()).square().round()
    kept = int(apart[apart > 0].min())
    # Darts at any larger distance, thrown in the same order, are too few.
    uniform = mm.ops.exact_uniforms(torch.tensor([seed, 0]), 1, taken.numel())[0]
    free = (request["scores"] > -torch.inf) & ~taken
    order = [p for p in uniform.argsort().tolist() if free.flatten()[p]]
    places = (taken[0] | ~taken[0]).nonzero()
    for squared in range(1, kept + 2):
        on = taken[0].nonzero().tolist()
        darts = 0
        for pixel in order:
            y, x = places[pixel].tolist()
            if darts < new and all((y - v) ** 2 + (x - u) ** 2 >= squared for v, u in on):
                on.append([y, x])
                darts += 1
        if squared == kept:
            assert darts == new


def test_poisson_disk_spreads_far_more_than_random():
    scores = torch.zeros(1, 100, 100)
    closest = {
        name: torch.pdist(mm.select(scores, name, budget=100)[0].nonzero().double()).min()
        for name in ("poisson_disk", "random")
    }
    assert closest["poisson_disk"] >= 6.5
    assert closest["random"] < 3


def test_k_center_does_not_fill_the_picture_from_one_side():
    mask = mm.select(torch.zeros(1, 60, 60), "k_center", budget=360)[0]
    for half in (mask, mask.T):
        assert 160 <= half[:30].sum() <= 200


@pytest.mark.parametrize(("height", "width", "count"), [(100, 100, 100), (60, 120, 50)])
def test_grid_is_a_lattice_where_the_number_fits(height, width, count):
    places = mm.select(torch.zeros(1, height, width), "grid", budget=count)[0].nonzero()
    step = int((height * width / count) ** 0.5)
    assert len(places[:, 0].unique()) == height // step
    assert len(places[:, 1].unique()) == width // step
    assert torch.pdist(places.double()).min() >= step - 1


@pytest.mark.parametrize("name", ["grid", "poisson_disk", "k_center", "superpixel", "long_range"])
def test_selector_keeps_away_from_what_is_taken(name):
    taken = torch.zeros(1, 40, 40, dtype=torch.bool)
    taken[:, :20] = torch.rand(20, 40, generator=torch.Generator().manual_seed(0)) < 0.15
    mask = mm.select(torch.zeros(1, 40, 40), name, budget_new=40, taken=taken)
    assert (mask & ~taken)[:, 20:].sum() >= 30


@SETTINGS
@given(seed=st.integers(0, 2**32), share=st.sampled_from([0.01, 0.03, 0.3, 1.0]))
def test_snap_takes_the_nearest_free_pixel_each_time(seed, share):
    generator = np.random.default_rng(seed)
    free = generator.random((40, 51)) < share
    points = generator.uniform(-0.5, 1, (9, 2)) * free.shape
    points = points.clip(-0.5, np.array(free.shape) - 0.5)
    chosen, left = snap(points, free), free.copy()
    for point in points:
        places = np.argwhere(left)
        if len(places):
            left[tuple(places[np.square(places - point).sum(axis=1).argmin()])] = False
    assert (chosen == (free & ~left)).all()


def test_superpixel_takes_one_pixel_of_each_block_of_colour():
    blocks = torch.arange(12).reshape(1, 3, 4).repeat_interleave(10, 1).repeat_interleave(10, 2)
    picture = torch.stack([blocks % 2, blocks // 4 % 2, blocks % 3 / 2], dim=1).float()
    mask = mm.select(torch.zeros(1, 30, 40), "superpixel", budget=12, features=picture)
    assert sorted(blocks[mask].tolist()) == list(range(12))


def test_top_k_is_the_highest_and_of_equal_ones_the_first():
    scores = torch.tensor([[[1.0, 3.0, 1.0], [3.0, 1.0, -torch.inf]]])
    expected = torch.tensor([[[True, True, False], [True, False, False]]])
    assert torch.equal(mm.select(scores, "top_k", budget=3), expected)


def test_random_draws_all_alike_or_by_density():
    scores = torch.tensor([0.0, 1.0, 2.0]).log().reshape(1, 1, 3).expand(4000, 1, 3)
    alike = torch.where(scores > -torch.inf, scores, scores).clamp(min=-5)
    share = mm.select(alike, "random", budget=1).double().mean(dim=0).flatten()
    # Seven standard errors of 4000 draws.
    assert (share - 1 / 3).abs().max() < 7 * (2 / 9 / 4000) ** 0.5
    share = mm.select(scores, "random", budget=1, weighted=True).double().mean(dim=0).flatten()
    assert share[0] == 0
    assert abs(share[2] - 2 / 3) < 7 * (2 / 9 / 4000) ** 0.5
    both = mm.select(alike, "random", budget=2).double().mean(dim=0).flatten()
    assert (both - 2 / 3).abs().max() < 7 * (2 / 9 / 4000) ** 0.5

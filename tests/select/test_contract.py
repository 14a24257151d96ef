"""What every selector promises, whatever it is asked for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from selections import requests

import mrfmask as mm

NAMES = list(mm.SELECTORS)
SETTINGS = settings(max_examples=40, deadline=None)


def options(name, request):
    """Features for the selectors that look at them."""
    return {"features": request["features"]} if "features" in mm.SELECTORS[name].uses else {}


def choose(name, request, **changes):
    arguments = {
        "budget_new": request["new"],
        "taken": request["taken"],
        **options(name, request),
        **changes,
    }
    return mm.select(request["scores"], name, **arguments)


@pytest.mark.parametrize("name", NAMES)
@SETTINGS
@given(request=requests())
def test_selector_meets_every_budget_on_allowed_pixels(name, request):
    scores, taken = request["scores"], request["taken"]
    mask = choose(name, request)
    assert mask.shape == scores.shape
    assert mask.dtype == torch.bool
    assert (mask & ~taken).sum(dim=(1, 2)).tolist() == request["new"]
    assert mask[taken].all()
    assert not (mask & ~taken)[scores == -torch.inf].any()
    total = (taken.sum(dim=(1, 2)) + torch.tensor(request["new"])).tolist()
    assert torch.equal(choose(name, request, budget=total, budget_new=None), mask)


@pytest.mark.parametrize("name", ["k_center", "superpixel"])
@SETTINGS
@given(request=requests())
def test_selector_meets_every_budget_without_features(name, request):
    mask = mm.select(request["scores"], name, budget_new=request["new"], taken=request["taken"])
    assert (mask & ~request["taken"]).sum(dim=(1, 2)).tolist() == request["new"]


@pytest.mark.parametrize("name", NAMES)
@SETTINGS
@given(request=requests(most_images=3), seed=st.integers(0, 2**40))
def test_selector_answers_each_image_as_if_it_were_alone(name, request, seed):
    batch = len(request["scores"])
    seeds = {"seed": [seed + b for b in range(batch)]} if "seed" in mm.SELECTORS[name].uses else {}
    together = choose(name, request, **seeds)
    for b in range(batch):
        alone = {key: value[b : b + 1] for key, value in request.items()}
        one = {key: value[b : b + 1] for key, value in seeds.items()}
        assert torch.equal(choose(name, alone, **one)[0], together[b])


@pytest.mark.parametrize("name", NAMES)
def test_selector_does_not_depend_on_threads(name):
    threads = torch.get_num_threads()
    scores = torch.randn(5, 20, 37, generator=torch.Generator().manual_seed(0))
    try:
        masks = []
        for count in (1, 3):
            torch.set_num_threads(count)
            masks.append(mm.select(scores, name, budget=0.05))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*masks)


@pytest.mark.parametrize("name", [n for n in NAMES if "seed" in mm.SELECTORS[n].uses])
def test_seed_decides_what_is_drawn(name):
    scores = torch.zeros(2, 20, 20)
    first, again, other = (mm.select(scores, name, budget=9, seed=s) for s in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("name", [n for n in NAMES if "cost" in mm.SELECTORS[n].uses])
@SETTINGS
@given(request=requests(), share=st.floats(0, 1.2))
def test_selector_spends_all_that_it_can_and_no_more(name, request, share):
    scores, taken = request["scores"], request["taken"]
    generator = torch.Generator().manual_seed(int(share * 1e6))
    cost = torch.randint(1, 9, scores.shape, generator=generator)
    limits = (cost.sum(dim=(1, 2)) * share).long().tolist()
    mask = mm.select(scores, name, budget_new=limits, taken=taken, cost=cost)
    for b, limit in enumerate(limits):
        new = mask[b] & ~taken[b]
        left = limit - int(cost[b][new].sum())
        assert left >= 0
        still_free = ~mask[b] & (scores[b] > -torch.inf)
        assert not (cost[b][still_free] <= left).any()


def test_budget_is_a_number_a_share_or_one_an_image():
    scores = torch.zeros(2, 10, 15)

    def counts(budget):
        return mm.select(scores, "top_k", budget=budget).sum(dim=(1, 2)).tolist()

    assert counts(7) == [7, 7]
    assert counts(1) == [1, 1]
    assert counts(1.0) == [150, 150]
    assert counts(0.05) == [8, 8]  # 7.5, rounded up
    assert counts([3, 0.1]) == [3, 15]
    assert counts(torch.tensor([0, 4])) == [0, 4]
    assert mm.select(scores[:0], "long_range", budget=3).shape == (0, 10, 15)
    assert mm.select(scores[:0], "random", budget=3).shape == (0, 10, 15)

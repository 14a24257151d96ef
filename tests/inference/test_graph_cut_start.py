"""A cut that starts from an earlier one is the cut that starts from nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import grids, random_grid

from mrfmask import Annealing, GraphCut, IsingGrid


def assert_same_cut(model, earlier, **options):
    cold = GraphCut(**options).find_map(model)
    warm = GraphCut(**options, start=earlier).find_map(model)
    assert torch.equal(warm.mask, cold.mask)
    assert torch.equal(warm.lower_bound, cold.lower_bound)
    assert warm.verify(model)


@st.composite
def two_models(draw):
    """Two models of one shape, each associative or (without wrapping) repulsive."""
    first = draw(grids(signs="associative", dtype=torch.float32))
    _, height, width = first.shape
    second = random_grid(
        1,
        height,
        width,
        coupling=draw(st.sampled_from([0.0, 0.3, 4.0])),
        periodic=first.periodic,
        seed=draw(st.integers(0, 99)),
        signs=draw(
            st.sampled_from(["associative"] if first.periodic else ["associative", "repulsive"])
        ),
    )
    power = draw(st.sampled_from([-40, -3, 0, 3, 40]))
    return first, IsingGrid(
        second.unary * 2.0**power,
        second.right * 2.0**power,
        second.down * 2.0**power,
        periodic=first.periodic,
    )


@given(two_models(), st.sampled_from(["min", "max"]), st.booleans())
def test_graph_cut_from_any_other_cut_is_the_same(models, tie, lossless):
    for model, other in (models, models[::-1]):
        earlier = GraphCut(lossless=lossless).find_map(other)
        assert_same_cut(model, earlier, tie=tie)
        assert_same_cut(model, GraphCut().find_map(other), tie=tie, lossless=lossless)


@pytest.mark.parametrize("coupling", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("share", [0.0, 0.002, 0.3])
def test_graph_cut_follows_changed_pixels_of_large_images(coupling, share):
    model = random_grid(2, 90, 130, coupling=coupling, seed=1)
    earlier = GraphCut().find_map(model)
    fresh = random_grid(2, 90, 130, seed=2).unary
    changed = torch.rand(fresh.shape, generator=torch.Generator().manual_seed(3)) < share
    unary = torch.where(changed, fresh, model.unary)
    clamps = torch.zeros_like(changed)
    clamps[:, 40, ::9] = True
    moved = replace(model, unary=unary)
    assert_same_cut(moved, earlier)
    assert_same_cut(moved.clamp(off=clamps), earlier)
    assert_same_cut(replace(moved, right=model.right / 3), earlier)
    weaker = torch.where(changed[..., 1:], 0.7 * model.right, model.right)
    assert_same_cut(replace(moved, right=weaker), earlier)


def test_graph_cut_from_its_own_cut_keeps_it():
    model = random_grid(3, 40, 50, coupling=1.5, seed=4)
    assert_same_cut(model, GraphCut().find_map(model))


def test_graph_cut_start_says_what_is_wrong():
    model = random_grid(1, 5, 6)
    earlier = GraphCut().find_map(model)
    with pytest.raises(TypeError, match="start must be a MapResult; got Tensor"):
        GraphCut(start=earlier.mask)
    with pytest.raises(ValueError, match="start must be a result of graph_cut; got one of anneal"):
        GraphCut(start=Annealing(sweeps=2).find_map(model)).find_map(model)
    with pytest.raises(ValueError, match=r"start must fit the model's couplings .*got flows of"):
        GraphCut(start=earlier).find_map(random_grid(1, 6, 5))
    with pytest.raises(ValueError, match="start must fit"):
        GraphCut(start=earlier).find_map(random_grid(2, 5, 6))

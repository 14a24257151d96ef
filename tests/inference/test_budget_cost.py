"""Masks whose pixels cost at most so much: limits, bounds and proofs against enumeration."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import enumerate_image
from strategies import grids, random_grid

import mrfmask as mm
from mrfmask import ops
from mrfmask.inference.budget import Limit, penalised
from mrfmask.inference.lagrange import dual_by_strips


def random_cost(model, seed, most=9):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, most + 1, model.shape, generator=generator)


def least_energies(model, cost):
    """The least energy of masks that cost at most 0, 1, ... up to what all pixels cost."""
    table = enumerate_image(model)
    spent = (torch.from_numpy(table.masks) * cost).sum(dim=(1, 2))
    lowest = torch.full((int(cost.sum()) + 1,), torch.inf, dtype=torch.float64)
    lowest.scatter_reduce_(0, spent, torch.from_numpy(table.energies), "amin")
    return lowest.cummin(dim=0).values


def some_grid(signs, seed, side=4):
    """One image with an odd pixel clamped on and, from the second seed on, one off."""
    model = random_grid(1, side, side, coupling=(0.3, 1.0, 2.0)[seed % 3], signs=signs, seed=seed)
    clamp = torch.zeros(1, side, side, dtype=torch.bool)
    clamp[0, 1, 2] = True
    return model.clamp(on=clamp, off=clamp.roll(1, 2) & (seed > 0))


@pytest.mark.parametrize("signs", ["associative", "repulsive", "any"])
@pytest.mark.parametrize("seed", range(2))
def test_find_map_with_costs_keeps_and_bounds_every_budget(signs, seed):
    model = some_grid(signs, seed)
    cost = random_cost(model, seed)
    lowest = least_energies(model, cost)
    for budget in range(int(cost[0, 1, 2]), len(lowest)):
        result = mm.find_map(model, budget=budget, cost=cost)
        assert int((result.mask * cost).sum()) <= budget
        assert result.lower_bound.item() <= lowest[budget] + 1e-9
        assert result.energy.item() >= lowest[budget] - 1e-9
        assert result.verify(model)
        if result.status[0] is mm.Status.OPTIMAL:
            assert result.energy.item() == pytest.approx(lowest[budget].item(), abs=1e-5)
    assert result.status[0] is mm.Status.OPTIMAL  # all that is worth having can be had


@given(grids(), st.data())
def test_find_map_with_costs_bounds_the_best_mask_of_any_model(model, data):
    cost = random_cost(model, data.draw(st.integers(0, 99)), data.draw(st.sampled_from([1, 3, 60])))
    lowest = least_energies(model, cost[0])
    least = int(cost[model.unary == torch.inf].sum())
    budget = data.draw(st.integers(least, len(lowest) - 1))
    result = mm.find_map(model, budget=budget, cost=cost)
    assert int((result.mask * cost).sum()) <= budget
    assert result.lower_bound.item() <= lowest[budget] + 1e-9
    assert lowest[budget] - 1e-9 <= result.energy.item() < torch.inf
    assert result.verify(model)
    same = mm.find_map(model, budget_new=budget - least, cost=cost)
    assert torch.equal(same.mask, result.mask)


@pytest.mark.parametrize("signs", ["associative", "repulsive", "any"])
def test_ilp_finds_the_best_mask_of_every_cost(signs):
    model = some_grid(signs, 2)
    cost = random_cost(model, 2, most=4)
    lowest = least_energies(model, cost)
    for budget in range(int(cost[0, 1, 2]), len(lowest)):
        result = mm.find_map(model, method="ilp", budget=budget, cost=cost)
        assert int((result.mask * cost).sum()) <= budget
        assert result.energy.item() == pytest.approx(lowest[budget].item(), abs=1e-4)
        assert result.lower_bound.item() <= lowest[budget] + 1e-9
        assert result.gap.item() <= 1e-4
        assert result.status[0] is mm.Status.OPTIMAL


@pytest.mark.parametrize("signs", ["associative", "repulsive", "any"])
def test_ilp_finds_the_best_mask_of_at_most_any_count(signs):
    model = some_grid(signs, 1)
    lowest = least_energies(model, torch.ones(model.shape, dtype=torch.int64))
    for budget in range(1, 16):
        result = mm.find_map(model, method="ilp", budget=budget, at_most=True)
        assert int(result.mask.sum()) <= budget
        assert result.energy.item() == pytest.approx(lowest[budget].item(), abs=1e-4)
        assert result.lower_bound.item() <= lowest[budget] + 1e-9


@given(grids(), st.data())
def test_keep_limit_ends_where_no_pixel_and_no_neighbours_better_the_mask(model, data):
    cost = random_cost(model, data.draw(st.integers(0, 99)), data.draw(st.sampled_from([1, 3, 60])))
    least = int(cost[model.unary == torch.inf].sum())
    limit = data.draw(st.integers(least, int(cost.sum())))
    start = torch.where(model.clamped, model.unary > 0, data.draw(st.booleans()))
    potentials = (model.unary, model.right, model.down, model.periodic)
    mask = ops.keep_limit(*potentials, cost, torch.tensor([limit]), start)
    assert int((mask * cost).sum()) <= limit
    energy = model.energy(mask).item()
    assert energy < torch.inf
    first, second = model.edges.T
    changes = [(i,) for i in range(mask.numel())] + list(
        zip(first.tolist(), second.tolist(), strict=True)
    )
    for pixels in changes:
        other = mask.flatten().clone()
        if len(pixels) == 2 and other[pixels[0]] == other[pixels[1]]:
            continue
        other[list(pixels)] = ~other[list(pixels)]
        other = other.view_as(mask)
        if int((other * cost).sum()) <= limit:
            assert model.energy(other).item() >= energy - 1e-6


@given(grids(), st.floats(-3, 3))
def test_penalised_energies_charge_for_the_cost_of_every_pixel_on(model, penalty):
    cost = random_cost(model, 3)
    masks = torch.from_numpy(enumerate_image(model).masks)
    limit = Limit(amount=torch.tensor([7]), cost=cost, at_most=True)
    charged = penalised(model, torch.tensor([penalty], dtype=torch.float64), limit)
    spent = (masks * cost).sum(dim=(1, 2)).double()
    expected = model.energy(masks[None])[0] + penalty * (spent - 7)
    torch.testing.assert_close(charged.energy(masks[None])[0], expected)


def test_penalties_for_at_most_are_never_negative():
    # More than the best mask has: for just so many a negative penalty would prove more.
    model = random_grid(1, 4, 4, signs="any", seed=1)
    lowest = least_energies(model, torch.ones(model.shape, dtype=torch.int64))
    for count in range(12, 17):
        dual = dual_by_strips(model, Limit(amount=torch.tensor([count]), at_most=True))
        assert dual.penalty.item() >= 0.0
        assert dual.lower_bound.item() <= lowest[count] + 1e-9


def test_equal_costs_are_a_number_of_pixels():
    for signs in ("associative", "repulsive"):
        model = random_grid(2, 20, 25, coupling=0.3, signs=signs, seed=3)
        cost = torch.full(model.shape, 7)
        by_cost = mm.find_map(model, budget=[7 * 40 + 6, 7 * 90], cost=cost)
        by_count = mm.find_map(model, budget=[40, 90], at_most=True)
        assert (by_cost.mask.sum(dim=(1, 2)) <= torch.tensor([40, 90])).all()
        # What is left of the first budget buys a part of a pixel in the bound.
        assert by_cost.lower_bound[1].item() == pytest.approx(by_count.lower_bound[1].item())
        assert by_cost.lower_bound[0].item() <= by_count.lower_bound[0].item() + 1e-6
        assert (by_cost.energy - by_count.energy).abs().max() < 0.1


@pytest.mark.parametrize("signs", ["associative", "repulsive"])
def test_cost_budgets_of_large_images_have_small_gaps(signs):
    model = random_grid(2, 60, 70, coupling=0.3, signs=signs, seed=7)
    cost = random_cost(model, 1, most=100)
    budget = [int(c * share) for c, share in zip(cost.sum(dim=(1, 2)), (0.02, 0.1), strict=True)]
    result = mm.find_map(model, budget=budget, cost=cost)
    assert ((result.mask * cost).sum(dim=(1, 2)) <= torch.tensor(budget)).all()
    assert (result.gap <= 0.2).all()  # a tenth of what a pixel changes
    assert result.verify(model)
    dear = mm.find_map(model, budget=[b + 100 for b in budget], cost=cost).mask
    assert not result.certificate.proves(model, dear, result.lower_bound)


def test_a_batch_with_costs_has_every_image_as_if_alone():
    kinds = [random_grid(1, 6, 5, coupling=1.0, signs=s) for s in ("associative", "any")]
    model = mm.IsingGrid(
        *(torch.cat([getattr(m, name) for m in kinds]) for name in ("unary", "right", "down"))
    )
    cost = random_cost(model, 5)
    together = mm.find_map(model, budget=[31, 200], cost=cost)
    for image, budget in ((0, 31), (1, 200)):
        alone = mm.find_map(model[image], budget=budget, cost=cost[image : image + 1])
        assert together.energy[image].item() == alone.energy.item()
        assert together.lower_bound[image].item() == alone.lower_bound.item()
    assert together.verify(model)


MODEL = random_grid(1, 3, 4).clamp(on=torch.arange(12).view(1, 3, 4) == 5)
COST = torch.full((1, 3, 4), 3)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cost": COST}, TypeError, "cost must come with a budget; got Tensor alone"),
        ({"budget": 9, "cost": COST, "at_most": False}, ValueError, "at_most must be True with"),
        ({"budget": 0.5, "cost": COST}, TypeError, "budget must be an int where cost is given"),
        ({"budget": 2, "cost": COST}, ValueError, "budget must be at least 3 for image 0, what"),
        ({"budget": 9, "cost": COST * 0}, ValueError, "cost must be at least 1; got 0"),
        ({"budget": 9, "cost": COST[0]}, ValueError, r"cost must have shape \(1, 3, 4\) on cpu"),
        ({"budget": 9, "cost": COST.float()}, TypeError, "cost must be a tensor of ints; got tor"),
        ({"budget": 9, "cost": [[3]]}, TypeError, "cost must be a tensor of ints; got list"),
        ({"budget": 9, "cost": COST + 2**60}, ValueError, r"cost must sum to less than 2\^53"),
    ],
)
def test_cost_messages_name_the_rule_and_the_value(options, error, message):
    with pytest.raises(error, match=message):
        mm.find_map(MODEL, **options)

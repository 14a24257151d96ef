"""Masks with a given number of pixels on: counts, bounds and proofs against enumeration."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import enumerate_image
from strategies import grids, random_grid

import mrfmask as mm
from mrfmask import ops
from mrfmask.inference.budget import Limit, count_limits, penalised


def all_masks(model):
    """Every mask, its energy and its count of pixels on."""
    table = enumerate_image(model)
    masks = torch.from_numpy(table.masks)
    return masks, torch.from_numpy(table.energies), masks.flatten(1).sum(dim=1)


def energies_by_count(model):
    """The lowest energy for every count of pixels on; +inf where no mask fits the clamps."""
    _, energies, counts = all_masks(model)
    pixels = model.unary[0].numel()
    lowest = torch.full((pixels + 1,), torch.inf, dtype=torch.float64)
    return lowest.scatter_reduce(0, counts, energies, "amin")


@given(grids())
def test_find_map_with_any_budget_bounds_the_best_mask_of_that_count(model):
    lowest = energies_by_count(model)
    least, most = (int(limit) for limit in count_limits(model))
    for count in range(least, most + 1):
        result = mm.find_map(model, budget=count)
        slack = 1e-5 * (1 + lowest[count].abs())
        assert int(result.mask.sum()) == count
        assert result.lower_bound.item() <= lowest[count] + 1e-9
        assert result.energy.item() >= lowest[count] - 1e-9
        assert result.verify(model)
        if result.status[0] is mm.Status.OPTIMAL:
            assert result.energy.item() <= lowest[count] + slack


@pytest.mark.parametrize("signs", ["associative", "repulsive", "any"])
@pytest.mark.parametrize("seed", range(3))
def test_ilp_finds_the_best_mask_of_every_count_and_find_map_bounds_it(signs, seed):
    model = random_grid(1, 4, 4, coupling=(0.3, 1.0, 2.0)[seed], signs=signs, seed=seed)
    clamps = torch.zeros(1, 4, 4, dtype=torch.bool)
    clamps[0, 1, 2] = seed > 0
    model = model.clamp(on=clamps, off=clamps.roll(1, 2) & (seed > 1))
    lowest = energies_by_count(model)
    least, most = (int(limit) for limit in count_limits(model))
    for count in range(least, most + 1):
        found = mm.find_map(model, budget=count)
        assert int(found.mask.sum()) == count
        assert found.lower_bound.item() <= lowest[count] + 1e-9 <= found.energy.item() + 2e-9
        result = mm.find_map(model, method="ilp", budget=count)
        assert int(result.mask.sum()) == count
        assert result.energy.item() == pytest.approx(lowest[count].item(), abs=1e-4)
        assert result.lower_bound.item() <= lowest[count] + 1e-9
        assert result.gap.item() <= 1e-4
        assert result.status[0] is mm.Status.OPTIMAL


@given(grids(), st.data())
def test_at_most_bounds_all_masks_with_no_more_pixels(model, data):
    lowest = energies_by_count(model)
    least, most = (int(limit) for limit in count_limits(model))
    count = data.draw(st.integers(least, most))
    result = mm.find_map(model, budget=count, at_most=True)
    best = lowest[: count + 1].min()
    assert int(result.mask.sum()) <= count
    assert result.lower_bound.item() <= best + 1e-9
    assert result.energy.item() >= best - 1e-9


def test_at_most_keeps_a_mask_with_fewer_pixels_that_is_better():
    """Nobody alone: all off is far better than three pixels on."""
    unary = torch.full((1, 4, 4), 0.05)
    model = mm.IsingGrid(unary, torch.ones(1, 4, 3), torch.ones(1, 3, 4))
    for budget in (3, 6, 8, 12):
        result = mm.find_map(model, budget=budget, at_most=True)
        assert not result.mask.any()


def test_at_most_more_than_can_be_on_is_no_limit():
    unary = torch.tensor([[[0.3, 0.2, -torch.inf]]])
    model = mm.IsingGrid(unary, torch.zeros(1, 1, 2), torch.zeros(1, 0, 3))
    for budget in (2, 3, 10):
        result = mm.find_map(model, budget=budget, at_most=True)
        assert result.mask.tolist() == [[[True, True, False]]]
        assert result.gap.item() <= 1e-6


@given(grids(), st.data())
def test_repair_reaches_the_count_and_no_swap_betters_it(model, data):
    least, most = (int(limit) for limit in count_limits(model))
    count = data.draw(st.integers(least, most))
    mask = ops.reach_count(
        model.unary,
        model.right,
        model.down,
        model.periodic,
        torch.tensor([count]),
        model.unary > 0,
    )
    assert int(mask.sum()) == count
    energy = model.energy(mask).item()
    assert energy < torch.inf
    flat = mask.flatten()
    for on in flat.nonzero().flatten().tolist():
        for off in (~flat).nonzero().flatten().tolist():
            other = flat.clone()
            other[on], other[off] = False, True
            assert model.energy(other.view_as(mask)).item() >= energy - 1e-6


@given(grids(), st.floats(-3, 3))
def test_penalised_energies_charge_for_every_pixel_on(model, penalty):
    masks, _, on = all_masks(model)
    masks = masks[None]
    charged = penalised(
        model, torch.tensor([penalty], dtype=torch.float64), Limit(amount=torch.tensor([2]))
    )
    expected = model.energy(masks)[0] + penalty * (on.double() - 2)
    torch.testing.assert_close(charged.energy(masks)[0], expected)


@pytest.mark.parametrize("signs", ["associative", "repulsive"])
def test_budgets_of_large_images_have_small_gaps(signs):
    model = random_grid(2, 60, 70, coupling=0.3, signs=signs, seed=7)
    result = mm.find_map(model, budget=(0.02, 420))
    assert result.mask.sum(dim=(1, 2)).tolist() == [84, 420]
    assert (result.gap <= 0.05).all()
    assert result.verify(model)
    wrong = mm.find_map(model, budget=(84, 421))
    assert not result.certificate.proves(model, wrong.mask, result.lower_bound)


@pytest.mark.parametrize("signs", ["associative", "repulsive", "any"])
def test_ilp_has_few_pixels_left_to_settle(signs):
    model = random_grid(1, 30, 40, coupling=1.0, signs=signs, seed=3)
    found = mm.find_map(model, budget=0.1)
    closed = mm.find_map(model, budget=0.1, method="ilp")
    assert closed.status == (mm.Status.OPTIMAL,)
    assert closed.stats["settled"].item() >= 900 or found.status == (mm.Status.OPTIMAL,)
    assert found.lower_bound.item() <= closed.energy.item() + 1e-6
    assert closed.energy.item() <= found.energy.item() + 1e-9


def test_a_batch_of_all_kinds_has_every_image_as_if_alone():
    kinds = [random_grid(1, 6, 5, coupling=1.0, signs=s) for s in ("associative", "any")]
    model = mm.IsingGrid(
        *(torch.cat([getattr(m, name) for m in kinds]) for name in ("unary", "right", "down"))
    )
    together = mm.find_map(model, budget=[7, 8])
    for image, budget in ((0, 7), (1, 8)):
        alone = mm.find_map(model[image], budget=budget)
        assert together.energy[image].item() == alone.energy.item()
        assert together.lower_bound[image].item() == alone.lower_bound.item()
    assert together.verify(model)


def test_a_batch_of_no_images_has_no_masks():
    model = random_grid(1, 6, 5)[:0]
    for options in ({"budget": 3}, {"budget": 0.1, "at_most": True}, {"budget_new": []}):
        assert mm.find_map(model, **options).mask.shape == (0, 6, 5)


def test_budget_new_counts_on_top_of_the_clamped():
    model = random_grid(1, 6, 6)
    taken = torch.zeros(1, 6, 6, dtype=torch.bool)
    taken[0, 2:4, 2:4] = True
    result = mm.find_map(model.clamp(on=taken), budget_new=3)
    assert int(result.mask.sum()) == 7
    assert result.mask[taken].all()


def test_a_budget_is_a_number_a_fraction_or_one_of_them_an_image():
    model = random_grid(2, 6, 7)

    def counts(**budget):
        return mm.find_map(model, **budget).mask.sum(dim=(1, 2)).tolist()

    assert counts(budget=1) == [1, 1]
    assert counts(budget=1.0) == [42, 42]
    assert counts(budget=0) == counts(budget=0.0) == [0, 0]
    assert counts(budget=0.25) == [10, 10]  # 10.5, rounded to even
    assert counts(budget=[3, 0.5]) == [3, 21]
    assert counts(budget=torch.tensor([4, 40])) == [4, 40]
    assert counts(budget_new=(5, 0.1)) == [5, 4]


@pytest.mark.parametrize("method", ["auto", "ilp"])
@pytest.mark.parametrize("signs", ["associative", "repulsive", "any"])
def test_a_budget_that_clamps_rule_out_is_refused(method, signs):
    model = random_grid(2, 3, 4, signs=signs)
    on = torch.zeros(2, 3, 4, dtype=torch.bool)
    on[1, 0, :3] = True
    model = model.clamp(on=on, off=on.roll(1, 1))
    for name, value in (("budget", 2), ("budget", [3, 10]), ("budget_new", 7)):
        with pytest.raises(ValueError, match=f"{name} must leave a mask between the 3 pixels .*"):
            mm.find_map(model, method=method, **{name: value})
    for name, value in (("budget", [0, 3]), ("budget", [12, 9]), ("budget_new", 6)):
        assert mm.find_map(model, method=method, **{name: value}).energy.isfinite().all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"budget": 37}, ValueError, "budget must leave a mask between .* got 37 pixels for image"),
        ({"budget": -1}, ValueError, "budget must not be negative; got -1"),
        ({"budget": 1.5}, ValueError, r"budget must lie in \[0, 1\]"),
        ({"budget": "2%"}, TypeError, "budget must be an int, or a fraction"),
        ({"budget": True}, TypeError, "budget must be an int, or a fraction"),
        ({"budget": [1, 2]}, ValueError, "budget must be one number or one an image; got 2 for 1"),
        ({"budget": 1, "budget_new": 1}, TypeError, "budget must be given without budget_new"),
        ({"budget": 1, "method": "gibbs"}, ValueError, "method must be 'auto' or 'ilp' with a"),
        (
            {"budget": 1, "tie": "max"},
            TypeError,
            "options must be ones that auto has with a budget",
        ),
        ({"at_most": True}, TypeError, "at_most must come with a budget"),
        ({"budget": 1, "at_most": 1}, TypeError, "at_most must be a bool"),
    ],
)
def test_budget_messages_name_the_rule_and_the_value(options, error, message):
    with pytest.raises(error, match=message):
        mm.find_map(random_grid(1, 6, 6), **options)

"""Bounds by strips, never above a mask: enumeration, exact elimination, chains, any signs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import enumerate_image
from strategies import grids, random_grid

import mrfmask as mm
from mrfmask.inference.budget import Limit, count_limits
from mrfmask.inference.closing import close_by_ilp
from mrfmask.inference.strips import strip_bound, strip_dual

EFFORTS = st.tuples(st.integers(2, 8), st.integers(1, 4)).map(
    lambda both: {"rows": both[0], "sweeps": both[1]}
)


def lowest_by_count(model):
    """The lowest energy for every count of pixels on; +inf where no mask fits the clamps."""
    table = enumerate_image(model)
    on = torch.from_numpy(table.masks).flatten(1).sum(dim=1)
    lowest = torch.full((model.unary[0].numel() + 1,), torch.inf, dtype=torch.float64)
    return lowest.scatter_reduce(0, on, torch.from_numpy(table.energies), "amin")


@given(grids(), EFFORTS)
def test_bound_is_below_every_energy_and_masks_honour_clamps(model, effort):
    dual = strip_dual(model, **effort)
    minimum = enumerate_image(model).minimum()
    assert dual.lower_bound.item() <= minimum + 1e-12
    assert strip_bound(model).item() <= minimum + 1e-12
    assert model.energy(dual.fewer).item() < torch.inf
    assert torch.equal(dual.fewer, dual.more)


@given(grids(), EFFORTS)
def test_bound_of_a_count_is_below_every_mask_that_has_it(model, effort):
    lowest = lowest_by_count(model)
    least, most = (int(limit) for limit in count_limits(model))
    for count in range(least, most + 1):
        dual = strip_dual(model, Limit(amount=torch.tensor([count])), **effort)
        assert dual.lower_bound.item() <= lowest[count] + 1e-12
        assert int(dual.fewer.sum()) <= count <= int(dual.more.sum())
        assert model.energy(dual.fewer).item() < torch.inf
        assert model.energy(dual.more).item() < torch.inf


@given(grids(), st.booleans(), EFFORTS)
def test_masks_without_an_advantage_cost_as_much_more(model, counted, effort):
    table = enumerate_image(model)
    masks, energies = torch.from_numpy(table.masks), torch.from_numpy(table.energies)
    least, most = (int(limit) for limit in count_limits(model))
    counts = torch.tensor([(least + most) // 2]) if counted else None
    dual = strip_dual(model, Limit(amount=counts) if counted else None, **effort)
    if counted:
        has_it = masks.flatten(1).sum(dim=1) == counts
        masks, energies = masks[has_it], energies[has_it]
    without = masks != (dual.advantage[0] > 0)
    excess = torch.where(without, dual.advantage[0].abs(), 0.0)
    assert (energies[:, None, None] >= dual.lower_bound + excess - 1e-12).all()
    assert (dual.advantage[model.clamped] == 0).all()


@given(grids(periodic=False))
def test_bound_of_one_strip_is_the_minimum(model):
    result = mm.Strips().find_map(model)
    minimum = enumerate_image(model).minimum()
    assert result.lower_bound.item() == pytest.approx(minimum, abs=1e-9)
    assert result.energy.item() == pytest.approx(minimum, abs=1e-9)
    assert result.status == (mm.Status.OPTIMAL,)


@given(grids(periodic=False), st.data())
def test_bound_of_a_count_is_that_of_the_best_penalty_in_one_strip(model, data):
    lowest = lowest_by_count(model)
    least, most = (int(limit) for limit in count_limits(model))
    count = data.draw(st.integers(least, most))
    chords = [lowest[count]]
    for few in range(least, count):
        for many in range(count + 1, most + 1):
            share = (count - few) / (many - few)
            chords.append((1 - share) * lowest[few] + share * lowest[many])
    dual = strip_dual(model, Limit(amount=torch.tensor([count])))
    assert dual.lower_bound.item() == pytest.approx(min(chords).item(), abs=1e-9)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("coupling", [0.5, 2.0])
def test_no_sweep_lowers_the_bound(coupling, periodic):
    model = random_grid(3, 12, 13, coupling=coupling, signs="any", periodic=periodic, seed=2)
    model = mm.IsingGrid(0.3 * model.unary, model.right, model.down, periodic=periodic)
    before = torch.full((3,), -torch.inf, dtype=torch.float64)
    for sweeps in range(1, 12):
        bound = strip_dual(model, rows=4, sweeps=sweeps).lower_bound
        assert (bound >= before - 1e-9).all()
        before = bound


@pytest.mark.parametrize("coupling", [0.3, 1.0, 2.0])
def test_bound_is_above_that_of_chains_with_half_the_unaries(coupling):
    model = random_grid(1, 11, 13, coupling=coupling, signs="any", seed=5)
    rows = mm.IsingGrid(
        model.unary.transpose(0, 1) / 2, model.right.transpose(0, 1), torch.zeros(11, 0, 13)
    )
    columns = mm.IsingGrid(
        model.unary.permute(2, 1, 0) / 2, torch.zeros(13, 11, 0), model.down.permute(2, 1, 0)
    )
    chains = sum(mm.Exact().find_map(part).energy.sum() for part in (rows, columns))
    assert strip_bound(model).item() > chains.item()


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("coupling", [0.3, 1.0, 2.0])
def test_bound_is_below_the_minimum_of_larger_grids(coupling, periodic):
    size = (6, 9) if periodic else (12, 14)
    model = random_grid(3, *size, coupling=coupling, signs="any", periodic=periodic, seed=3)
    minimum = mm.Exact().find_map(model).energy
    for rows in (3, 4, 6):
        result = mm.Strips(rows=rows).find_map(model)
        assert (result.lower_bound <= minimum + 1e-9).all()
        for status, energy, best in zip(result.status, result.energy, minimum, strict=True):
            if status is mm.Status.OPTIMAL:
                assert energy.item() == pytest.approx(best.item(), abs=1e-4)


def test_bound_holds_over_a_wide_range_of_potentials():
    generator = torch.Generator().manual_seed(0)
    for seed in range(8):
        plain = random_grid(1, 4, 4, signs="any", periodic=seed % 2 > 0, seed=seed)
        wide = [
            t.double() * 10.0 ** (12 * torch.rand(t.shape, generator=generator).double() - 6)
            for t in (plain.unary, plain.right, plain.down)
        ]
        model = mm.IsingGrid(*wide, periodic=plain.periodic)
        minimum = enumerate_image(model).minimum()
        assert strip_dual(model, rows=3).lower_bound.item() <= minimum
        if not model.periodic:
            assert strip_dual(model).lower_bound.item() == pytest.approx(minimum, rel=1e-11)


@pytest.mark.parametrize("size", [(40, 50), (50, 40)])
def test_strips_prove_large_images_of_mixed_signs_optimal(size):
    model = random_grid(2, *size, coupling=0.5, signs="any", seed=1)
    result = mm.Strips().find_map(model)
    assert result.status == (mm.Status.OPTIMAL,) * 2
    assert (result.gap <= 1e-6).all()
    annealed = mm.Annealing(sweeps=300).find_map(model)
    assert (annealed.energy >= result.lower_bound).all()


def test_wider_strips_leave_a_smaller_gap():
    model = random_grid(2, 20, 20, coupling=1.0, signs="any", seed=0)
    model = mm.IsingGrid(0.2 * model.unary, model.right, model.down)
    narrow, wide = (strip_dual(model, rows=rows).lower_bound for rows in (3, 8))
    assert (wide >= narrow).all()
    assert (wide > narrow + 0.1).any()


def test_program_of_what_is_not_settled_gives_bounds_of_the_whole():
    model = random_grid(1, 12, 12, coupling=1.6, signs="any", seed=20)
    best = mm.Exact().find_map(model)
    found = mm.Strips(rows=3, sweeps=1).find_map(model)
    assert (found.energy > best.energy + 0.1).all()
    hurried = close_by_ilp(model, found, None, 1e-3)
    assert hurried.stats["settled"].item() > 70
    assert (hurried.lower_bound <= best.energy + 1e-9).all()
    assert (hurried.lower_bound < hurried.energy).all()
    closed = close_by_ilp(model, found, None, None)
    assert closed.energy.item() == pytest.approx(best.energy.item(), abs=1e-4)
    assert (closed.lower_bound <= best.energy + 1e-9).all()

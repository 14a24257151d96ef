"""A path proves itself, and a path that is wrong anywhere does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from strategies import grids, random_grid

import mrfmask as mm
from mrfmask.inference.path_proof import _rounding

ALL = 10_000  # cuts: every breakpoint


def changed(values, place, by):
    """A tuple of tensors, the first of them other at one place."""
    first = values[0].clone()
    first[place] += by
    return (first, *values[1:])


def a_model():
    model = random_grid(2, 12, 15, coupling=0.7, seed=4, dtype=torch.float64)
    draw = torch.rand(model.shape, generator=torch.Generator().manual_seed(1))
    return model.clamp(on=draw < 0.05, off=draw > 0.95)


@given(grids(signs="associative"))
def test_verify_holds_for_every_path(model):
    assert mm.budget_path(model).verify(model, cuts=ALL)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("periodic", [False, True])
def test_verify_holds_for_batches_and_other_sizes(dtype, periodic):
    model = random_grid(3, 40, 30, coupling=0.6, periodic=periodic, dtype=dtype)
    assert mm.budget_path(model).verify(model)
    model = model.clamp(on=torch.ones(model.shape, dtype=torch.bool))
    assert mm.budget_path(model).verify(model)
    assert mm.budget_path(model[:0]).verify(model[:0])


def test_verify_holds_where_integers_round():
    model = random_grid(1, 30, 30, coupling=0.5, dtype=torch.float64)
    model.unary[0, 3, 3] = 2.0**20
    path = mm.budget_path(model)
    assert path.stats["rounding"] > 1e-8
    assert path.verify(model, cuts=ALL)


def without_mask(path, m):
    """The path with masks m and m + 1 of the first image made one."""
    order = path.order.clone()
    order[0] -= (order[0] > m).int()
    parts = {}
    for name in ("count", "energy", "lower_bound", "penalty"):
        values = list(getattr(path, name))
        keep = torch.arange(len(values[0])) != m
        values[0] = values[0][keep]
        parts[name] = tuple(values)
    energy, count = parts["energy"][0], parts["count"][0]
    penalty = parts["penalty"][0].clone()
    penalty[m] = (energy[m - 1] - energy[m]) / (count[m] - count[m - 1])
    parts["penalty"] = (penalty, *parts["penalty"][1:])
    return replace(path, order=order, **with_maps(path, order, penalty), **parts)


def with_maps(path, order, penalty):
    """Entry map and blocks of an order of the first image, blocks right only if alone in theirs."""
    entry = path.entry.clone()
    entry[0] = torch.cat([penalty, torch.tensor([-torch.inf]).double()])[order[0].long()]
    return {"entry": entry}


def swapped_pixels(path):
    """Two pixels of neighbouring masks change places; counts and penalties stay."""
    order, entry = path.order.clone(), path.entry.clone()
    first, second = ((order[0] == m).nonzero()[0].tolist() for m in (5, 40))
    for values in (order[0], entry[0]):
        one, other = values[tuple(first)].clone(), values[tuple(second)].clone()
        values[tuple(first)], values[tuple(second)] = other, one
    return replace(path, order=order, entry=entry)


def swapped_blocks(path):
    block = path.block.clone()
    block[path.block == 3], block[path.block == 4] = 4, 3
    return replace(path, block=block)


BREAKS = {
    "a count": lambda p: replace(p, count=changed(p.count, 7, 1)),
    "an energy": lambda p: replace(p, energy=changed(p.energy, 7, -1e-3)),
    "all energies": lambda p: replace(p, energy=tuple(e + 1e-3 for e in p.energy)),
    "a penalty": lambda p: replace(p, penalty=changed(p.penalty, 7, 1e-9)),
    "the first penalty": lambda p: replace(p, penalty=changed(p.penalty, 0, -torch.inf)),
    "a bound above": lambda p: replace(p, lower_bound=changed(p.lower_bound, 7, 1e-3)),
    "a bound below": lambda p: replace(p, lower_bound=changed(p.lower_bound, 7, -1e-3)),
    "NaN": lambda p: replace(p, energy=changed(p.energy, 7, torch.nan)),
    "the entry map": lambda p: replace(p, entry=p.entry + 1e-12),
    "an order too high": lambda p: replace(p, order=p.order + 1),
    "two pixels": swapped_pixels,
    "two blocks": swapped_blocks,
    "blocks made one": lambda p: replace(p, block=p.block.clamp(max=20)),
    "no blocks": lambda p: replace(p, block=torch.full_like(p.block, -1)),
    "a mask left out": lambda p: without_mask(p, 9),
    "the scale": lambda p: replace(p, stats={**p.stats, "exponent": p.stats["exponent"] - 30}),
    "the rounding": lambda p: replace(p, stats={**p.stats, "rounding": p.stats["rounding"] + 1.0}),
    "a length": lambda p: replace(p, count=(p.count[0][:-1], *p.count[1:])),
}


@pytest.mark.parametrize("what", BREAKS)
def test_verify_sees_a_path_that_is_wrong(what):
    model = a_model()
    path = mm.budget_path(model)
    assert path.verify(model, cuts=ALL)
    assert not BREAKS[what](path).verify(model, cuts=ALL)


def test_verify_sees_a_path_of_another_model():
    model = a_model()
    path = mm.budget_path(model)
    unary = model.unary.clone()
    free = (~model.clamped[1]).nonzero()[17].tolist()
    unary[1, free[0], free[1]] += 0.01
    assert not path.verify(mm.IsingGrid(unary, model.right, model.down))


def test_cuts_see_a_path_that_is_only_consistent():
    # Masks by threshold: counts, energies, penalties and blocks fit the order, none is optimal.
    model = random_grid(1, 8, 8, coupling=1.0, seed=2, dtype=torch.float64)
    free = mm.IsingGrid(model.unary, 0 * model.right, 0 * model.down)
    path = mm.budget_path(free)
    energy = torch.stack([model.energy(path.order <= m)[0] for m in range(65)])
    coarse = [0]  # vertices of the envelope of these masks, so that penalties fall
    while coarse[-1] < 64:
        rest = torch.arange(coarse[-1] + 1, 65)
        slope = (energy[rest] - energy[coarse[-1]]) / (rest - coarse[-1])
        coarse.append(int(rest[slope.argmin()]))
    order = torch.searchsorted(torch.tensor(coarse), path.order.long()).int()
    energy, count = energy[coarse], torch.tensor(coarse)
    penalty = torch.cat([torch.tensor([torch.inf]).double(), -energy.diff() / count.diff()])
    real = mm.budget_path(model)
    false = replace(
        real,
        order=order,
        entry=penalty[order.long()],
        block=connected(order),
        penalty=(penalty,),
        count=(count,),
        energy=(energy,),
        lower_bound=(energy,),
    )
    assert false.verify(model, cuts=0)
    assert not false.verify(model, cuts=ALL)
    # A scale so coarse that its rounding would explain the energies must not excuse the bounds.
    for exponent in (2, 0, -2, -6):
        stats = {
            "exponent": torch.tensor([exponent]),
            "rounding": torch.tensor([_rounding(model, exponent)], dtype=torch.float64),
        }
        assert not replace(false, stats={**real.stats, **stats}).verify(model, cuts=ALL)


def connected(order):
    """Components of equal order, all couplings not 0: a flood at a time."""
    _, height, width = order.shape
    block = torch.full_like(order, -1)
    for y in range(height):
        for x in range(width):
            if block[0, y, x] >= 0:
                continue
            number, todo = int(block.max()) + 1, [(y, x)]
            while todo:
                a, b = todo.pop()
                inside = 0 <= a < height and 0 <= b < width
                if inside and block[0, a, b] < 0 and order[0, a, b] == order[0, y, x]:
                    block[0, a, b] = number
                    todo += [(a + 1, b), (a - 1, b), (a, b + 1), (a, b - 1)]
    return block


@pytest.mark.parametrize(
    ("cuts", "error", "message"),
    [
        (-1, ValueError, "cuts must be at least 0; got -1"),
        (1.0, TypeError, "cuts must be an int; got float"),
        (True, TypeError, "cuts must be an int; got bool"),
    ],
)
def test_verify_says_what_is_wrong_with_cuts(cuts, error, message):
    model = random_grid(1, 3, 3)
    with pytest.raises(error, match=message):
        mm.budget_path(model).verify(model, cuts=cuts)
    with pytest.raises(ValueError, match="model must be the one of shape"):
        mm.budget_path(model).verify(random_grid(1, 3, 4))

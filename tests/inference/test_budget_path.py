"""The path against enumeration, against single cuts, and under symmetries of the problem."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import couplings, enumerate_image
from strategies import grids, random_grid

from mrfmask import GraphCut, IsingGrid, budget_path, find_map


def least_energies(model):
    """f(k) of the only image, inf where no mask that honours the clamps has k pixels on."""
    table = enumerate_image(model)
    counts = table.masks.sum(axis=(1, 2))
    least = np.full(table.masks[0].size + 1, np.inf)
    np.minimum.at(least, counts, table.energies)
    return least


def envelope(least):
    """The lower convex envelope of f: by every chord over every k."""
    k = np.arange(len(least))
    hull = least.copy()
    for i, j in itertools.combinations(np.flatnonzero(np.isfinite(least)), 2):
        chord = least[i] + (least[j] - least[i]) * (k - i) / (j - i)
        hull[i : j + 1] = np.minimum(hull, chord)[i : j + 1]
    return hull


def with_halves(model):
    """Multiples of 1/2: sums are exact in float64 and ties stay ties."""
    return IsingGrid(
        torch.where(model.clamped, model.unary, (model.unary * 2).round() / 2),
        (model.right * 2).round() / 2,
        (model.down * 2).round() / 2,
        model.constant,
        model.periodic,
    )


@given(grids(signs="associative"))
def test_budget_path_bounds_every_count_by_the_envelope(model):
    least = least_energies(model)
    hull, path = envelope(least), budget_path(model)
    known = np.flatnonzero(np.isfinite(least))
    assert (path.count[0][0], path.count[0][-1]) == (known[0], known[-1])
    for k in known:
        assert path.bound(int(k)).item() == pytest.approx(hull[k], abs=1e-9)


@given(grids(signs="associative"))
def test_budget_path_masks_are_nested_and_best_for_their_count(model):
    least, path = least_energies(model), budget_path(model)
    numbers = range(len(path.count[0]))
    masks = [path.order <= m for m in numbers]
    assert not any((smaller & ~larger).any() for smaller, larger in itertools.pairwise(masks))
    for m, mask in enumerate(masks):
        count = path.count[0][m].item()
        assert mask.sum() == count
        assert path.energy[0][m].item() == pytest.approx(model.energy(mask).item(), abs=1e-9)
        assert path.energy[0][m].item() == pytest.approx(least[count], abs=1e-9)
        assert path.lower_bound[0][m] <= path.energy[0][m]


@given(grids(signs="associative").map(with_halves))
def test_budget_path_has_every_breakpoint_once_when_there_are_ties(model):
    table, path = enumerate_image(model), budget_path(model)
    counts = table.masks.sum(axis=(1, 2))
    energies = np.rint(2 * table.energies).astype(np.int64)  # exact
    least = {k: energies[counts == k].min() for k in np.unique(counts)}
    # The masks' counts are the vertices of the envelope: no chord passes below or through them.
    vertices = [
        k
        for k in least
        if not any(
            (least[j] - least[i]) * (k - i) <= (least[k] - least[i]) * (j - i)
            for i in least
            for j in least
            if i < k < j
        )
    ]
    assert path.count[0].tolist() == vertices
    assert (2 * path.energy[0]).tolist() == [least[k] for k in vertices]
    assert torch.equal(path.lower_bound[0], path.energy[0])
    # At its breakpoint the smallest of the best masks is the one before, the largest the next.
    for m, (fewer, more) in enumerate(itertools.pairwise(vertices), start=1):
        drop, added = least[fewer] - least[more], more - fewer
        assert path.penalty[0][m].item() == pytest.approx(drop / added / 2, abs=1e-12)
        cost = added * energies + drop * counts
        best = table.masks[cost == cost.min()]
        assert np.array_equal(best.all(axis=0), (path.order[0] < m).numpy())
        assert torch.equal(path.mask_at(path.penalty[0][m].item()), path.order < m)
        assert np.array_equal(best.any(axis=0), (path.order[0] <= m).numpy())


@pytest.mark.parametrize("coupling", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("periodic", [False, True])
def test_budget_path_is_the_cut_at_every_penalty(coupling, periodic):
    model = random_grid(2, 30, 30, coupling=coupling, periodic=periodic, dtype=torch.float64)
    draw = torch.rand(model.shape, generator=torch.Generator().manual_seed(1))
    model = model.clamp(on=draw < 0.05, off=draw > 0.92)
    path = budget_path(model)
    # Between two breakpoints that are not the same up to rounding, and beyond both ends.
    middles = []
    for penalty in path.penalty:
        inner = penalty[1:]
        wide = (inner[:-1] - inner[1:]) > 1e-9
        middles.append(((inner[:-1] + inner[1:]) / 2)[wide])
    quantiles = [torch.tensor([m[0] + 9, m[-1] - 9, 0.0], dtype=torch.float64) for m in middles]
    for i in range(12):
        at = torch.stack([m[(len(m) - 1) * i // 11] for m in middles])
        quantiles = [torch.cat([q, a[None]]) for q, a in zip(quantiles, at, strict=True)]
    for penalty in torch.stack(quantiles, dim=1):
        unary = model.unary - penalty[:, None, None] / 2
        priced = IsingGrid(unary, model.right, model.down, periodic=periodic)
        cut = GraphCut(lossless=True).find_map(priced)
        assert torch.equal(path.mask_at(penalty), cut.mask)


def components(model, b, order):
    """Connected components of equal order among the free pixels, numbered in reading order."""
    _, height, width = model.shape
    beside = {(y, x): [] for y in range(height) for x in range(width)}
    for i, j, value in couplings(model, b):
        if value != 0:
            beside[i].append(j)
            beside[j].append(i)
    label = np.full((height, width), -1)
    free = ~model.clamped[b].numpy()
    for seed in np.argwhere(free).tolist():
        if label[tuple(seed)] >= 0:
            continue
        label[tuple(seed)] = number = label.max() + 1
        todo = [tuple(seed)]
        while todo:
            here = todo.pop()
            for u in beside[here]:
                if free[u] and label[u] < 0 and order[u] == order[here]:
                    label[u] = number
                    todo.append(u)
    return label


@pytest.mark.parametrize("periodic", [False, True])
def test_budget_path_blocks_are_connected_pixels_of_equal_entry(periodic):
    model = with_halves(random_grid(3, 14, 17, coupling=0.8, periodic=periodic, seed=2))
    draw = torch.rand(model.shape, generator=torch.Generator().manual_seed(1))
    model = model.clamp(on=draw < 0.1, off=draw > 0.9)
    path = budget_path(model)
    for b in range(3):
        order = path.order[b].numpy()
        assert np.array_equal(path.block[b].numpy(), components(model, b, order))
        values = torch.cat([path.penalty[b], torch.tensor([-torch.inf], dtype=torch.float64)])
        assert torch.equal(path.entry[b], values[path.order[b].long()])
    assert len(path.count[0]) < path.block[0].max() < (~model.clamped[0]).sum() - 1  # both kinds


@given(grids(signs="associative"), st.sampled_from([-90, -30, 30, 90]))
def test_budget_path_scales_with_the_potentials(model, power):
    terms = (model.unary, model.right, model.down)
    scaled = IsingGrid(*(t * 2.0**power for t in terms), periodic=model.periodic)
    path, other = budget_path(model), budget_path(scaled)
    assert torch.equal(path.order, other.order)
    assert torch.equal(path.entry * 2.0**power, other.entry)


def test_budget_path_mirrors_turns_and_flips_with_the_model():
    model = random_grid(2, 21, 34, coupling=0.7, dtype=torch.float64)
    draw = torch.rand(model.shape, generator=torch.Generator().manual_seed(1))
    model = model.clamp(on=draw < 0.1, off=draw > 0.9)
    entry = budget_path(model).entry

    def same(unary, right, down, expected):
        assert torch.allclose(budget_path(IsingGrid(unary, right, down)).entry, expected, 0, 1e-12)

    same(model.unary.flip(2), model.right.flip(2), model.down.flip(2), entry.flip(2))
    same(model.unary.mT, model.down.mT, model.right.mT, entry.mT)
    same(-model.unary, model.right, model.down, -entry)
    # A field on all pixels is a penalty of twice its size.
    same(model.unary + 0.25, model.right, model.down, entry + 0.5)


def test_budget_path_of_a_batch_is_that_of_its_images_on_any_threads():
    model = random_grid(5, 40, 30, coupling=0.6)
    path = budget_path(model)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        again = budget_path(model)
    finally:
        torch.set_num_threads(threads)
    alone = [budget_path(model[b]) for b in range(5)]
    for name in ("entry", "order", "block"):
        assert torch.equal(getattr(path, name), getattr(again, name))
        assert torch.equal(getattr(path, name), torch.cat([getattr(p, name) for p in alone]))
    for name in ("penalty", "count", "energy", "lower_bound"):
        for b in range(5):
            assert torch.equal(getattr(path, name)[b], getattr(again, name)[b])
            assert torch.equal(getattr(path, name)[b], getattr(alone[b], name)[0])


def test_budget_path_accounts_for_what_it_rounds():
    # One strong pixel leaves the others few bits. Without couplings the best k pixels are the k of
    # largest unary, in exact arithmetic.
    generator = torch.Generator().manual_seed(3)
    unary = torch.randn(1, 64, 64, generator=generator, dtype=torch.float64)
    unary[0, 20, 30] = 2.0**20
    zero = torch.zeros(1, 64, 63, dtype=torch.float64)
    path = budget_path(IsingGrid(unary, zero, zero.mT))
    rounding = path.stats["rounding"].item()
    assert 1e-7 < rounding < 1e-5
    gains = sorted(map(Fraction, unary.flatten().tolist()), reverse=True)
    least = list(itertools.accumulate((-2 * g for g in gains), initial=sum(gains)))
    above = [path.bound(k).item() - float(e) for k, e in enumerate(least)]
    assert max(above) <= 1e-9
    assert min(above) >= -2 * rounding
    assert min(above) < -rounding / 2  # it is there


def test_budget_path_takes_what_has_nothing_to_choose():
    for size in [(1, 1), (1, 2), (2, 1), (3, 5)]:
        model = random_grid(1, *size)
        path = budget_path(model.clamp(on=torch.ones(1, *size, dtype=torch.bool)))
        assert path.count[0].tolist() == [size[0] * size[1]]
        assert path.mask_at(torch.inf).all()
        assert (path.block == -1).all()
        path = budget_path(model.clamp(off=torch.ones(1, *size, dtype=torch.bool)))
        assert path.count[0].tolist() == [0]
        assert not path.mask_at(-torch.inf).any()
        zero = IsingGrid(0 * model.unary, 0 * model.right, 0 * model.down)
        assert budget_path(zero).penalty[0].tolist() == [torch.inf, 0.0]


def test_around_gives_the_masks_next_to_a_count():
    path = budget_path(random_grid(2, 12, 13, coupling=0.6))
    for k in range(12 * 13 + 1):
        below, above = path.around(k)
        assert not (below & ~above).any()
        for b in range(2):
            counts = path.count[b].tolist()
            assert below[b].sum() == max(c for c in counts if c <= k)
            assert above[b].sum() == min(c for c in counts if c >= k)
    budgets = torch.tensor([40, 90])
    for masks in zip(path.around(budgets), path.around(40), path.around(90), strict=True):
        assert torch.equal(masks[0], torch.stack([masks[1][0], masks[2][1]]))
    expected = torch.stack([path.bound(40)[0], path.bound(90)[1]])
    assert torch.equal(path.bound(budgets), expected)


def test_budget_path_says_what_is_wrong():
    model = random_grid(2, 3, 4)
    down = model.down.clone()
    down[1, 1, 2] = -0.25
    with pytest.raises(ValueError, match=r"got down\[1, 1, 2\] = -0.25, and .* Use find_map"):
        budget_path(IsingGrid(model.unary, model.right, down))
    with pytest.raises(TypeError, match="model must be an IsingGrid; got Tensor"):
        budget_path(model.unary)
    meta = IsingGrid.__new__(IsingGrid)  # meta tensors cannot pass the checks of values
    for name in ("unary", "right", "down"):
        object.__setattr__(meta, name, getattr(model, name).to("meta"))
    with pytest.raises(
        RuntimeError, match="model must be on cpu or cuda for budget_path; got meta"
    ):
        budget_path(meta)
    on = torch.zeros(2, 3, 4, dtype=torch.bool)
    on[1, 0] = True
    path = budget_path(model.clamp(on=on))
    with pytest.raises(ValueError, match=r"k must lie in 4..12 for image 1, which has 4 pixels"):
        path.bound(3)
    with pytest.raises(ValueError, match=r"k must have shape \(2,\), one value an image; got \(3"):
        path.around(torch.tensor([1, 2, 3]))
    with pytest.raises(TypeError, match="k must be an int or an integer tensor; got float"):
        path.bound(3.0)
    with pytest.raises(ValueError, match="penalty must be a number or one for each of 2 images"):
        path.mask_at(float("nan"))


def test_bound_is_what_single_cuts_at_the_best_penalty_prove():
    model = random_grid(2, 20, 25, coupling=0.7, dtype=torch.float64)
    path = budget_path(model)
    for k in (0, 1, 77, 250, 300, 499, 500):
        bound = find_map(model, budget=k).lower_bound
        assert torch.allclose(path.bound(k), bound, rtol=0, atol=1e-4)

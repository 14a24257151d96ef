"""Nearest-neighbour repulsion against enumeration, and what it promises for its masks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import mrfmask as mm

Ising = mm.SELECTORS["ising"]


def energies(scores, free, taken, coupling):
    """{mask as bytes: E} of all masks of one image: the definition, term by term."""
    values = scores[free]
    z = (scores - values.mean()) / values.std() if values.std() > 0 else np.zeros_like(scores)
    height, width = scores.shape
    places = np.argwhere(free)
    table = {}
    for states in itertools.product([False, True], repeat=len(places)):
        mask = taken.copy()
        mask[tuple(places.T)] = states
        total = -z[mask & free].sum()
        for y, x in np.argwhere(mask):
            total += coupling * (y + 1 < height and mask[y + 1, x])
            total += coupling * (x + 1 < width and mask[y, x + 1])
        table[mask.tobytes()] = (int(mask.sum()), float(total))
    return table


def problem(seed, size=(3, 4)):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(1, *size, generator=generator, dtype=torch.float64)
    taken = torch.zeros(1, *size, dtype=torch.bool)
    taken[0, 0, 1] = taken[0, 0, 2] = True
    scores[0, 1, 0] = -torch.inf
    scores[0, 0, 2] = -torch.inf  # taken all the same
    return scores, taken


@pytest.mark.parametrize("coupling", [0.0, 0.7, 2.0, 50.0])
@pytest.mark.parametrize("seed", range(3))
def test_ising_search_bounds_the_least_energy_of_every_count(coupling, seed):
    scores, taken = problem(seed)
    free = (~taken & (scores > -torch.inf))[0].numpy()
    finite = torch.where(scores > -torch.inf, scores, 0.0)[0].numpy()
    table = energies(finite, free, taken[0].numpy(), coupling)
    optimal = 0
    for count in range(2, 2 + int(free.sum()) + 1):
        result = Ising(coupling=coupling).search(scores, budget=count, taken=taken)
        least = min(energy for on, energy in table.values() if on == count)
        on, energy = table[result.mask[0].numpy().tobytes()]
        assert on == count
        assert result.energy.item() == pytest.approx(energy, abs=1e-9)
        assert result.lower_bound.item() <= least + 1e-9
        assert energy >= least - 1e-9
        optimal += energy <= least + 1e-9
        mask = mm.select(scores, "ising", coupling=coupling, budget=count, taken=taken)
        assert torch.equal(mask, result.mask)
    assert optimal >= 7  # of ten


def test_ising_without_coupling_takes_the_highest_scores():
    scores = torch.randn(2, 20, 30, generator=torch.Generator().manual_seed(0))
    scores[0, 3:9] = -torch.inf
    mask = mm.select(scores, "ising", coupling=0.0, budget=[40, 0.3])
    assert torch.equal(mask, mm.select(scores, "top_k", budget=[40, 0.3]))


def test_ising_knows_scores_up_to_shift_and_scale():
    scores = torch.randn(1, 12, 13, generator=torch.Generator().manual_seed(1)).double()
    masks = [
        mm.select(other, "ising", budget=30)
        for other in (scores, 1e-200 * scores, 7.0 * scores - 900.0, 1e300 * scores)
    ]
    assert all(torch.equal(mask, masks[0]) for mask in masks)


def test_ising_of_equal_scores_is_a_checkerboard_with_no_regard_to_the_border():
    result = Ising(coupling=1.0).search(torch.full((1, 6, 7), 0.1), budget=21)
    odd = torch.arange(6)[:, None] + torch.arange(7)
    assert torch.equal(result.mask[0], odd % 2 == result.mask[0, 0, 1].int())
    assert result.energy.item() == pytest.approx(0.0, abs=1e-9)
    assert result.gap.item() <= 1e-6


def test_ising_of_a_large_picture_is_close_to_its_bound():
    scores = torch.randn(1, 60, 80, generator=torch.Generator().manual_seed(2))
    result = Ising().search(scores, budget=[0.1])
    assert int(result.mask.sum()) == 480
    assert result.gap.item() <= 1e-3 * abs(result.energy.item())

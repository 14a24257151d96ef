from __future__ import annotations

import pytest
import torch
from hypothesis import given
from oracles import enumerate_image
from strategies import grids, random_grid

from mrfmask import Annealing, GraphCut, IsingGrid, Status


@given(grids())
def test_annealing_finds_the_minimum_of_small_models(model):
    result = Annealing(sweeps=200, chains=4).find_map(model)
    minimum = enumerate_image(model).minimum()
    assert result.energy.item() == pytest.approx(minimum, abs=1e-5 * (1 + abs(minimum)))
    assert result.lower_bound.item() <= minimum + 1e-9
    assert result.status == (Status.HEURISTIC,)


def test_annealing_keeps_the_best_state_of_all_chains():
    model = random_grid(2, 24, 24, coupling=1.0)
    best = GraphCut().find_map(model).energy
    few = Annealing(sweeps=20).find_map(model).energy
    many = Annealing(sweeps=20, chains=16).find_map(model).energy
    assert (best <= many).all()
    assert (many <= few).all()
    assert (many < few).any()


@pytest.mark.parametrize("coupling", [0.1, 1.0])
def test_annealing_ends_where_no_single_pixel_gains_by_turning(coupling):
    model = random_grid(1, 24, 26, coupling=coupling, signs="any", seed=5)
    result = Annealing(sweeps=2).find_map(model)
    turned = result.mask.flatten() ^ torch.eye(624, dtype=torch.bool)
    energies = model.energy(turned.reshape(1, 624, 24, 26))
    assert (energies >= result.energy - 1e-6).all()


def test_annealing_does_not_depend_on_the_scale_of_the_model():
    model = random_grid(1, 9, 9, signs="any")
    big = IsingGrid(*(1024.0 * t for t in (model.unary, model.right, model.down)))
    small = Annealing(sweeps=50).find_map(model).mask
    assert torch.equal(small, Annealing(sweeps=50).find_map(big).mask)

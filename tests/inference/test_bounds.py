from __future__ import annotations

import pytest
import torch
from hypothesis import given
from oracles import enumerate_image
from strategies import grids, random_grid

from mrfmask import IsingGrid
from mrfmask.inference.bounds import forest_bound


@given(grids())
def test_forest_bound_is_below_every_energy(model):
    assert forest_bound(model).item() <= enumerate_image(model).minimum() + 1e-12


@given(grids(most_pixels=4))
def test_forest_bound_is_exact_on_one_chain(model):
    if model.shape[1] == 1:
        minimum = enumerate_image(model).minimum()
        assert forest_bound(model).item() == pytest.approx(minimum, abs=1e-9)


def test_forest_bound_is_better_than_adding_up_all_terms():
    model = random_grid(1, 30, 30, signs="any")
    trivial = -sum(t.abs().double().sum() for t in (model.unary, model.right, model.down))
    assert forest_bound(model).item() > 0.9 * trivial.item()
    assert forest_bound(model).item() <= model.energy(model.unary > 0).item()


def test_forest_bound_treats_images_alone():
    model = random_grid(3, 5, 6, signs="any")
    alone = torch.cat([forest_bound(model[b]) for b in range(3)])
    assert torch.allclose(forest_bound(model), alone, atol=1e-12)
    assert isinstance(model[0], IsingGrid)

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import couplings, energy_of, enumerate_image
from strategies import grids, random_grid

from mrfmask import IsingGrid


@given(grids(), st.data())
def test_energy_is_the_sum_of_its_terms(model, data):
    _, height, width = model.shape
    bits = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    mask = torch.tensor(bits).reshape(1, height, width)
    assert model.energy(mask).dtype == torch.float64
    assert model.energy(mask).item() == pytest.approx(energy_of(model, 0, mask[0].numpy()))


@given(grids(clamps=False))
def test_energy_changes_sign_of_unary_only_when_all_spins_flip(model):
    mask = model.unary > 0.3
    flipped = IsingGrid(-model.unary, model.right, model.down, model.constant, model.periodic)
    assert torch.allclose(model.energy(mask), flipped.energy(~mask), atol=1e-12)


def test_energy_takes_several_masks_an_image():
    model = random_grid(3, 4, 5)
    masks = torch.rand(3, 7, 4, 5, generator=torch.Generator().manual_seed(0)) > 0.5
    energies = model.energy(masks)
    assert energies.shape == (3, 7)
    single = torch.stack([model.energy(masks[:, c]) for c in range(7)], dim=1)
    assert torch.equal(energies, single)


def test_energy_is_differentiable_with_clamps():
    model = random_grid(2, 3, 4, dtype=torch.float64)
    mask = model.unary > 0
    clamp = torch.zeros_like(mask)
    clamp[:, 0, 0] = True

    def energy(unary, right, down):
        unary = torch.where(clamp & mask, torch.inf, torch.where(clamp, -torch.inf, unary))
        return IsingGrid(unary, right, down).energy(mask)

    inputs = [t.clone().requires_grad_() for t in (model.unary, model.right, model.down)]
    assert torch.autograd.gradcheck(energy, inputs)
    energy(*inputs).sum().backward()
    assert inputs[0].grad[:, 0, 0].abs().sum() == 0
    assert not any(t.grad.isnan().any() for t in inputs)


@given(grids(clamps=False), st.integers(0, 15))
def test_clamp_makes_other_masks_infinite(model, pixel):
    _, height, width = model.shape
    on = torch.zeros(1, height, width, dtype=torch.bool)
    on.view(-1)[pixel % on.numel()] = True
    clamped = model.clamp(on=on)
    assert clamped.energy(torch.zeros_like(on)).item() == torch.inf
    assert clamped.energy(on).item() == pytest.approx(
        model.energy(on).item() + model.unary[on].item(), abs=1e-12
    )
    assert model.clamp(off=on).energy(on).item() == torch.inf


@given(grids())
def test_edges_list_every_coupling_once(model):
    (first, second), values = model.edges.T, model.pairwise
    width = model.shape[2]
    listed = sorted(zip(first.tolist(), second.tolist(), values[0].tolist(), strict=True))
    expected = sorted(
        (i[0] * width + i[1], j[0] * width + j[1], value) for i, j, value in couplings(model, 0)
    )
    assert listed == expected


@st.composite
def cost_tables(draw):
    height, width = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    periodic = draw(st.booleans())
    columns = width if periodic and width > 1 else width - 1
    rows = height if periodic and height > 1 else height - 1
    seed = draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)
    unary = torch.from_numpy(rng.normal(size=(1, height, width, 2)))
    forbidden = rng.random((1, height, width))
    unary[..., 0][torch.from_numpy(forbidden < 0.15)] = torch.inf
    unary[..., 1][torch.from_numpy(forbidden > 0.85)] = torch.inf
    right = torch.from_numpy(rng.normal(size=(1, height, columns, 2, 2)))
    down = torch.from_numpy(rng.normal(size=(1, rows, width, 2, 2)))
    return unary, right, down, periodic


@given(cost_tables())
def test_from_costs_keeps_the_energy_of_every_mask(tables):
    unary, right, down, periodic = tables
    model = IsingGrid.from_costs(unary, right, down, periodic)
    _, height, width = model.shape
    for states in enumerate_image(model).masks:
        y = states.astype(int)
        total = sum(unary[0, i, j, y[i, j]].item() for i in range(height) for j in range(width))
        for i in range(height):
            for j in range(right.shape[2]):
                total += right[0, i, j, y[i, j], y[i, (j + 1) % width]].item()
        for i in range(down.shape[1]):
            for j in range(width):
                total += down[0, i, j, y[i, j], y[(i + 1) % height, j]].item()
        energy = model.energy(torch.from_numpy(states[None])).item()
        assert energy == pytest.approx(total, abs=1e-9)


@given(grids(clamps=False))
def test_log_prob_sums_to_one(model):
    table = enumerate_image(model)
    _, log_partition = table.probabilities(0.7)
    masks = torch.from_numpy(table.masks)[None]
    log_prob = model.log_prob(masks, torch.tensor([log_partition]), beta=0.7)
    assert log_prob.exp().sum().item() == pytest.approx(1.0)


def test_indexing_keeps_a_batch_dimension():
    model = random_grid(4, 2, 3)
    assert torch.equal(model[-1].unary, model.unary[3:])
    assert torch.equal(model[1:3].down, model.down[1:3])
    with pytest.raises(IndexError, match="must lie in a batch of 4; got 4"):
        model[4]


def test_an_empty_batch_is_a_model():
    model = random_grid(0, 3, 4)
    assert len(model) == 0
    assert model.energy(torch.zeros(0, 3, 4, dtype=torch.bool)).shape == (0,)


def test_is_associative_and_is_repulsive_tell_signs():
    assert random_grid(1, 3, 3).is_associative
    assert random_grid(1, 3, 3, signs="repulsive").is_repulsive
    mixed = random_grid(1, 6, 6, signs="any")
    assert not mixed.is_associative
    assert not mixed.is_repulsive

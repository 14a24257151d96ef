from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from oracles import enumerate_image
from strategies import grids, random_grid

from mrfmask import GraphCut, IsingGrid, Status


def minimisers(model):
    table = enumerate_image(model)
    return table.masks[table.energies <= table.minimum() + 1e-9 * (1 + abs(table.minimum()))]


@given(grids(signs="associative"))
def test_graph_cut_finds_the_minimum_and_proves_it(model):
    minimum = enumerate_image(model).minimum()
    result = GraphCut().find_map(model)
    assert result.status == (Status.OPTIMAL,)
    assert result.lower_bound.item() <= minimum + 1e-9
    assert minimum <= result.energy.item() + 1e-9
    assert result.gap.item() <= 1e-5
    assert result.verify(model)


@given(grids(signs="repulsive", periodic=False))
def test_graph_cut_finds_the_minimum_of_repulsive_grids(model):
    minimum = enumerate_image(model).minimum()
    result = GraphCut().find_map(model)
    assert result.lower_bound.item() <= minimum + 1e-9
    assert result.energy.item() == pytest.approx(minimum, abs=1e-5)
    assert result.verify(model)


@given(grids(signs="associative", dtype=torch.float64))
def test_graph_cut_lossless_has_no_gap_to_speak_of(model):
    result = GraphCut(lossless=True).find_map(model)
    minimum = enumerate_image(model).minimum()
    assert result.gap.item() <= 1e-9
    assert result.energy.item() == pytest.approx(minimum, abs=1e-9)
    assert result.verify(model)


@given(grids(signs="associative"))
def test_graph_cut_ties_are_the_smallest_and_the_largest_minimiser(model):
    # Multiples of 1/2 are exact on the integer scale, so that ties stay ties.
    model = IsingGrid(
        torch.where(model.clamped, model.unary, (model.unary * 2).round() / 2),
        (model.right * 2).round() / 2,
        (model.down * 2).round() / 2,
        model.constant,
        model.periodic,
    )
    best = minimisers(model)
    least, most = GraphCut(tie="min").find_map(model), GraphCut(tie="max").find_map(model)
    assert np.array_equal(least.mask[0].numpy(), best.all(axis=0))
    assert np.array_equal(most.mask[0].numpy(), best.any(axis=0))
    assert least.verify(model)
    assert most.verify(model)
    assert least.gap.item() == 0 == most.gap.item()


@given(grids(signs="associative"))
def test_graph_cut_mirrors_and_flips_with_the_model(model):
    energy = GraphCut().find_map(model).energy
    if not model.periodic:
        mirrored = IsingGrid(
            model.unary.flip(2), model.right.flip(2), model.down.flip(2), model.constant
        )
        assert torch.allclose(GraphCut().find_map(mirrored).energy, energy, atol=1e-5)
    flipped = IsingGrid(-model.unary, model.right, model.down, model.constant, model.periodic)
    assert torch.allclose(GraphCut().find_map(flipped).energy, energy, atol=1e-5)


@pytest.mark.parametrize("signs", ["associative", "repulsive"])
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 2), (37, 53), (200, 300)])
@pytest.mark.parametrize("periodic", [False, True])
def test_graph_cut_verifies_at_every_size(signs, size, periodic):
    if signs == "repulsive" and periodic:
        size = tuple(n if n == 1 else n + n % 2 for n in size)
    model = random_grid(2, *size, signs=signs, periodic=periodic)
    result = GraphCut().find_map(model)
    assert result.verify(model)
    assert (result.gap < 1e-3).all()


@pytest.mark.parametrize("power", [-95, -40, 40, 95])
def test_graph_cut_scales_to_the_size_of_the_potentials(power):
    model = random_grid(1, 12, 13)
    scaled = IsingGrid(*(t * 2.0**power for t in (model.unary, model.right, model.down)))
    result = GraphCut().find_map(scaled)
    assert torch.equal(result.mask, GraphCut().find_map(model).mask)
    assert result.verify(scaled)


def worst_cases():
    yield "strong coupling", random_grid(1, 150, 150, coupling=50.0)
    ones = torch.ones(1, 200, 200)
    yield "all equal", IsingGrid(0 * ones, ones[:, :, 1:], ones[:, 1:])
    checker = (torch.arange(200)[:, None] + torch.arange(200)) % 2 * 2.0 - 1
    yield "checkerboard", IsingGrid(checker[None], ones[:, :, 1:], ones[:, 1:])
    snake = torch.zeros(1, 101, 101)
    snake[0, 0, 0], snake[0, -1, -1] = 1.0, -1.0
    down = torch.zeros(1, 100, 101)
    down[0, ::2, -1] = down[0, 1::2, 0] = 1.0
    right = torch.zeros(1, 101, 100)
    right[0, ::2] = right[0, 1::2] = 1.0
    yield "snake", IsingGrid(snake, right, down)
    ends = torch.zeros(1, 1, 20_000)
    ends[0, 0, 0], ends[0, 0, -1] = 1.0, -1.5
    yield "long chain", IsingGrid(ends, torch.ones(1, 1, 19_999), torch.zeros(1, 0, 20_000))


@pytest.mark.parametrize(("name", "model"), list(worst_cases()), ids=lambda v: str(v))
def test_graph_cut_bears_its_worst_cases(name, model):
    assert GraphCut().find_map(model).verify(model)


@given(grids(signs="associative", clamps=False))
def test_verify_refuses_a_wrong_mask_and_a_wrong_bound(model):
    result = GraphCut().find_map(model)
    certificate = result.certificate
    mask = certificate.mask.clone()
    mask[0, 0, 0] ^= True
    if model.energy(mask).item() > result.energy.item() + 1e-3:
        assert not replace(result, certificate=replace(certificate, mask=mask)).verify(model)
        assert not replace(result, mask=mask).verify(model)
    lifted = IsingGrid(model.unary, model.right, model.down, model.constant - 1.0, model.periodic)
    assert not result.verify(lifted)


def test_verify_refuses_a_consistent_result_that_is_not_minimal():
    model = random_grid(2, 9, 11, coupling=0.5)
    result = GraphCut().find_map(model)
    mask = result.mask.clone()
    mask[1, 4, 5] ^= True
    certificate = replace(result.certificate, mask=mask)
    energy = model.energy(mask)
    forged = replace(result, mask=mask, energy=energy, certificate=certificate)
    assert energy[1] > result.energy[1]
    assert not forged.verify(model)  # the flow still proves the bound, but not this cut
    unproven = replace(result, mask=mask, energy=energy)
    assert not unproven.verify(model)  # nor is the cut this mask


@pytest.mark.parametrize("name", ["right", "down"])
def test_verify_refuses_flows_that_prove_less_or_exceed_a_capacity(name):
    model = random_grid(1, 6, 7, coupling=0.5)
    result = GraphCut().find_map(model)
    flow = getattr(result.certificate, name)
    capacity = 2 * getattr(model, name).double() * 2.0 ** result.certificate.exponent.double()
    refused = 0
    for index in range(flow.numel()):
        # Half the flow leaves the cut without its proof, unless the flow was of no use here.
        for value in (flow.view(-1)[index] // 2, capacity.flatten()[index].round().long() + 1):
            wrong = flow.clone().long()
            wrong.view(-1)[index] = value
            broken = replace(result, certificate=replace(result.certificate, **{name: wrong}))
            if value > capacity.flatten()[index]:
                assert not broken.verify(model)
            refused += not broken.verify(model)
    assert refused > 1.5 * flow.numel()


def test_graph_cut_names_the_coupling_it_cannot_take():
    model = random_grid(2, 3, 4)
    down = model.down.clone()
    down[1, 1, 2] = -0.25
    with pytest.raises(
        ValueError, match=r"down\[1, 1, 2\] = -0.25 between pixels \(1, 2\) and"
    ) as e:
        GraphCut().find_map(IsingGrid(model.unary, model.right, down))
    assert "'ilp'" in str(e.value)
    odd = random_grid(1, 4, 5, signs="repulsive", periodic=True)
    with pytest.raises(ValueError, match="repulsive torus with an odd side"):
        GraphCut().find_map(odd)

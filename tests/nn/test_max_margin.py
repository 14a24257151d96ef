"""Hinge and perceptron against enumeration of all masks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_oracles import (
    KNOWN,
    examples,
    finite_differences,
    hinge_oracle,
    target_energy,
    with_gradients,
)
from oracles import enumerate_image
from strategies import random_grid

from mrfmask import Annealing, IsingGrid
from mrfmask.nn.losses import Perceptron, StructuredHinge, max_margin

COSTS = st.sampled_from([(1.0, 1.0), (0.5, 2.0), (3.0, 0.0)])
SIGNS = st.sampled_from(["associative", "repulsive", "any"])
ANY_EXAMPLE = SIGNS.flatmap(lambda signs: examples(signs=signs))


def plain_costs(target, weights, false_positive, false_negative):
    return weights.double() * torch.where(target, false_negative, false_positive)


def oracle(model, target, weights, costs):
    return hinge_oracle(model, target, costs) + target_energy(model, target, weights > 0)


@given(ANY_EXAMPLE, COSTS)
def test_hinge_is_that_of_enumeration(example, costs):
    model, target, weights = example
    loss = StructuredHinge(false_positive=costs[0], false_negative=costs[1])
    expected = oracle(model, target, weights, plain_costs(target, weights, *costs))
    value = loss(model, target, weights).item()
    # Cuts round float64 potentials to 32-bit integers; the value is above by at most the gap.
    gap = loss.details(model, target, weights).found.gap.item()
    assert expected - 1e-9 <= value <= expected + gap + 1e-9
    assert gap < 1e-5


@given(ANY_EXAMPLE)
def test_hinge_worst_mask_is_that_of_enumeration(example):
    model, target, weights = example
    found = StructuredHinge().details(model, target, weights).found
    costs = plain_costs(target, weights, 1.0, 1.0)
    lost = (costs * (found.mask != target)).sum(dim=(1, 2))
    best = hinge_oracle(model, target, costs)
    assert (lost - model.energy(found.mask)).item() == pytest.approx(best, abs=1e-5)
    assert -found.energy.item() == pytest.approx(best, abs=1e-5)


@given(ANY_EXAMPLE, COSTS)
def test_hinge_is_never_negative_and_bounds_the_cost_of_the_minimum(example, costs):
    model, target, weights = example
    loss = StructuredHinge(false_positive=costs[0], false_negative=costs[1])
    value = loss(model, target, weights).item()
    states = enumerate_image(model)
    mask = states.masks[states.energies.argmin()]
    wrong = torch.from_numpy(mask)[None] != target
    assert value >= 0
    assert value >= (plain_costs(target, weights, *costs) * wrong).sum().item() - 1e-9


@given(examples(weights=st.just(1.0)))
def test_hinge_is_zero_only_where_the_margin_is_met(example):
    model, target, weights = example
    # With the target's sign on the unaries about half of the targets win by their margin.
    x = torch.where(target, 1.0, -1.0).to(model.dtype)
    model = IsingGrid(
        torch.where(model.clamped, model.unary, 2 * model.unary.abs() * x),
        model.right,
        model.down,
        model.constant,
        model.periodic,
    )
    states = enumerate_image(model)
    distance = (states.masks != target[0].numpy()).sum(axis=(1, 2))
    slack = states.energies - model.energy(target).item() - distance
    value = StructuredHinge()(model, target, weights).item()
    assert value == pytest.approx(max(0.0, -slack.min()), abs=1e-5)
    if slack.min() >= 0:
        assert value <= 1e-6
    if slack.min() < -1e-5:
        assert value > 0


@pytest.mark.parametrize("signs", ["associative", "repulsive", "any"])
@pytest.mark.parametrize("periodic", [False, True])
def test_hinge_gradient_is_that_of_finite_differences(signs, periodic):
    model = random_grid(
        1, 3, 4, coupling=0.5, signs=signs, periodic=periodic, seed=4, dtype=torch.float64
    )
    clamp = torch.zeros(1, 3, 4, dtype=torch.bool)
    clamp[0, 1, 1] = True
    model = model.clamp(on=clamp)
    generator = torch.Generator().manual_seed(1)
    target = (torch.rand(1, 3, 4, generator=generator) < 0.5) | clamp
    weights = torch.rand(1, 3, 4, generator=generator, dtype=torch.float64)
    weights[0, 0, :2] = 0.0
    costs = plain_costs(target, weights, 0.7, 1.3)
    expected = finite_differences(lambda m: oracle(m, target, weights, costs), model)
    model, leaves = with_gradients(model)
    StructuredHinge(false_positive=0.7, false_negative=1.3)(model, target, weights).backward()
    assert any(bool((t.grad != 0).any()) for t in leaves)
    for leaf, gradient in zip(leaves, expected, strict=True):
        assert torch.allclose(leaf.grad, gradient, atol=1e-7)


def test_hinge_balances_classes():
    generator = torch.Generator().manual_seed(2)
    target = torch.rand(3, 3, 3, generator=generator) < 0.3
    target[2] = False
    weights = torch.rand(3, 3, 3, generator=generator, dtype=torch.float64) + 0.1
    # Without couplings and with unaries of 0 the worst mask is wrong everywhere.
    free = IsingGrid(torch.zeros(3, 3, 3), torch.zeros(3, 3, 2), torch.zeros(3, 2, 3))
    for balance, parts in (("image", [[0], [1], [2]]), ("batch", [[0, 1, 2]])):
        model, leaves = with_gradients(free)
        loss = StructuredHinge(balance=balance, reduction="none")
        value = loss(model, target, weights)
        assert torch.allclose(value.sum(), weights.sum())
        for images in parts:
            costs = loss._costs(target, weights)[images]
            on, off = costs[target[images]].sum(), costs[~target[images]].sum()
            if target[images].any():
                assert torch.allclose(on, off)
            else:
                assert torch.equal(costs, weights[images])
        value.sum().backward()
        assert bool((leaves[0].grad != 0).all())


def test_hinge_stays_an_upper_bound_when_inference_is_not_exact(monkeypatch):
    monkeypatch.setattr(max_margin, "find_map", Annealing(sweeps=1, chains=1).find_map)
    seen = 0.0
    for seed in range(20):
        model = random_grid(1, 3, 4, signs="any", seed=seed)
        target = torch.rand(1, 3, 4, generator=torch.Generator().manual_seed(seed)) < 0.5
        ones = torch.ones(1, 3, 4)
        for loss, costs in ((StructuredHinge(), ones), (Perceptron(), 0 * ones)):
            details = loss.details(model, target)
            expected = oracle(model, target, ones, costs)
            gap = details.found.gap.item()
            assert expected - 1e-6 <= details.value.item() <= expected + gap + 1e-6
            seen = max(seen, gap)
    assert seen > 0.1


def test_hinge_takes_couplings_of_both_signs_on_wide_grids():
    model, leaves = with_gradients(random_grid(1, 20, 21, signs="any"))
    target = model.unary.detach() > 0
    details = StructuredHinge().details(model, target)
    details.value.sum().backward()
    assert details.found.method == "strips"
    assert details.value.item() >= details.found.gap.item() >= 0
    assert all(bool(t.grad.isfinite().all()) for t in leaves)


@given(SIGNS.flatmap(lambda signs: examples(signs=signs, weights=KNOWN)))
def test_perceptron_is_that_of_enumeration(example):
    model, target, weights = example
    expected = oracle(model, target, weights, torch.zeros(model.shape))
    details = Perceptron().details(model, target, weights)
    gap = details.found.gap.item()
    assert expected - 1e-9 <= details.value.item() <= expected + gap + 1e-9
    assert gap < 1e-5
    assert details.value.item() >= 0


def test_perceptron_gradient_is_that_of_finite_differences():
    model = random_grid(1, 3, 4, coupling=0.5, seed=7, dtype=torch.float64)
    target = torch.rand(1, 3, 4, generator=torch.Generator().manual_seed(3)) < 0.5
    ones = torch.ones(1, 3, 4)
    expected = finite_differences(lambda m: oracle(m, target, ones, 0 * ones), model)
    model, leaves = with_gradients(model)
    Perceptron()(model, target).backward()
    for leaf, gradient in zip(leaves, expected, strict=True):
        assert torch.allclose(leaf.grad, gradient, atol=1e-7)


def test_perceptron_is_zero_at_the_minimum():
    model = random_grid(2, 20, 20, coupling=0.5)
    best = Perceptron().details(model, model.unary > 0).found.mask
    assert Perceptron()(model, best).item() < 1e-3


def test_perceptron_of_a_tie_is_not_negative_by_rounding():
    # A mask and its opposite have the same energy up to rounding: sum unary x = 0.
    model = random_grid(200, 2, 5, coupling=5.0, seed=1, dtype=torch.float64)
    x = torch.ones(200, 2, 5, dtype=torch.float64)
    x[:, 0, 0] = -1
    unary, right, down = model.unary.clone(), model.right.clone(), model.down.clone()
    for pairs in (right, down):
        pairs[:, 0, 0] *= -1  # both signs: by elimination, whose gap is 0
    unary[:, 1, 4] -= (unary * x).sum(dim=(1, 2))
    model = IsingGrid(unary, right, down)
    for target in (x > 0, x < 0):
        value = Perceptron(reduction="none")(model, target)
        assert bool((value >= 0).all())
        assert int((value < 1e-12).sum()) > 20

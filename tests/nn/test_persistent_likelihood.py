"""Persistent chains: unbiased in the long run, and resumed with the same bits."""

from __future__ import annotations

import pytest
import torch
from loss_oracles import with_gradients
from oracles import couplings, enumerate_image
from strategies import random_grid

from mrfmask.nn.losses import PersistentLikelihood


def data(images, height=6, width=7):
    model = random_grid(images, height, width, coupling=0.4, signs="any", seed=8)
    return model, model.unary > 0.3


def state(loss):
    return loss.states.clone(), int(loss.next_sweep)


def same(one, other):
    return torch.equal(one[0], other[0]) and one[1] == other[1]


@pytest.mark.parametrize("periodic", [False, True])
def test_persistent_likelihood_gradient_is_that_of_the_likelihood(periodic):
    chains, beta = 20_000, 0.8
    grid = random_grid(1, 3, 3, coupling=0.4, signs="any", periodic=periodic, seed=1)
    clamp = torch.zeros(1, 3, 3, dtype=torch.bool)
    clamp[0, 2, 0] = True
    grid = grid.clamp(off=clamp)
    target = (grid.unary < 0) & ~clamp
    loss = PersistentLikelihood(images=1, shape=(3, 3), chains=chains, sweeps=15, beta=beta)
    for _ in range(3):  # 45 sweeps; the correlation falls by more than half in each
        model, leaves = with_gradients(grid)
        loss(model, target).backward()
    states = enumerate_image(grid)
    probability, _ = states.probabilities(beta)
    x = torch.from_numpy(states.masks).double() * 2 - 1
    probability = torch.from_numpy(probability)
    t = torch.where(target[0], 1.0, -1.0).double()
    moment = (probability[:, None, None] * x).sum(dim=0)
    error = leaves[0].grad[0].double() - beta * (moment - t)
    assert leaves[0].grad[0, 2, 0] == 0
    free = ~clamp[0]
    assert bool((error.abs() <= beta * 7 * ((1 - moment**2) / chains).sqrt() + 1e-6)[free].all())
    # Couplings, in the order of the oracle: the gradient of each is looked up by its ends.
    for k, name in enumerate(("right", "down")):
        for b, y, column in torch.ones_like(getattr(grid, name)).nonzero().tolist():
            other = (y, (column + 1) % 3) if name == "right" else ((y + 1) % 3, column)
            assert any({i, j} == {(y, column), other} for i, j, _ in couplings(grid, b))
            pair = (probability * x[:, y, column] * x[(slice(None), *other)]).sum()
            wanted = beta * (pair - t[y, column] * t[other])
            sigma = beta * ((1 - pair**2) / chains).sqrt()
            assert abs(leaves[k + 1].grad[b, y, column] - wanted) <= 7 * sigma + 1e-6


def test_persistent_likelihood_value_is_the_difference_of_energies():
    model, target = data(3)
    loss = PersistentLikelihood(images=3, shape=(6, 7), beta=1.5, reduction="none")
    details = loss.details(model, target)
    expected = 1.5 * (model.energy(target) - model.energy(details.found.masks).mean(dim=1))
    assert torch.allclose(details.value, expected)


def test_persistent_likelihood_resumes_with_the_same_bits():
    model, target = data(4)
    options = {"images": 4, "shape": (6, 7), "chains": 3, "sweeps": 2, "seed": 5}
    loss = PersistentLikelihood(**options)
    loss(model, target)
    resumed = PersistentLikelihood(**options)
    resumed.load_state_dict(loss.state_dict())
    for _ in range(2):
        assert torch.equal(loss(model, target), resumed(model, target))
    assert same(state(loss), state(resumed))
    assert int(loss.next_sweep) == 6


def test_persistent_likelihood_goes_on_where_it_stopped():
    model, target = data(2)
    twice = PersistentLikelihood(images=2, shape=(6, 7), sweeps=3)
    once = PersistentLikelihood(images=2, shape=(6, 7), sweeps=6)
    before = state(twice)
    for _ in range(2):
        twice(model, target)
    once(model, target)
    assert same(state(twice), state(once))
    assert not torch.equal(before[0], twice.states)


def test_persistent_likelihood_keeps_chains_by_image():
    model, target = data(5)
    order = torch.tensor([4, 0, 2])
    one = PersistentLikelihood(images=5, shape=(6, 7))
    other = PersistentLikelihood(images=5, shape=(6, 7))
    untouched = one.states[[1, 3]].clone()
    one(model[order], target[order], None, order)
    back = order.flip(0)
    other(model[back], target[back], index=back)
    assert same(state(one), state(other))
    assert torch.equal(one.states[[1, 3]], untouched)
    assert not torch.equal(one.states[0], one.states[2])


def test_persistent_likelihood_leaves_chains_alone_in_evaluation():
    model, target = data(2)
    loss = PersistentLikelihood(images=2, shape=(6, 7))
    before = state(loss)
    first = loss.eval()(model, target)
    assert same(before, state(loss))
    assert torch.equal(first, loss.train()(model, target))


def test_persistent_likelihood_trains_to_the_means_of_the_targets():
    # Targets with 80 % on, independent: the unaries that give those means are atanh(0.6).
    generator = torch.Generator().manual_seed(3)
    target = torch.rand(400, 3, 3, generator=generator) < 0.8
    grid = random_grid(1, 3, 3, coupling=0.0)
    unary = torch.zeros(3, 3, requires_grad=True)
    loss = PersistentLikelihood(images=400, shape=(3, 3), sweeps=2)
    step = torch.optim.SGD([unary], lr=0.8)
    for _ in range(30):
        step.zero_grad()
        model = type(grid)(
            unary.expand(400, 3, 3), grid.right.expand(400, 3, 2), grid.down.expand(400, 2, 3)
        )
        loss(model, target).backward()
        step.step()
    mean = (target.double() * 2 - 1).mean(dim=0)
    # Noise of the last steps: 1600 chains, about one step's share of them.
    assert torch.allclose(unary.detach().tanh().double(), mean, atol=7 * 0.8 / 1600**0.5)

"""Likelihoods against enumeration of all masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_oracles import (
    KNOWN,
    conditional,
    examples,
    finite_differences,
    log_likelihood,
    with_gradients,
)
from strategies import random_grid

from mrfmask import MeanField
from mrfmask.nn.losses import ExactLikelihood, MeanFieldLikelihood, PseudoLikelihood

BETAS = st.sampled_from([0.3, 1.0, 2.5])


def clamped_example(signs="any", periodic=False):
    """A batch of two 3x3 models with clamps, targets and weights, in float64."""
    model = random_grid(
        2, 3, 3, coupling=0.5, signs=signs, periodic=periodic, seed=2, dtype=torch.float64
    )
    clamp = torch.zeros(2, 3, 3, dtype=torch.bool)
    clamp[0, 1, 1] = clamp[1, 0, 2] = True
    generator = torch.Generator().manual_seed(5)
    target = (torch.rand(2, 3, 3, generator=generator) < 0.5) & ~clamp
    known = torch.ones(2, 3, 3, dtype=torch.float64)
    known[0, 0, 0] = known[1, 2, 1] = known[1, 0, 2] = 0.0
    target[1, 0, 2] = True  # clamped off, and not known
    return model.clamp(off=clamp), target, known


def gradients(loss, model, target, weights):
    model, leaves = with_gradients(model)
    loss(model, target, weights).sum().backward()
    return [leaf.grad for leaf in leaves]


@given(examples(), BETAS)
def test_pseudo_likelihood_is_the_sum_of_conditionals(example, beta):
    model, target, weights = example
    # Neighbours count with their clamps.
    state = torch.where(model.clamped, model.unary > 0, target)
    expected = 0.0
    for (b, y, x), weight in np.ndenumerate(weights.numpy()):
        if weight > 0 and not model.clamped[b, y, x]:
            expected -= weight * np.log(conditional(model, state, beta, b, y, x))
    value = PseudoLikelihood(beta=beta)(model, target, weights).item()
    assert value == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("periodic", [False, True])
def test_pseudo_likelihood_gradient_is_that_of_finite_differences(periodic):
    model, target, weights = clamped_example(periodic=periodic)
    loss = PseudoLikelihood(beta=1.3, reduction="none")

    def oracle(m):
        state = torch.where(m.clamped, m.unary > 0, target)
        return -sum(
            np.log(conditional(m, state, 1.3, b, y, x))
            for b, y, x in ((weights > 0) & ~m.clamped).nonzero().tolist()
        )

    expected = finite_differences(oracle, model)
    for gradient, other in zip(gradients(loss, model, target, weights), expected, strict=True):
        assert torch.allclose(gradient, other, atol=1e-7)


def test_pseudo_likelihood_finds_the_conditionals():
    model, target, weights = clamped_example()
    on = PseudoLikelihood(beta=0.8).details(model, target, weights).found
    state = torch.where(model.clamped, model.unary > 0, target)
    for b, y, x in (~model.clamped).nonzero().tolist():
        p = conditional(model, state, 0.8, b, y, x)
        assert on[b, y, x].item() == pytest.approx(p if target[b, y, x] else 1 - p)
    assert torch.equal(on[model.clamped], torch.zeros(2, dtype=torch.float64))


@given(examples(weights=KNOWN), BETAS)
def test_exact_likelihood_is_that_of_enumeration(example, beta):
    model, target, weights = example
    value = ExactLikelihood(beta=beta)(model, target, weights).item()
    expected = -log_likelihood(model, target, weights > 0, beta)
    assert value == pytest.approx(expected, abs=1e-9 * (1 + 100 * beta))


@pytest.mark.parametrize("periodic", [False, True])
def test_exact_likelihood_gradient_is_that_of_finite_differences(periodic):
    model, mask, weights = clamped_example(periodic=periodic)
    whole = (mask & ~model.clamped, torch.ones_like(weights))
    for target, known in ((mask, weights), whole):

        def oracle(m, target=target, known=known):
            return -sum(log_likelihood(m, target, known > 0, 1.3, b) for b in range(2))

        expected = finite_differences(oracle, model)
        loss = ExactLikelihood(beta=1.3, reduction="none")
        for gradient, other in zip(gradients(loss, model, target, known), expected, strict=True):
            assert torch.allclose(gradient, other, atol=1e-6)


def test_exact_likelihood_of_a_window_as_large_as_the_image_is_that_of_the_image():
    model, target, weights = clamped_example()
    whole = gradients(ExactLikelihood(), model, target, weights)
    window = gradients(ExactLikelihood(crop=(3, 3)), model, target, weights)
    assert all(torch.equal(a, b) for a, b in zip(whole, window, strict=True))


def test_exact_likelihood_takes_windows_of_large_images():
    model = random_grid(3, 40, 30, coupling=0.3, periodic=True)
    target = model.unary > 0
    loss = ExactLikelihood(crop=(4, 3), seed=1, reduction="none")
    seen = set()
    for call in range(4):
        tracked, leaves = with_gradients(model)
        value = loss(tracked, target)
        value.sum().backward()
        assert int(loss.calls) == call + 1
        for b in range(3):
            # The gradient of the unaries is not 0 in the window, and only there.
            rows, columns = (leaves[0].grad[b] != 0).nonzero().unbind(dim=1)
            y, x = int(rows.min()), int(columns.min())
            assert (int(rows.max()), int(columns.max())) == (y + 3, x + 2)
            seen.add((b, y, x))
            small = random_grid(1, 4, 3)
            small = type(small)(
                model.unary[b : b + 1, y : y + 4, x : x + 3],
                model.right[b : b + 1, y : y + 4, x : x + 2],
                model.down[b : b + 1, y : y + 3, x : x + 3],
            )
            alone = ExactLikelihood()(small, target[b : b + 1, y : y + 4, x : x + 3])
            assert value[b].item() == pytest.approx(alone.item(), abs=1e-9)
    assert len(seen) == 12


def test_exact_likelihood_resumes_its_windows():
    model = random_grid(2, 30, 30)
    target = model.unary > 0
    loss = ExactLikelihood(crop=(3, 5), seed=4)
    loss(model, target)
    other = ExactLikelihood(crop=(3, 5), seed=4)
    other.load_state_dict(loss.state_dict())
    ahead = other.eval()(model, target)
    assert torch.equal(other(model, target), ahead)
    assert torch.equal(loss(model, target), ahead)
    assert not torch.equal(loss(model, target), ahead)


@given(examples(), BETAS)
def test_mean_field_likelihood_is_that_of_the_means(example, beta):
    model, target, weights = example
    model = model.to(torch.float64)
    value = MeanFieldLikelihood(beta=beta, tolerance=1e-12)(model, target, weights).item()
    p = MeanField(beta=beta, tolerance=1e-12).marginals(model).probability
    p = torch.where(target, p, 1 - p)[(weights > 0) & ~model.clamped]
    # 1 - p keeps few digits of a small probability.
    if bool((p > 1e-6).all()):
        expected = -(weights.double()[(weights > 0) & ~model.clamped] * p.log()).sum().item()
        assert value == pytest.approx(expected, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("periodic", [False, True])
def test_mean_field_likelihood_gradient_is_that_of_finite_differences(periodic):
    model, target, weights = clamped_example(periodic=periodic)
    method = MeanField(beta=0.9, tolerance=1e-14, max_sweeps=10_000)

    def oracle(m):
        p = method.marginals(m).probability
        return -(weights * torch.where(target, p, 1 - p).log())[~m.clamped].sum().item()

    expected = finite_differences(oracle, model)
    loss = MeanFieldLikelihood(beta=0.9, tolerance=1e-13, max_sweeps=10_000, reduction="none")
    for gradient, other in zip(gradients(loss, model, target, weights), expected, strict=True):
        assert torch.allclose(gradient, other, rtol=1e-6, atol=1e-8)

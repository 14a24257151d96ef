"""Models with targets and weights, and gradients by finite differences of an oracle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import strategies as st
from oracles import energy_of, enumerate_image
from strategies import grids

from mrfmask import IsingGrid

WEIGHTS = st.sampled_from([0.0, 1.0, 1.0, 0.5, 2.0])
KNOWN = st.sampled_from([0.0, 1.0, 1.0])


@st.composite
def examples(draw, weights=WEIGHTS, **options):
    """(model, target, weights) of one image whose target agrees with the clamps where it must."""
    model = draw(grids(**options))
    count = model.unary.numel()
    states = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    values = draw(st.lists(weights, min_size=count, max_size=count))
    target = torch.tensor(states).reshape(model.shape)
    weight = torch.tensor(values).reshape(model.shape)
    must = model.clamped & (weight > 0)
    return model, torch.where(must, model.unary > 0, target), weight


def hinge_oracle(model, target, costs, b=0):
    """max_y [sum costs 1[y != t] - E(y)] + min E(t), t = target where `known`; by enumeration."""
    states = enumerate_image(model, b)
    wrong = states.masks != target[b].numpy()
    lost = (wrong * costs[b].double().numpy()).sum(axis=(1, 2))
    return (lost - states.energies).max()


def target_energy(model, target, known, b=0):
    """The least energy of the masks that are the target where it is known."""
    states = enumerate_image(model, b)
    fits = ~((states.masks != target[b].numpy()) & known[b].numpy()).any(axis=(1, 2))
    return states.energies[fits].min()


def log_likelihood(model, target, known, beta, b=0):
    """log p(target at the known pixels), by enumeration."""
    states = enumerate_image(model, b)
    fits = ~((states.masks != target[b].numpy()) & known[b].numpy()).any(axis=(1, 2))
    probabilities, _ = states.probabilities(beta)
    return np.log(probabilities[fits].sum())


def conditional(model, target, beta, b, y, x):
    """p(x_i = target_i | all others as in the target), from two energies."""
    mask = target[b].numpy().copy()
    here = energy_of(model, b, mask)
    mask[y, x] = ~mask[y, x]
    return 1 / (1 + np.exp(-beta * (energy_of(model, b, mask) - here)))


def finite_differences(oracle, model, step=1e-5):
    """Central differences of oracle(model) in every finite potential; 0 where it is infinite."""
    gradients = []
    for name in ("unary", "right", "down"):
        values = getattr(model, name)
        gradient = torch.zeros_like(values)
        for i in range(values.numel()):
            if values.flatten()[i].isinf():
                continue
            sides = []
            for sign in (1, -1):
                moved = values.clone()
                moved.view(-1)[i] += sign * step
                sides.append(oracle(replace(model, **{name: moved})))
            gradient.view(-1)[i] = (sides[0] - sides[1]) / (2 * step)
        gradients.append(gradient)
    return gradients


def with_gradients(model):
    """The same model with leaves that require gradients, and these."""
    leaves = [t.detach().clone().requires_grad_() for t in (model.unary, model.right, model.down)]
    return IsingGrid(*leaves, model.constant, model.periodic), leaves

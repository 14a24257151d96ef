from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import energy_of, enumerate_image
from strategies import grids, random_grid

from mrfmask import Gibbs, IsingGrid, Status, sample

# Seven standard errors: once in 4 * 10^11 for one comparison, far under 10^-6 for the suite.
SIGMAS = 7.0


@given(grids(), st.sampled_from([0.3, 1.0]), st.integers(0, 2**63 - 1))
def test_gibbs_marginals_equal_enumeration(model, beta, seed):
    """The last states of many chains are independent draws, once the chains have mixed."""
    # The strongest couplings of the strategy need beta <= 1 / 3 or so to mix in 40 sweeps.
    scale = max([1.0] + [t.abs().max().item() for t in (model.right, model.down) if t.numel()])
    model = IsingGrid(
        torch.where(model.clamped, model.unary, model.unary / scale),
        model.right / scale,
        model.down / scale,
        model.constant,
        model.periodic,
    )
    chains = 2000
    table = enumerate_image(model)
    weights, _ = table.probabilities(beta)
    p = (weights[:, None, None] * table.masks).sum(axis=0).clip(0, 1)
    samples = Gibbs(beta=beta, sweeps=1, burn_in=40, chains=chains, seed=seed).sample(model)
    got = samples.masks[0].double().mean(dim=0).numpy()
    assert (np.abs(got - p) <= SIGMAS * np.sqrt(p * (1 - p) / chains) + 2 / chains).all()


@pytest.mark.parametrize("periodic", [False, True])
def test_gibbs_visits_states_as_often_as_they_are_probable(periodic):
    model = random_grid(1, 2, 3, coupling=0.5, signs="any", periodic=periodic)
    table = enumerate_image(model)
    weights, _ = table.probabilities(1.0)
    chains = 20_000
    masks = Gibbs(sweeps=1, burn_in=50, chains=chains, seed=3).sample(model).masks
    powers = 2 ** np.arange(6)
    expected = np.zeros(64)
    expected[(table.masks.reshape(-1, 6) * powers).sum(axis=1)] = weights * chains
    numbers = (masks[0].reshape(chains, 6).numpy() * powers).sum(axis=1)
    chi_square = ((np.bincount(numbers, minlength=64) - expected) ** 2 / expected).sum()
    assert chi_square < 150  # 63 degrees of freedom: beyond once in 10^8


def test_gibbs_pair_marginals_equal_enumeration():
    model = random_grid(1, 3, 3, coupling=0.4, signs="any", periodic=True)
    table = enumerate_image(model)
    weights, _ = table.probabilities(1.0)
    x = np.where(table.masks, 1.0, -1.0)
    result = Gibbs(sweeps=400, burn_in=50, chains=200, seed=1).marginals(model)
    assert result.kind == "estimate"
    assert result.log_partition is None
    tolerance = SIGMAS / math.sqrt(200 * 400 / 4)  # integrated autocorrelation below 4 sweeps here
    for got, axis in ((result.right, 2), (result.down, 1)):
        expected = (weights[:, None, None] * x * np.roll(x, -1, axis=axis)).sum(axis=0)
        assert np.abs(got[0].numpy() - expected).max() < tolerance


@given(grids())
def test_gibbs_energies_are_those_of_the_model(model):
    samples = Gibbs(sweeps=3, burn_in=0, chains=2, seed=1).sample(model)
    # Traced from float32 fields: a few units in the last place of the terms.
    finite = torch.where(model.clamped, 0.0, model.unary)
    size = sum(float(t.abs().double().sum()) for t in (finite, model.right, model.down))
    last = model.to(torch.float32).energy(samples.masks)
    assert (samples.energies[:, :, -1] - last).abs().max() <= 1e-6 * size
    expected = energy_of(model, 0, samples.masks[0, 1].numpy())
    assert samples.energies[0, 1, -1].item() == pytest.approx(expected, abs=2e-6 * size + 1e-12)


def test_gibbs_honours_clamps_and_counts_every_kept_sweep():
    model = random_grid(2, 5, 6)
    on = torch.zeros(2, 5, 6, dtype=torch.bool)
    on[:, ::2, ::2] = True
    model = model.clamp(on=on, off=on.roll(1, 2))
    samples = Gibbs(sweeps=11, burn_in=0, chains=3).sample(model)
    assert (samples.counts.permute(1, 0, 2, 3)[:, on] == 11).all()
    assert (samples.counts.permute(1, 0, 2, 3)[:, on.roll(1, 2)] == 0).all()
    assert torch.allclose(samples.mean, samples.counts.sum(1) / 33)


def test_gibbs_goes_on_exactly_from_where_it_stopped():
    model = random_grid(2, 7, 19, coupling=0.6)
    whole = sample(model, sweeps=30, burn_in=0, chains=2, seed=4)
    first = sample(model, sweeps=12, burn_in=0, chains=2, seed=4)
    rest = sample(
        model,
        sweeps=18,
        burn_in=0,
        chains=2,
        seed=4,
        start=first.masks,
        sweep_offset=first.next_sweep,
    )
    assert torch.equal(rest.masks, whole.masks)
    assert torch.equal(first.counts + rest.counts, whole.counts)
    assert torch.equal(torch.cat([first.energies, rest.energies], dim=2), whole.energies)


def test_gibbs_start_cannot_violate_a_clamp():
    unary = torch.tensor([[[0.0, torch.inf]]])
    model = IsingGrid(unary, torch.tensor([[[50.0]]]), torch.zeros(1, 0, 2))
    start = torch.zeros(1, 1, 1, 2, dtype=torch.bool)
    samples = Gibbs(sweeps=1, burn_in=0, start=start).sample(model)
    assert samples.masks.all()


def test_gibbs_reports_chains_that_disagree():
    # Two far apart ground states: chains that start in either stay there.
    model = IsingGrid(torch.zeros(1, 6, 6), torch.full((1, 6, 5), 3.0), torch.full((1, 5, 6), 3.0))
    model = IsingGrid(torch.full((1, 6, 6), 0.05), model.right, model.down)
    start = torch.zeros(1, 2, 6, 6, dtype=torch.bool)
    start[:, 1] = True
    stuck = Gibbs(chains=2, burn_in=0, sweeps=50, start=start).sample(model)
    assert stuck.status == (Status.UNMIXED,)
    free = Gibbs(chains=4, sweeps=4000).sample(random_grid(1, 4, 4, coupling=0.1))
    assert free.status == (Status.MIXED,)
    assert 4000 < free.effective_sample_size.item() < 24_000


@pytest.mark.parametrize(("height", "width"), [(6, 1), (1, 6), (3, 4)])
@pytest.mark.parametrize("chains", [1, 40])
def test_gibbs_pairs_equal_enumeration(height, width, chains):
    model = random_grid(1, height, width, coupling=0.4, signs="any", seed=8)
    table = enumerate_image(model)
    weights, _ = table.probabilities(1.0)
    x = np.where(table.masks, 1.0, -1.0)
    result = Gibbs(sweeps=40_000 // chains, burn_in=50, chains=chains, seed=2).marginals(model)
    for got, first, second in (
        (result.right, x[:, :, :-1], x[:, :, 1:]),
        (result.down, x[:, :-1], x[:, 1:]),
    ):
        expected = (weights[:, None, None] * first * second).sum(axis=0)
        # Autocorrelation of weak couplings: at most four sweeps to an independent state.
        assert (np.abs(got[0].numpy() - expected) <= SIGMAS * math.sqrt(4 / 40_000)).all()

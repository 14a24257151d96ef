from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import couplings, enumerate_image
from strategies import grids, random_grid

from mrfmask import Exact, Gibbs, GraphCut, Ilp, IsingGrid, Status
from mrfmask.inference.elimination import Elimination
from mrfmask.inference.enumeration import Enumeration

BETAS = st.sampled_from([0.3, 1.0, 2.5])


@given(grids())
def test_exact_map_has_the_lowest_energy(model):
    result = Exact().find_map(model)
    minimum = enumerate_image(model).minimum()
    assert result.energy.item() == pytest.approx(minimum, abs=1e-9)
    assert result.lower_bound.item() == pytest.approx(minimum, abs=1e-9)
    assert result.status == (Status.OPTIMAL,)
    assert result.verify(model)


@given(grids(dtype=torch.float64), BETAS)
def test_exact_marginals_equal_enumeration(model, beta):
    table = enumerate_image(model)
    weights, log_partition = table.probabilities(beta)
    result = Exact(beta=beta).marginals(model)
    assert result.kind == "exact"
    assert result.log_partition.item() == pytest.approx(log_partition, abs=1e-9)
    expected = (weights[:, None, None] * table.masks).sum(axis=0)
    np.testing.assert_allclose(result.probability[0].numpy(), expected, atol=1e-9)
    x = np.where(table.masks, 1.0, -1.0)
    pairs = [(weights * x[:, *i] * x[:, *j]).sum() for i, j, _ in couplings(model, 0)]
    # The oracle lists couplings pixel by pixel, the result by direction.
    got = sorted(torch.cat([result.right.flatten(), result.down.flatten()]).tolist())
    np.testing.assert_allclose(got, sorted(pairs), atol=1e-9)


def test_exact_pair_marginals_are_in_their_places():
    model = random_grid(1, 2, 3, periodic=True, signs="any", dtype=torch.float64)
    table = enumerate_image(model)
    weights, _ = table.probabilities(1.0)
    x = np.where(table.masks, 1.0, -1.0)
    result = Exact().marginals(model)
    right = (weights[:, None, None] * x * np.roll(x, -1, axis=2)).sum(axis=0)
    down = (weights[:, None, None] * x * np.roll(x, -1, axis=1)).sum(axis=0)
    np.testing.assert_allclose(result.right[0].numpy(), right, atol=1e-12)
    np.testing.assert_allclose(result.down[0].numpy(), down, atol=1e-12)


def test_exact_samples_pass_a_chi_square_test():
    model = random_grid(1, 2, 3, signs="any", dtype=torch.float64)
    table = enumerate_image(model)
    weights, _ = table.probabilities(1.0)
    draws = 20_000
    samples = Exact(chains=draws, seed=7).sample(model)
    powers = 2 ** np.arange(6)
    expected = np.zeros(64)
    expected[(table.masks.reshape(-1, 6) * powers).sum(axis=1)] = weights * draws
    numbers = (samples.masks[0].reshape(draws, 6).numpy() * powers).sum(axis=1)
    counts = np.bincount(numbers, minlength=64)
    chi_square = ((counts - expected) ** 2 / expected).sum()
    # 63 degrees of freedom: beyond 150 once in 10^8.
    assert chi_square < 150


def test_exact_samples_do_not_depend_on_the_batch_split():
    model = random_grid(3, 3, 3)
    seeds = (5, 6, 7)
    whole = Exact(chains=9, seed=seeds).sample(model).masks
    parts = [Exact(chains=9, seed=(s,)).sample(model[b]).masks for b, s in enumerate(seeds)]
    assert torch.equal(whole, torch.cat(parts))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("size", [(2, 7), (7, 2), (3, 5), (4, 4), (1, 13), (13, 1), (3, 2), (2, 2)])
def test_elimination_and_enumeration_agree(size, periodic, seed):
    model = random_grid(
        1, *size, signs="any", periodic=periodic, seed=seed, coupling=1.5, dtype=torch.float64
    )
    unary = model.unary.clone()
    unary.view(-1)[seed % unary.numel()] = torch.inf if seed % 2 else -torch.inf
    model = IsingGrid(unary, model.right, model.down, torch.tensor([0.5]).double(), periodic)
    fast, listed = Elimination(model), Enumeration(model)
    assert fast.minimum()[1].item() == pytest.approx(listed.minimum()[1].item(), abs=1e-12)
    for got, expected in zip(fast.marginals(0.8), listed.marginals(0.8), strict=True):
        assert torch.allclose(got, expected, atol=1e-11)


def test_elimination_samples_have_the_exact_marginals():
    model = random_grid(1, 6, 30, coupling=0.6, signs="any", dtype=torch.float64)
    draws = 4000
    p = Exact().marginals(model).probability[0]
    mean = Exact(chains=draws, seed=3).sample(model).mean[0]
    assert ((mean - p).abs() <= 7 * (p * (1 - p) / draws).sqrt() + 2 / draws).all()


def test_gibbs_agrees_with_elimination_on_a_strip():
    model = random_grid(1, 12, 64, coupling=0.4, signs="any")
    p = Exact().marginals(model).probability[0].double()
    samples = Gibbs(sweeps=1, burn_in=60, chains=4000, seed=5).sample(model)
    got = samples.masks[0].double().mean(dim=0)
    assert ((got - p).abs() <= 7 * (p * (1 - p) / 4000).sqrt() + 2 / 4000).all()


def test_exact_map_equals_graph_cut_and_ilp_on_strips():
    strip = random_grid(2, 11, 40, coupling=0.7)
    assert torch.allclose(Exact().find_map(strip).energy, GraphCut().find_map(strip).energy)
    mixed = random_grid(1, 10, 14, signs="any")
    assert torch.allclose(Exact().find_map(mixed).energy, Ilp().find_map(mixed).energy)


def test_exact_takes_wide_grids_with_twenty_free_pixels():
    unary = torch.full((1, 15, 16), torch.inf)
    unary[0, 0, :] = unary[0, 1, :4] = 0.1
    model = IsingGrid(unary, torch.full((1, 15, 15), 0.3), torch.full((1, 14, 16), 0.3))
    assert Exact().find_map(model).mask.all()
    large = random_grid(1, 40, 41)
    with pytest.raises(ValueError, match=r"for exact; got 1640 free nodes with tables of 2\^2\d"):
        Exact().find_map(large)

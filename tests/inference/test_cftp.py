"""Perfect samples against enumeration, and what is promised of chains that do not coalesce."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from graph_models import random_graph
from hypothesis import given
from hypothesis import strategies as st
from oracles import enumerate_image
from scipy.stats import chi2
from strategies import grids, random_grid

import mrfmask as mm
from mrfmask import Cftp, IsingGraph, IsingGrid, Status
from mrfmask.inference import cftp
from mrfmask.inference.gauge import gauge, turned

CHAINS = 8000


def chi_square(model, masks, beta=1.0):
    """Pearson's statistic over all states and its limit, exceeded by chance once in 10^7.

    States that are expected under five times are taken together.
    """
    table = enumerate_image(model)
    weights, _ = table.probabilities(beta)
    sites = table.masks[0].size
    powers = 2 ** np.arange(sites)
    expected = np.zeros(2**sites)
    expected[(table.masks.reshape(-1, sites) * powers).sum(axis=1)] = weights * len(masks)
    seen = np.bincount((masks.reshape(-1, sites).numpy() * powers).sum(axis=1), minlength=2**sites)
    rare = expected < 5
    seen = np.append(seen[~rare], seen[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    some = expected > 0
    assert seen[~some].sum() == 0
    statistic = ((seen[some] - expected[some]) ** 2 / expected[some]).sum()
    return statistic, chi2.isf(1e-7, some.sum() - 1)


SMALL = {
    "grid": random_grid(1, 3, 3, coupling=0.5, seed=1),
    "strong grid": random_grid(1, 3, 3, coupling=1.2, seed=2),
    "torus": random_grid(1, 2, 4, coupling=0.4, seed=3, periodic=True),
    "diagonals": random_grid(1, 3, 3, coupling=0.3, seed=4),
    "repulsive grid": random_grid(1, 3, 3, coupling=0.6, seed=5, signs="repulsive"),
    "graph": random_graph(1, 8, 14, coupling=0.4, signs="associative", seed=6),
    "dense graph": random_graph(1, 7, 21, coupling=0.3, signs="associative", seed=7),
    "clamped graph": random_graph(1, 9, 14, 0.5, signs="associative", seed=8, clamped=0.3),
}
grid = SMALL["diagonals"]
SMALL["diagonals"] = IsingGrid(
    grid.unary, grid.right, grid.down, down_right=torch.full((1, 2, 2), 0.3)
)


@pytest.mark.parametrize("name", SMALL)
def test_cftp_draws_states_as_often_as_they_are_probable(name):
    model = SMALL[name]
    samples = Cftp(chains=CHAINS, beta=0.8, seed=11).sample(model)
    assert samples.status == (Status.COALESCED,)
    statistic, limit = chi_square(model, samples.masks[0], beta=0.8)
    assert statistic < limit


def test_chi_square_rejects_coupling_into_the_future(monkeypatch):
    """Draws by the time since the start make the sample the first meeting, which is biased."""
    run = cftp.sweeps.gibbs
    monkeypatch.setattr(
        cftp.sweeps,
        "gibbs",
        lambda *arguments: run(*arguments[:7], torch.zeros(1, dtype=torch.int64), *arguments[8:]),
    )
    model = random_grid(1, 1, 4, coupling=1.0, seed=2)
    model = IsingGrid(0.3 * model.unary, model.right, model.down)
    statistic, limit = chi_square(model, Cftp(chains=100_000, seed=11).sample(model).masks[0])
    assert statistic > 2 * limit
    monkeypatch.undo()
    statistic, limit = chi_square(model, Cftp(chains=100_000, seed=11).sample(model).masks[0])
    assert statistic < limit


@given(grids(signs="associative", most_pixels=9), st.integers(0, 2**63 - 1))
def test_cftp_does_not_depend_on_how_far_it_may_go_back(model, seed):
    near = Cftp(chains=3, seed=seed, beta=0.3, max_sweeps=256).sample(model)
    far = Cftp(chains=3, seed=seed, beta=0.3, max_sweeps=1000).sample(model)
    same = near.stats["coalesced"]
    assert torch.equal(near.masks[same], far.masks[same])
    assert torch.equal(near.stats["sweeps"][same], far.stats["sweeps"][same])


def test_cftp_is_the_end_of_gibbs_chains_from_any_start():
    model = random_grid(2, 12, 9, coupling=0.3)
    samples = Cftp(chains=4, seed=(5, 6)).sample(model)
    longest = int(samples.stats["sweeps"].max())
    start = torch.rand(2, 4, 12, 9, generator=torch.Generator().manual_seed(0)) < 0.5
    offset = cftp.PRESENT - longest
    ends = mm.sample(model, 1, longest - 1, chains=4, seed=(5, 6), start=start, sweep_offset=offset)
    assert torch.equal(ends.masks, samples.masks)
    assert torch.equal(samples.energies[:, :, 0], model.energy(samples.masks))


def test_cftp_says_which_chains_have_not_coalesced():
    easy, hard = random_grid(1, 8, 8, coupling=0.1), random_grid(1, 8, 8, coupling=1.0, seed=1)
    hard = IsingGrid(0 * hard.unary, hard.right, hard.down)
    both = IsingGrid(*(torch.cat([getattr(m, n) for m in (easy, hard)]) for n in PARTS))
    samples = Cftp(chains=5, seed=(1, 2), max_sweeps=24).sample(both)
    assert samples.status == (Status.COALESCED, Status.NOT_COALESCED)
    coalesced, sweeps = samples.stats["coalesced"], samples.stats["sweeps"]
    assert coalesced[0].all()
    assert not coalesced[1].all()
    assert (sweeps[~coalesced] == 24).all()
    assert samples.effective_sample_size.tolist() == [5, coalesced[1].sum()]
    assert samples.r_hat.isnan().tolist() == [False, True]
    low = torch.zeros(1, 5, 8, 8, dtype=torch.bool)
    offset = cftp.PRESENT - 24
    plain = mm.sample(hard, 1, 23, chains=5, seed=(2,), start=low, sweep_offset=offset)
    assert torch.equal(samples.masks[1:][~coalesced[1:]], plain.masks[~coalesced[1:]])


PARTS = ("unary", "right", "down")


def test_cftp_of_chains_is_that_of_fewer_chains_and_of_single_images():
    model = random_graph(3, 40, 60, coupling=0.3, signs="associative", dtype=torch.float32)
    whole = Cftp(chains=40, seed=(1, 2, 3)).sample(model)
    for chains in (1, 20):
        fewer = Cftp(chains=chains, seed=(2,)).sample(model[1])
        assert torch.equal(fewer.masks[0], whole.masks[1, :chains])
        assert torch.equal(fewer.stats["sweeps"][0], whole.stats["sweeps"][1, :chains])


def test_cftp_stops_when_runs_cross(monkeypatch):
    monkeypatch.setattr(cftp, "gauge", lambda model: (model.unary > 9, torch.tensor([True])))
    model = random_grid(1, 6, 6, coupling=0.5, signs="repulsive")
    with pytest.raises(RuntimeError, match="must not cross"):
        Cftp(chains=8).sample(model)


def test_cftp_refuses_frustrated_models():
    triangle = torch.tensor([[0, 1], [1, 2], [0, 2]])
    model = IsingGraph(torch.zeros(1, 3), triangle, -torch.ones(1, 3))
    with pytest.raises(ValueError, match="must be balanced for cftp; got a cycle"):
        Cftp().sample(model)
    one = torch.tensor([[True, False, False]])
    assert Cftp().sample(model.clamp(on=one)).status == (Status.COALESCED,)


@pytest.mark.parametrize("seed", range(6))
def test_gauge_makes_balanced_models_associative(seed):
    model = random_graph(2, 30, 45, signs="associative", seed=seed, clamped=0.1)
    hidden = torch.rand(2, 30, generator=torch.Generator().manual_seed(seed)) < 0.5
    mixed = turned(model, hidden & ~model.clamped)
    turn, balanced = gauge(mixed)
    assert balanced.all()
    assert not turn[model.clamped].any()
    found = turned(mixed, turn)
    free = ~(found.clamped[:, model.edges[:, 0]] | found.clamped[:, model.edges[:, 1]])
    assert (found.pairwise[free] >= 0).all()
    masks = torch.rand(2, 30, generator=torch.Generator().manual_seed(9)) < 0.5
    masks = torch.where(model.clamped, model.unary > 0, masks)
    assert torch.allclose(found.energy(masks ^ turn), mixed.energy(masks))


@pytest.mark.parametrize("repulsive", range(6))
def test_gauge_tells_rings_with_an_odd_number_of_repulsive_couplings(repulsive):
    ring = torch.tensor([[0, 1], [1, 2], [2, 3], [3, 4], [4, 0], [5, 2]])
    pairwise = torch.where(torch.arange(6) < repulsive, -1.0, 1.0)[None]
    pairs_of_ring = min(repulsive, 5)
    _, balanced = gauge(IsingGraph(torch.zeros(1, 6), ring, pairwise))
    assert balanced.item() == (pairs_of_ring % 2 == 0)


def test_sample_takes_a_method_and_its_options():
    model = random_grid(1, 4, 4, coupling=0.2)
    by_name = mm.sample(model, method="cftp", chains=3, seed=2, max_sweeps=64)
    assert torch.equal(by_name.masks, Cftp(chains=3, seed=2, max_sweeps=64).sample(model).masks)
    exact = mm.sample(model, method="exact", chains=2, beta=0.5)
    assert exact.status == (Status.EXACT,)
    with pytest.raises(TypeError, match="options must be ones that cftp has; got 'sweeps'"):
        mm.sample(model, 50, method="cftp")
    with pytest.raises(TypeError, match="options must be ones that gibbs has; got 'max_sweeps'"):
        mm.sample(model, max_sweeps=9)
    with pytest.raises(TypeError, match="options must be ones that cftp has; got 'budget'"):
        mm.sample(model, method="cftp", budget=3)
    with pytest.raises(ValueError, match="method must be one of"):
        mm.sample(model, method="wolff")

"""Min-marginals: enumeration, a clamp and a new cut, and what the margins say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from graph_models import balanced, graphs, random_graph
from hypothesis import given
from hypothesis import strategies as st
from oracles import enumerate_image
from strategies import grids, random_grid

from mrfmask import GraphCut, IsingGraph, min_marginals


def assert_enumerated(model, found):
    """Every energy is the least of the masks that enumeration lists for the state."""
    for b in range(len(model)):
        listed = enumerate_image(model, b)
        masks = listed.masks.reshape(len(listed.masks), -1)
        for at, site in enumerate(found.sites.tolist()):
            for state in (0, 1):
                energies = listed.energies[masks[:, site] == state]
                got = found.energies[b, at, state].item()
                if not len(energies):
                    assert got == np.inf
                    continue
                slack = found.rounding[b].item() + 1e-12 * (1 + np.abs(listed.energies).max())
                assert abs(got - energies.min()) <= slack


@given(balanced())
def test_energies_are_those_of_enumeration(model):
    found = min_marginals(model)
    assert_enumerated(model, found)
    assert torch.equal(found.energy, model.energy(found.mask))
    assert bool((found.lower_bound <= found.energy).all())


@given(grids(signs="associative"), st.data())
def test_energies_are_those_of_enumeration_on_a_grid(grid, data):
    count = grid.unary[0].numel()
    sites = data.draw(st.lists(st.integers(0, count - 1), max_size=6))
    found = min_marginals(grid, torch.tensor(sites, dtype=torch.int64))
    assert found.energies.shape == (len(grid), len(sites), 2)
    assert found.mask.shape == grid.shape
    assert_enumerated(grid, found)


@given(graphs(signs="associative", most_nodes=10, batch=2))
def test_one_state_has_the_minimum_and_the_mask_has_it(model):
    found = min_marginals(model)
    state = found.mask.long()[..., None]
    own = found.energies.gather(2, state)[..., 0]
    assert torch.equal(own, found.energy[:, None].expand_as(own))
    assert bool((found.energies >= found.energy[:, None, None]).all())
    assert bool((found.margin[found.mask] >= 0).all() & (found.margin[~found.mask] <= 0).all())


@pytest.mark.parametrize("coupling", [0.3, 1.0])
@pytest.mark.parametrize("edges", [700, 4000])
def test_energies_are_those_of_clamped_cuts(coupling, edges):
    model = random_graph(1, 400, edges, coupling=coupling, signs="associative", seed=edges)
    # Integers: both ways exact.
    model = IsingGraph((model.unary * 16).round(), model.edges, (model.pairwise * 16).round())
    sites = torch.arange(0, 400, 13)
    found = min_marginals(model, sites)
    assert found.rounding.item() == 0
    for at, site in enumerate(sites.tolist()):
        for state in (0, 1):
            clamp = torch.where(torch.arange(400) == site, torch.inf * (2 * state - 1), model.unary)
            # A clamp counts 0 in the energy, the site's own potential does not.
            own = (1 - 2 * state) * model.unary[0, site].item()
            least = GraphCut()(IsingGraph(clamp, model.edges, model.pairwise)).energy.item()
            assert found.energies[0, at, state].item() == least + own


def test_large_grid_agrees_with_clamped_cuts():
    grid = random_grid(2, 50, 60, coupling=1.0, signs="repulsive", seed=2)
    sites = torch.tensor([0, 777, 1800, 2999])
    found = min_marginals(grid, sites)
    for at, site in enumerate(sites.tolist()):
        where = (torch.arange(3000) == site).reshape(1, 50, 60).expand(2, 50, 60)
        for state, clamped in enumerate((grid.clamp(off=where), grid.clamp(on=where))):
            own = (1 - 2 * state) * grid.unary.flatten(1)[:, site].double()
            least = GraphCut(lossless=True)(clamped).energy + own
            torch.testing.assert_close(found.energies[:, at, state], least, rtol=0, atol=1e-6)


def test_a_batch_of_no_models_has_no_energies():
    found = min_marginals(IsingGraph(torch.zeros(0, 3), torch.tensor([[0, 1]]), torch.ones(0, 1)))
    assert found.energies.shape == (0, 3, 2)
    assert found.mask.shape == (0, 3)


def test_sites_must_name_sites():
    model = random_graph(1, 5, 4, signs="associative")
    for sites, kind, message in (
        ([1], TypeError, "sites must be an int64 tensor"),
        (torch.tensor([1.0]), TypeError, "sites must be an int64 tensor"),
        (torch.tensor([[1]]), ValueError, "sites must have shape"),
        (torch.tensor([0, 5]), ValueError, r"sites must lie in 0..4; got 5"),
        (torch.tensor([-1]), ValueError, r"sites must lie in 0..4; got -1"),
    ):
        with pytest.raises(kind, match=message):
            min_marginals(model, sites)


def test_frustrated_models_are_refused():
    triangle = torch.tensor([[0, 1], [1, 2], [0, 2]])
    model = IsingGraph(torch.zeros(1, 3), triangle, -torch.ones(1, 3))
    with pytest.raises(ValueError, match="balanced"):
        min_marginals(model)


def test_min_marginals_of_an_empty_batch_are_empty():
    model = random_graph(3, 5, 6, signs="associative")[:0]
    assert min_marginals(model).energies.shape == (0, 5, 2)
    assert min_marginals(model, torch.tensor([4])).energies.shape == (0, 1, 2)

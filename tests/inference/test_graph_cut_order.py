"""Cuts do not depend on how nodes are numbered, even where solvers number them anew."""

from __future__ import annotations

import pytest
import torch

import mrfmask as mm
from mrfmask.inference.min_marginals import min_marginals


def lattice():
    """20 x 20 nodes row by row with integer potentials, which leave many ties."""
    random = torch.Generator().manual_seed(3)
    node = torch.arange(400).reshape(20, 20)
    right = torch.stack([node[:, :-1].flatten(), node[:, 1:].flatten()], dim=1)
    down = torch.stack([node[:-1].flatten(), node[1:].flatten()], dim=1)
    edges = torch.cat([right, down])
    unary = torch.randint(-2, 3, (2, 400), generator=random).float()
    pairwise = torch.randint(0, 3, (2, len(edges)), generator=random).float()
    return mm.IsingGraph(unary, edges, pairwise)


def shuffled(model):
    """The same model with its nodes numbered at random, and the new numbers by the old ones."""
    number = torch.randperm(400, generator=torch.Generator().manual_seed(4))
    unary = torch.empty_like(model.unary)
    unary[:, number] = model.unary
    return mm.IsingGraph(unary, number[model.edges].flip(1), model.pairwise), number


@pytest.mark.parametrize("tie", ["min", "max"])
def test_graph_cut_is_the_same_cut_when_nodes_are_shuffled(tie):
    model = lattice()
    other, number = shuffled(model)
    cut = mm.GraphCut(tie=tie)
    expected, found = cut.find_map(model), cut.find_map(other)
    assert found.verify(other)
    assert torch.equal(found.mask[:, number], expected.mask)
    changed = mm.IsingGraph(other.unary.roll(1, 1), other.edges, other.pairwise)
    warm = mm.GraphCut(tie=tie, start=found).find_map(changed)
    assert warm.verify(changed)
    assert torch.equal(warm.mask, cut.find_map(changed).mask)


def test_min_marginals_are_the_same_when_nodes_are_shuffled():
    model = lattice()
    other, number = shuffled(model)
    sites = torch.arange(0, 400, 7)
    expected = min_marginals(model, sites)
    found = min_marginals(other, number[sites])
    assert torch.equal(found.energies, expected.energies)

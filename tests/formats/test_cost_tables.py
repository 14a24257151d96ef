"""Models of cost tables have the sums of the tables as energies."""

from __future__ import annotations

import itertools
import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mrfmask as mm


@st.composite
def tables(draw):
    """(unary, edges, pairwise), two models, with forbidden states and parallel edges."""
    nodes = draw(st.integers(1, 6))
    pairs = [*itertools.permutations(range(nodes), 2)]
    edges = draw(st.lists(st.sampled_from(pairs), max_size=8)) if pairs else []
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    unary = torch.randn(2, nodes, 2, generator=generator, dtype=dtype)
    clamp = torch.rand(2, nodes, generator=generator) < 0.3
    state = (torch.rand(2, nodes, generator=generator) < 0.5).long()
    forbidden = clamp[:, :, None] & torch.nn.functional.one_hot(state, 2).bool()
    pairwise = torch.randn(2, len(edges), 2, 2, generator=generator, dtype=dtype)
    edges = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2)
    return unary.masked_fill(forbidden, math.inf), edges, pairwise


@given(costs=tables())
def test_from_costs_keeps_all_energies(costs):
    unary, edges, pairwise = costs
    model = mm.IsingGraph.from_costs(*costs)
    assert model.dtype == unary.dtype
    for states in itertools.product([0, 1], repeat=unary.shape[1]):
        energy = model.energy(torch.tensor([states] * 2, dtype=torch.bool)).tolist()
        for b in range(2):
            expected = sum(unary[b, i, s].item() for i, s in enumerate(states))
            for e, (i, j) in enumerate(edges.tolist()):
                expected += pairwise[b, e, states[i], states[j]].item()
            tolerance = 1e-5 if unary.dtype == torch.float32 else 1e-12
            assert energy[b] == pytest.approx(expected, abs=tolerance)


UNARY, EDGES, PAIRWISE = torch.zeros(1, 3, 2), torch.tensor([[0, 1]]), torch.zeros(1, 1, 2, 2)
BAD = [
    (
        (UNARY[0], EDGES, PAIRWISE),
        ValueError,
        "unary must have shape (batch, nodes, 2); got (3, 2)",
    ),
    ((UNARY, EDGES + 2, PAIRWISE), ValueError, "edges must join nodes 0..2; got (2, 3) in row 0."),
    (
        (UNARY, EDGES, PAIRWISE[0]),
        ValueError,
        "pairwise must have shape (1, 1, 2, 2), one table an",
    ),
    ((UNARY, EDGES, PAIRWISE.double()), TypeError, "pairwise must have the dtype of unary, torch."),
    (
        (UNARY - math.inf, EDGES, PAIRWISE),
        ValueError,
        "unary must hold finite costs or +inf (a for",
    ),
    (
        (UNARY + math.inf, EDGES, PAIRWISE),
        ValueError,
        "unary must leave each node a state; got +inf for both states of node 0 of image 0.",
    ),
    (
        (UNARY, EDGES, PAIRWISE * math.nan),
        ValueError,
        "pairwise must hold finite costs; got NaN or",
    ),
]


@pytest.mark.parametrize(("arguments", "kind", "message"), BAD)
def test_from_costs_says_what_is_wrong(arguments, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        mm.IsingGraph.from_costs(*arguments)

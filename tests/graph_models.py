"""Graph models for tests: a random one by seed, and a Hypothesis strategy."""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch
from hypothesis import strategies as st
from strategies import ODD, TIED

from mrfmask.graph import IsingGraph

SIGNS = {"any": lambda v: v, "associative": abs, "repulsive": lambda v: -abs(v)}


def random_graph(
    batch, nodes, edges, coupling=1.0, signs="any", seed=0, clamped=0.0, dtype=torch.float64
):
    """A simple graph of so many edges (fewer if it has not as many pairs), Gaussian potentials."""
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.tensor([*itertools.combinations(range(nodes), 2)], dtype=torch.int64).reshape(
        -1, 2
    )
    chosen = torch.randperm(len(pairs), generator=generator)[:edges]
    pairwise = torch.randn(batch, len(chosen), generator=generator, dtype=dtype)
    unary = torch.randn(batch, nodes, generator=generator, dtype=dtype)
    clamps = torch.rand(batch, nodes, generator=generator) < clamped
    unary = torch.where(clamps, unary.sign() * torch.inf, unary)
    pairwise = coupling * {"any": pairwise, "associative": pairwise.abs()}.get(
        signs, -pairwise.abs()
    )
    return IsingGraph(unary, pairs[chosen], pairwise)


@st.composite
def graphs(draw, signs="any", most_nodes=12, clamps=True, batch=1, dtype=None):
    """Models on at most `most_nodes`, with parallel edges and loose nodes, that share a graph."""
    nodes = draw(st.integers(1, most_nodes))
    pairs = list(itertools.combinations(range(nodes), 2))
    listed = draw(st.lists(st.sampled_from(pairs), max_size=20)) if pairs else []
    edges = torch.tensor([draw(st.permutations(pair)) for pair in listed], dtype=torch.int64)
    dtype = dtype or draw(st.sampled_from([torch.float32, torch.float64]))
    values = draw(st.sampled_from([TIED, ODD]))

    def tensor(source, columns):
        count = batch * columns
        data = draw(st.lists(source, min_size=count, max_size=count))
        return torch.tensor(data, dtype=dtype).reshape(batch, columns)

    unary = tensor(values, nodes)
    if clamps and draw(st.booleans()):
        kind = tensor(st.sampled_from([0.0, 0.0, 0.0, 1.0, -1.0]), nodes)
        unary = torch.where(kind == 0, unary, kind * torch.inf)
    constant = torch.tensor([draw(st.sampled_from([0.0, -1.5, 10.0]))] * batch, dtype=torch.float64)
    pairwise = tensor(values.map(SIGNS[signs]), len(listed))
    return IsingGraph(unary, edges.reshape(-1, 2), pairwise, constant)


def turn(model, nodes):
    """The same energies with some nodes of every model turned round."""
    first, second = (nodes[..., model.edges[:, end]] for end in (0, 1))
    return replace(
        model,
        unary=torch.where(nodes, -model.unary, model.unary),
        pairwise=torch.where(first ^ second, -model.pairwise, model.pairwise),
    )


@st.composite
def balanced(draw):
    """Associative graphs, each model of the batch turned in its own way."""
    batch = draw(st.integers(1, 3))
    model = draw(graphs(signs="associative", most_nodes=8, batch=batch))
    bits = draw(st.lists(st.booleans(), min_size=batch * 8, max_size=batch * 8))
    return turn(model, torch.tensor(bits).reshape(batch, 8)[:, : model.shape[1]])

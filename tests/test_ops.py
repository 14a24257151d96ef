"""The operators obey torch's rules: schemas, fakes, no hidden mutation, torch.compile."""

from __future__ import annotations

import pytest
import torch
from graph_models import random_graph
from strategies import random_grid

from mrfmask import ops
from mrfmask.select import operator


def gibbs_arguments(model, keep):
    return (
        model.unary,
        model.right,
        model.down,
        model.periodic,
        torch.full((2, 5), 0.7, dtype=torch.float64),
        torch.tensor([[1, 0], [1, 1]]),
        torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)) > 0.5 if keep else None,
        3,
        2,
        3,
        torch.tensor([7]),
        keep,
        keep,
    )


def calls():
    for periodic in (False, True):
        model = random_grid(2, 4, 5, coupling=0.5, periodic=periodic)
        potentials = (model.unary, model.right, model.down, periodic)
        for keep in (False, True):
            yield f"gibbs {periodic} {keep}", ops.gibbs, gibbs_arguments(model, keep)
        beta = torch.tensor([0.8, 1.1], dtype=torch.float64)
        yield f"mean_field {periodic}", ops.mean_field, (*potentials, beta, None, 6, 1e-5)
        start = torch.zeros(2, 4, 5)
        yield f"mean_field start {periodic}", ops.mean_field, (*potentials, beta, start, 6, 1e-5)
        eight = random_grid(2, 4, 5, coupling=0.5, periodic=periodic, diagonals=True)
        diagonal = (eight.unary, *eight.couplings.values(), periodic)
        for keep in (False, True):
            arguments = (*diagonal, *gibbs_arguments(model, keep)[4:])
            yield f"diagonal_gibbs {periodic} {keep}", ops.diagonal_gibbs, arguments
            means = (*diagonal, beta, start if keep else None, 6, 1e-5)
            yield f"diagonal_mean_field {periodic} {keep}", ops.diagonal_mean_field, means
        yield f"budget_path {periodic}", ops.budget_path, potentials
        counted = (beta, torch.tensor([3, 20]), torch.tensor([[1, 0], [1, 1]]))
        for keep in (False, True):
            start = torch.arange(20).reshape(1, 1, 4, 5) < counted[1][:, None, None, None]
            start = start.repeat(1, 3, 1, 1) if keep else None
            arguments = (*potentials, *counted, start, 3, 2, 4, 7, keep)
            yield f"kawasaki {periodic} {keep}", ops.kawasaki, arguments
        mask, price = model.unary > 0, torch.arange(1, 41).reshape(2, 4, 5)
        reach = (*potentials, torch.tensor([3, 9]), mask)
        yield f"reach_count {periodic}", ops.reach_count, reach
        keep = (*potentials, price, torch.tensor([30, 99]), mask)
        yield f"keep_limit {periodic}", ops.keep_limit, keep
        for wide in (False, True):
            cold = (*potentials, None, None, None, None, wide, wide)
            yield f"graph_cut {periodic} {wide}", ops.graph_cut, cold
            mask, exponent, _, _, right, down = ops.graph_cut(*cold)
            warm = (*potentials, right, down, mask, exponent, wide, wide)
            yield f"graph_cut start {periodic} {wide}", ops.graph_cut, warm
        exact = (*(t.double() for t in potentials[:3]), periodic, (model.unary > -1).long())
        yield f"strip_dual {periodic}", ops.strip_dual, (*exact, None, False, 4, 2)
        amount = torch.tensor([3, 5])
        yield f"strip_dual amount {periodic}", ops.strip_dual, (*exact, amount, True, 3, 2)
    graph = random_graph(2, 6, 9, signs="associative", dtype=torch.float32)
    potentials = (graph.unary, graph.edges, graph.pairwise)
    for wide in (False, True):
        cold = (*potentials, None, None, None, wide, wide)
        yield f"cut_graph {wide}", ops.cut_graph, cold
        mask, exponent, _, _, flow = ops.cut_graph(*cold)
        warm = (*potentials, flow, mask, exponent, wide, wide)
        yield f"cut_graph start {wide}", ops.cut_graph, warm
    yield "gauge", ops.gauge, potentials
    yield "min_marginals", ops.min_marginals, (*potentials, torch.tensor([4, 0]))
    state = torch.tensor([[[0, 0, 3, 2], [0, 2, 0, 0]]], dtype=torch.uint8)
    weight = torch.rand(1, 2, 4, generator=torch.Generator().manual_seed(0)).double() + 0.5
    yield "long_range", operator.long_range, (weight, torch.tensor([2]), state, 8, 9)
    unary = torch.tensor([[0.5, -1.0, 0.0], [0.1, 0.2, -0.3]])
    pairs = (torch.tensor([0, 1, 1]), torch.tensor([0, 1]), torch.tensor([1, 2]))
    for wide in (False, True):
        arguments = (unary, torch.tensor([[1.0, -1, 2], [0.3, 0, -5]]), *pairs, wide)
        yield f"qpbo {wide}", ops.qpbo, arguments
    yield "exact_uniforms", ops.exact_uniforms, (torch.tensor([1, 0]), 4, 3)


CALLS = list(calls())


@pytest.mark.parametrize(("name", "op", "arguments"), CALLS, ids=[c[0] for c in CALLS])
def test_operator_passes_opcheck(name, op, arguments):
    torch.library.opcheck(op, arguments)


def test_operators_run_inside_torch_compile():
    model = random_grid(2, 4, 5, coupling=0.5)

    @torch.compile(fullgraph=True, backend="aot_eager")
    def means(unary, right, down):
        return ops.mean_field(unary, right, down, False, beta, None, 50, 1e-6)[0] * 2

    beta = torch.ones(2, dtype=torch.float64)
    expected = ops.mean_field(model.unary, model.right, model.down, False, beta, None, 50, 1e-6)[0]
    assert torch.equal(means(model.unary, model.right, model.down), expected * 2)

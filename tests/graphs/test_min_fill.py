"""Orders of elimination, against the same by sets of neighbours."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from graph_models import graphs, random_graph
from hypothesis import given
from strategies import random_grid

from mrfmask.graphs.adjacency import sorted_adjacency
from mrfmask.graphs.elimination_plan import TooWideError, plan_elimination
from mrfmask.graphs.min_fill import _DEGREE, _FILL, _order, elimination_order
from mrfmask.inference.graph_terms import distinct_pairs


def eliminate(pairs, nodes, choose):
    """Nodes and the neighbours that each has when `choose(neighbours)` takes it."""
    around = {v: set() for v in range(nodes)}
    for a, b in pairs.tolist():
        around[a].add(b)
        around[b].add(a)
    order = []
    while around:
        v = choose(around)
        near = around.pop(v)
        for a, b in itertools.permutations(near, 2):
            around[a].add(b)
        for a in near:
            around[a].discard(v)
        order.append((v, near))
    return order


def fill(around, v):
    return sum(b not in around[a] for a, b in itertools.combinations(around[v], 2))


CHOICES = {
    _FILL: lambda around: min(around, key=lambda v: (fill(around, v), len(around[v]), v)),
    _DEGREE: lambda around: min(around, key=lambda v: (len(around[v]), fill(around, v), v)),
}


def check_order(pairs, nodes):
    graph = sorted_adjacency(pairs, nodes)
    for rule, choose in CHOICES.items():
        order = _order(graph, np.zeros(nodes, dtype=np.int64), rule, 31)
        scopes = np.split(order.scope, order.start[1:-1])
        found = [(v, set(s)) for v, s in zip(order.node.tolist(), scopes, strict=True)]
        assert found == eliminate(pairs, nodes, choose)
        assert not order.too_wide


@given(graphs(most_nodes=12))
def test_orders_are_those_of_the_rules(model):
    check_order(distinct_pairs(model)[0], model.shape[1])


@pytest.mark.parametrize(("nodes", "edges", "seed"), [(60, 70, 0), (60, 100, 1), (35, 100, 2)])
def test_orders_of_larger_graphs_are_those_of_the_rules(nodes, edges, seed):
    check_order(distinct_pairs(random_graph(1, nodes, edges, seed=seed))[0], nodes)


@pytest.mark.parametrize(
    ("size", "periodic", "width"),
    [((1, 50), False, 1), ((3, 40), False, 3), ((20, 20), False, 20), ((10, 10), True, 19)],
)
def test_grids_need_tables_of_their_narrow_side(size, periodic, width):
    """A torus of 10x10: one less than two columns, where min-fill alone needs 23."""
    model = random_grid(1, *size, periodic=periodic)
    graph = sorted_adjacency(distinct_pairs(model.as_graph())[0], size[0] * size[1])
    order = elimination_order(graph, 24)
    assert np.diff(order.start).max() == width
    given_nodes = iter(order.node)
    by_sets = eliminate(model.edges, len(order.node), lambda _: next(given_nodes))
    scopes = np.split(order.scope, order.start[1:-1])
    assert all(set(s) == near for s, (_, near) in zip(scopes, by_sets, strict=True))


def test_a_plan_says_over_how_many_nodes_a_table_would_range():
    pairs = np.array([*itertools.combinations(range(9), 2)])
    free = np.ones(9, dtype=bool)
    with pytest.raises(TooWideError) as caught:
        plan_elimination(pairs, free, 7)
    assert caught.value.width == 8
    assert plan_elimination(pairs, free, 8).width == 8


@given(graphs(most_nodes=12))
def test_a_plan_never_has_two_tables_in_one_place(model):
    pairs, nodes = distinct_pairs(model)[0], model.shape[1]
    plan = plan_elimination(pairs, np.ones(nodes, dtype=bool), 20)
    assert sorted(plan.node) == list(range(nodes))
    held: dict[int, int] = {}  # places that tables lie in, by whose
    for t in range(nodes):
        own = [set(plan.scope[plan.start[k] : plan.start[k + 1]]) for k in range(nodes)]
        before = [set(range(plan.offset[c], plan.offset[c] + plan.sizes[c])) for c in held]
        assert sum(map(len, before)) == len(set().union(*before)) == plan.live[t].sum()
        children = plan.children[plan.child_start[t] : plan.child_start[t + 1]].tolist()
        for c in children:
            assert held.pop(c) == plan.node[t]
            assert own[c] - {plan.node[t]} <= own[t]
        if own[t]:
            place = range(plan.offset[t], plan.offset[t] + plan.sizes[t])
            read = [range(plan.offset[c], plan.offset[c] + plan.sizes[c]) for c in children]
            assert not set(place) & set().union(*read)
            assert place.stop <= plan.stacks.sum()
            held[t] = plan.scope[plan.start[t]]
    assert not held

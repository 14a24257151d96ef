"""Adjacency, colours and threads, which all kernels for graphs stand on."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch
from graph_models import random_graph

from mrfmask.graphs.adjacency import adjacency
from mrfmask.graphs.colouring import colour_classes
from mrfmask.graphs.threads import each_item


@pytest.mark.parametrize("nodes", [1, 2, 9, 40])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_adjacency_lists_every_edge_at_both_ends(nodes, share):
    edges = random_graph(1, nodes, int(share * nodes * (nodes - 1) / 2)).edges
    graph = adjacency(torch.cat([edges, edges[:3]]), nodes)
    seen = [
        (v, int(graph.node[e]), int(graph.edge[e]))
        for v in range(nodes)
        for e in range(graph.start[v], graph.start[v + 1])
    ]
    pairs = [*edges.tolist(), *edges[:3].tolist()]
    wanted = [(*p, n) for n, (i, j) in enumerate(pairs) for p in ((i, j), (j, i))]
    assert sorted(seen) == sorted(wanted)
    assert seen == sorted(seen, key=lambda entry: (entry[0], entry[2]))


@pytest.mark.parametrize("seed", range(8))
def test_classes_hold_every_node_once_and_no_neighbours(seed):
    model = random_graph(1, 60, 20 * (seed + 1), seed=seed)
    classes = colour_classes(adjacency(model.edges, 60))
    assert sorted(np.concatenate(classes).tolist()) == list(range(60))
    colour = {v: c for c, members in enumerate(classes) for v in members.tolist()}
    assert all(colour[i] != colour[j] for i, j in model.edges.tolist())
    assert all((np.diff(members) > 0).all() for members in classes)
    # Smallest-last needs at most one colour more than the largest core number.
    largest = max(nx.core_number(nx.Graph(model.edges.tolist())).values())
    assert len(classes) <= largest + 1


@pytest.mark.parametrize("seed", range(4))
def test_two_colours_do_where_they_can(seed):
    generator = np.random.default_rng(seed)
    side = generator.permutation(30) < 15
    pairs = [(i, j) for i in range(30) for j in range(30) if side[i] and not side[j]]
    edges = torch.tensor(pairs)[torch.randperm(len(pairs))[:40]]
    assert len(colour_classes(adjacency(edges, 30))) == 2


def test_items_run_once_each_and_errors_come_through():
    seen = [0] * 50
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            each_item(lambda i: seen.__setitem__(i, seen[i] + 1), 50)
            with pytest.raises(ZeroDivisionError):
                each_item(lambda i: 1 // (i - 3), 10)
    finally:
        torch.set_num_threads(before)
    assert seen == [2] * 50

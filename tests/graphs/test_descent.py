"""Flips downhill, compared with all single flips and with enumeration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from graph_models import random_graph
from oracles import enumerate_image

from mrfmask.graph import IsingGraph
from mrfmask.graphs.adjacency import adjacency
from mrfmask.graphs.descent import descend
from mrfmask.inference.cut_form import FreeForm


def _descended(form, y):
    graph = adjacency(torch.from_numpy(form.pairs), form.nodes)
    descend(graph.start, graph.node, graph.edge, form.linear, form.weight, y)
    return y


def test_descend_ends_where_no_flip_betters_and_mostly_at_the_minimum():
    reached = 0
    for seed in range(20):
        model = random_graph(1, 12, 30, seed=seed)
        form, generator = FreeForm(model), np.random.default_rng(seed)
        y = generator.random(form.cut.nodes) < 0.5
        before = form.cut.energy(y)
        after = form.cut.energy(_descended(form.cut, y))
        assert after <= before
        for node in range(form.cut.nodes):
            flipped = y.copy()
            flipped[node] ^= True
            assert form.cut.energy(flipped) >= after - 1e-9
        minimum = enumerate_image(model).minimum()
        reached += model.energy(form.mask(y)).item() == pytest.approx(minimum, abs=1e-6)
    assert reached >= 15


def test_descend_turns_nodes_that_hold_each_other_together():
    # Five nodes tied to each other: each flip costs before all of them gain.
    edges = torch.combinations(torch.arange(5))
    unary, pairwise = torch.full((1, 5), 1.0), torch.full((1, 10), 3.0)
    form = FreeForm(IsingGraph(unary, edges, pairwise)).cut
    assert _descended(form, np.zeros(5, dtype=bool)).all()

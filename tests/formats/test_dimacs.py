"""Max-flow problems: the lowest energy is the largest flow, energies are cuts."""

from __future__ import annotations

import itertools
import re

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

import mrfmask as mm


def text_of(nodes, arcs, source, sink):
    lines = ["c a comment, a p n", f"p max {nodes} {len(arcs)}", f"n {source + 1} s"]
    lines += [f"n {sink + 1} t", *(f"a {u + 1} {v + 1}  {c}" for u, v, c in arcs)]
    return "\n".join(lines) + "\n"


@st.composite
def problems(draw):
    """(nodes, arcs, source, sink): arcs into the source, both ways, parallel and loops, too."""
    nodes = draw(st.integers(2, 7))
    node = st.integers(0, nodes - 1)
    arcs = draw(st.lists(st.tuples(node, node, st.integers(0, 20)), max_size=20))
    source, sink = draw(st.permutations(range(nodes)))[:2]
    return nodes, arcs, source, sink


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(problem=problems())
def test_energies_are_cuts_and_the_lowest_is_the_flow(tmp_path, problem):
    nodes, arcs, source, sink = problem
    (tmp_path / "m.max").write_text(text_of(*problem))
    model = mm.load_model(tmp_path / "m.max")
    masks = np.array([*itertools.product([False, True], repeat=nodes)])
    cuts = np.array([float(sum(c for u, v, c in arcs if mask[u] > mask[v])) for mask in masks])
    cuts[~masks[:, source] | masks[:, sink]] = np.inf
    energy = model.energy(torch.from_numpy(masks)[None])[0].numpy()
    np.testing.assert_array_equal(energy, cuts)
    capacity = np.zeros((nodes, nodes), dtype=np.int32)
    for u, v, c in arcs:
        capacity[u, v] += c
    flow = maximum_flow(csr_array(capacity), source, sink).flow_value
    assert energy.min() == flow
    assert model.is_associative


def test_a_large_problem_has_the_flow_that_networkx_finds(tmp_path):
    rng = np.random.default_rng(0)
    arcs = rng.integers([0, 0, 1], [200, 200, 50], (1500, 3)).tolist()
    (tmp_path / "m.MAX").write_text(text_of(200, arcs, 3, 190))
    graph = nx.DiGraph()
    for u, v, c in arcs:
        more = graph.get_edge_data(u, v, {"capacity": 0})["capacity"]
        graph.add_edge(u, v, capacity=c + more)
    flow, (side, _) = nx.minimum_cut(graph, 3, 190)
    mask = torch.tensor([[i in side for i in range(200)]])
    assert mm.load_model(tmp_path / "m.MAX").energy(mask).item() == flow


GOOD = "c\np max 3 2\nn 1 s\nn 3 t\na 1 2 4\na 2 3 5\n"
BAD_FILES = [
    ("", "it must have one line 'p max NODES ARCS'; got none"),
    (GOOD.replace("max", "min"), "it must have one line 'p max NODES ARCS'; got 'p min 3 2'."),
    (GOOD.replace("3 2", "3 -2"), "it must have one line 'p max NODES ARCS'; got 'p max 3 -2'"),
    (GOOD.replace("p max 3", "p max 999999999999"), "it must have at most 2^28 nodes; got 9999"),
    (
        GOOD.replace("n 3 t", ""),
        "it must have one line 'n NODE s' and one 'n NODE t' with nod",
    ),
    (GOOD.replace("n 3 t", "n 4 t"), "in 1..3; got 'n 1 s', 'n 4 t'"),
    (GOOD.replace("n 3 t", "n 3 s"), "in 1..3; got 'n 1 s', 'n 3 s'"),
    (GOOD.replace("n 3 t", "n 1 t"), "its source and sink must differ; got 'n 1 s', 'n 1 t'"),
    (GOOD + "e 1 2\n", "its lines must start with c, p, n or a; got 'e 1 2'"),
    (
        GOOD.replace("a 2 3 5\n", ""),
        "it must have 2 lines 'a FROM TO CAPACITY', as its line 'p",
    ),
    (GOOD.replace("a 2 3 5", "a 2 3"), "got 2 lines with 5 numbers"),
    (
        GOOD.replace("a 2 3 5", "a 2 4 5"),
        "its arcs must join nodes 1..3 with capacities >= 0; ",
    ),
    (GOOD.replace("a 2 3 5", "a 2 3 -5"), "capacities >= 0; got 'a 2 3 -5'"),
    (GOOD.replace("a 2 3 5", "a 2 3 inf"), "capacities >= 0; got 'a 2 3 inf'"),
    (GOOD.replace("a 2 3 5", "a 2 3 x"), "could not convert string to float: 'x'"),
]


@pytest.mark.parametrize(("text", "message"), BAD_FILES)
def test_load_model_says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "m.max"
    path.write_text(text)
    start = f"path must be a .max file that can be read; got '{path}': "
    with pytest.raises(ValueError, match=re.escape(start) + ".*" + re.escape(message)):
        mm.load_model(path)

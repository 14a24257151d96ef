"""Every form of a model has the energies that its own library, or plain sums, give it."""

from __future__ import annotations

import itertools
import re
import sys

import dimod
import networkx as nx
import numpy as np
import pytest
import scipy.sparse
import torch
from graph_models import graphs, random_graph
from hypothesis import given
from hypothesis import strategies as st

import mrfmask as mm

FLOAT64 = graphs(most_nodes=7, dtype=torch.float64)
FREE = graphs(most_nodes=7, dtype=torch.float64, clamps=False)
MODEL = random_graph(2, 5, 6)


def masks_of(nodes):
    """All masks: (2^n, nodes) bool."""
    return np.array([*itertools.product([False, True], repeat=nodes)])


def energies(model):
    """(batch, 2^n): of all masks."""
    masks = torch.from_numpy(masks_of(model.shape[1]))
    return model.energy(masks.expand(len(model), -1, -1)).numpy()


def energies_of_attributes(graph, unary, pairwise, constant):
    """(2^n,), by the edges and attributes of a networkx graph."""
    result = []
    for states in masks_of(len(graph)):
        x = dict(zip(graph, 2 * states - 1, strict=True))
        fields = [data[unary] * x[node] for node, data in graph.nodes(data=True)]
        couplings = [data[pairwise] * x[u] * x[v] for u, v, data in graph.edges(data=True)]
        result.append(constant - sum(fields) - sum(couplings))
    return np.array(result)


# networkx


@given(model=FREE)
def test_to_networkx_keeps_all_energies(model):
    graph = model.to_networkx()
    found = energies_of_attributes(graph, "unary", "pairwise", graph.graph["constant"])
    np.testing.assert_allclose(found, energies(model)[0], rtol=0, atol=1e-12)


@given(model=graphs(batch=2))
def test_networkx_round_trip_is_exact(model):
    again = mm.IsingGraph.from_networkx(model.to_networkx(1))
    assert torch.equal(again.unary, model.unary[1:].double())
    assert torch.equal(again.constant, model.constant[1:])
    np.testing.assert_array_equal(energies(again), energies(model[1:].to(torch.float64)))


def test_from_networkx_reads_named_attributes_of_nodes_with_names():
    graph = nx.MultiGraph([("b", "a", {"weight": 2}), ("a", "c", {"weight": np.float32(-0.5)})])
    graph.add_edge("a", "b", weight=0.25)
    graph.add_node("lonely")
    nx.set_node_attributes(graph, {"b": 1.0, "a": -2.0, "c": 0.5, "lonely": 3.0}, "field")
    model = mm.IsingGraph.from_networkx(graph, unary="field", pairwise="weight")
    assert model.unary.tolist() == [[1.0, -2.0, 0.5, 3.0]]
    expected = energies_of_attributes(graph, "field", "weight", 0.0)
    np.testing.assert_allclose(energies(model)[0], expected, atol=1e-12)
    assert mm.IsingGraph.from_networkx(graph, None, "weight").unary.tolist() == [[0.0] * 4]


def graph_with(nodes=(), edges=(), kind=nx.Graph, **attributes):
    graph = kind(**attributes)
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edges)
    return graph


BAD_GRAPHS = [
    (nx.DiGraph([(0, 1)]), ValueError, "graph must be undirected; got a DiGraph. A coupling has"),
    (nx.MultiDiGraph(), ValueError, "graph must be undirected; got a MultiDiGraph."),
    ([(0, 1)], TypeError, "graph must be a networkx.Graph; got list."),
    (
        graph_with([("a", {"unary": 1.0}), ("b", {"h": 1.0})]),
        ValueError,
        "unary must name an attribute that every node has; got 'unary', which node 'b' lacks (it "
        "has 'h'). Set it, or name another one.",
    ),
    (
        graph_with([(0, {"unary": 1.0}), (1, {"unary": 1.0})], [(0, 1)]),
        ValueError,
        "pairwise must name an attribute that every edge has; got 'pairwise', which edge (0, 1) "
        "lacks (it has none).",
    ),
    (
        graph_with([(0, {"unary": "1"})]),
        TypeError,
        "unary must name an attribute of real numbers; got 'unary' with str at node 0. Use a f",
    ),
    (
        graph_with([(0, {"unary": 1.0})], [(0, 0, {"pairwise": 1.0})]),
        ValueError,
        "graph must have no self-loops; got one at node 0.",
    ),
    (
        graph_with([(0, {"unary": 1.0})], constant="c"),
        TypeError,
        "constant must name an attribute of real numbers; got 'constant' with str at graph. Use",
    ),
    (nx.Graph(), ValueError, "unary must have at least one node"),
]


@pytest.mark.parametrize(("graph", "kind", "message"), BAD_GRAPHS)
def test_from_networkx_says_what_is_wrong(graph, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        mm.IsingGraph.from_networkx(graph)


# dimod


@given(model=graphs(most_nodes=7, batch=2, dtype=torch.float64))
def test_to_bqm_keeps_the_energies_of_masks_that_keep_the_clamps(model):
    bqm = model.to_bqm(1)
    masks = masks_of(model.shape[1])
    expected = energies(model)[1]
    free = (~model.clamped[1]).nonzero().flatten().tolist()
    assert list(bqm.variables) == free
    allowed = np.isfinite(expected)
    found = np.array([bqm.energy({i: 2 * int(m[i]) - 1 for i in free}) for m in masks[allowed]])
    np.testing.assert_allclose(found, expected[allowed], rtol=0, atol=1e-12)


@st.composite
def bqms(draw):
    """SPIN and BINARY models with variables in an order that is not sorted."""
    kinds = draw(st.sampled_from([["b", 3, "a", (1, 2), 0], "edcba", range(5)]))
    names = draw(st.permutations(kinds))[: draw(st.integers(1, 5))]
    values = st.floats(-3, 3, width=32)
    linear = {name: draw(values) for name in names}
    pairs = [p for p in itertools.combinations(names, 2) if draw(st.booleans())]
    vartype = draw(st.sampled_from(["SPIN", "BINARY"]))
    quadratic = {pair: draw(values) for pair in pairs}
    kind = draw(st.sampled_from([np.float64, np.float32, object]))
    return dimod.BinaryQuadraticModel(linear, quadratic, draw(values), vartype, dtype=kind)


@given(bqm=bqms())
def test_from_bqm_keeps_all_energies(bqm):
    model = mm.IsingGraph.from_bqm(bqm)
    masks = masks_of(model.shape[1])
    states = masks if bqm.vartype is dimod.BINARY else 2 * masks - 1
    expected = bqm.energies((states.astype(np.int8), list(bqm.variables)))
    # dimod adds up in the dtype of the model.
    atol = 1e-12 if bqm.dtype != np.float32 else 1e-5
    np.testing.assert_allclose(energies(model)[0], expected.astype(float), rtol=0, atol=atol)


def test_from_bqm_refuses_other_models():
    with pytest.raises(TypeError, match=r"bqm must be a dimod.BinaryQuadraticModel; got Constrai"):
        mm.IsingGraph.from_bqm(dimod.ConstrainedQuadraticModel())


def test_bqm_says_what_to_install_without_dimod(monkeypatch):
    monkeypatch.setitem(sys.modules, "dimod", None)
    message = r"dimod must be installed for binary quadratic models; got no .*Run pip install dimod"
    with pytest.raises(RuntimeError, match=message):
        MODEL.to_bqm()


# QUBO


@given(model=graphs(most_nodes=7, batch=2, clamps=False, dtype=torch.float64))
def test_to_qubo_keeps_all_energies(model):
    matrix, offset = model.to_qubo()
    assert torch.equal(matrix, matrix.triu())
    y = masks_of(model.shape[1]).astype(float)
    found = np.einsum("mi,bij,mj->bm", y, matrix.numpy(), y) + offset.numpy()[:, None]
    np.testing.assert_allclose(found, energies(model), rtol=0, atol=1e-12)
    again = mm.IsingGraph.from_qubo(matrix)
    np.testing.assert_allclose(energies(again) + offset.numpy()[:, None], found, atol=1e-12)


@given(
    data=st.data(),
    nodes=st.integers(1, 5),
    batch=st.sampled_from([None, 1, 3]),
    kind=st.sampled_from(["tensor", "array", "int", "float32", "coo", "csr", "lower"]),
)
def test_from_qubo_keeps_all_energies(data, nodes, batch, kind):
    shape = (nodes, nodes) if batch is None else (batch, nodes, nodes)
    count = int(np.prod(shape))
    sparse = kind in ("coo", "csr")
    whole = data.draw(st.lists(st.integers(-3, 3), min_size=count, max_size=count))
    matrix = np.array(whole, dtype=float).reshape(shape)
    if sparse:
        matrix = matrix.reshape(-1, nodes, nodes)[0]
    if kind == "lower":
        matrix = np.tril(matrix)
    form = {
        "tensor": torch.from_numpy,
        "int": lambda m: m.astype(np.int16),
        "float32": lambda m: m.astype(">f4"),
        "coo": scipy.sparse.coo_array,
        "csr": scipy.sparse.csr_matrix,
    }.get(kind, lambda m: m)
    model = mm.IsingGraph.from_qubo(form(matrix))
    assert model.dtype == (torch.float32 if kind == "float32" else torch.float64)
    y = masks_of(nodes).astype(float)
    expected = np.einsum("mi,bij,mj->bm", y, matrix.reshape(-1, nodes, nodes), y)
    np.testing.assert_allclose(energies(model), expected, rtol=0, atol=1e-12)
    pairs = (matrix + np.swapaxes(matrix, -1, -2)).reshape(-1, nodes, nodes).any(axis=0)
    assert len(model.edges) == np.triu(pairs, 1).sum()


def test_from_qubo_passes_gradients():
    matrix = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True, False, True, True]])
    mm.IsingGraph.from_qubo(matrix).energy(mask).sum().backward()
    y = mask[0].double()
    torch.testing.assert_close(matrix.grad, torch.outer(y, y))


BAD_MATRICES = [
    (torch.zeros(3, 2), ValueError, "matrix must have shape (n, n) or (batch, n, n) with n >= 1"),
    (torch.zeros(3), ValueError, "got (3,). One row and one column a variable."),
    (torch.zeros(0, 0), ValueError, "got (0, 0)."),
    (scipy.sparse.coo_array(np.zeros((2, 3))), ValueError, "got (2, 3)."),
    (np.array([[np.inf]]), ValueError, "matrix must hold finite values; got NaN or inf."),
    (scipy.sparse.csr_array(np.array([[np.nan]])), ValueError, "matrix must hold finite values;"),
    ([[1.0]], TypeError, "matrix must be a dense tensor, an array of numbers or a scipy.sparse"),
    (np.array([["a"]]), TypeError, "got ndarray. Use numpy.asarray(matrix, dtype=float)."),
    (torch.zeros(2, 2, dtype=torch.complex64), TypeError, "matrix must be a dense tensor"),
    (torch.eye(2).to_sparse(), TypeError, "matrix must be a dense tensor"),
]


@pytest.mark.parametrize(("matrix", "kind", "message"), BAD_MATRICES)
def test_from_qubo_says_what_is_wrong(matrix, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        mm.IsingGraph.from_qubo(matrix)


def test_to_qubo_refuses_clamps():
    clamped = MODEL.clamp(off=torch.eye(2, 5).bool())
    message = "model must have no clamped nodes for a QUBO matrix; got node 0 of image 0 clamped. "
    with pytest.raises(ValueError, match=message):
        clamped.to_qubo()


def test_one_of_a_batch_must_be_there():
    with pytest.raises(IndexError, match=r"images must lie in a batch of 2; got 2\."):
        MODEL.to_networkx(2)

"""UAI networks: energies are those of the tables multiplied, evidence clamps, zeros are settled."""

from __future__ import annotations

import itertools
import json
import math
import re

import numpy as np
import pytest
import torch
from graph_models import graphs, random_graph
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mrfmask as mm
from mrfmask.formats.evidence import read_evidence

ROOMY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def text_of(nodes, tables, kind="MARKOV"):
    """A network file of [(scope, values), ...]."""
    lines = [kind, str(nodes), " ".join(["2"] * nodes), str(len(tables))]
    lines += [" ".join(map(str, (len(scope), *scope))) for scope, _ in tables]
    lines += [f"{len(values)}\n {' '.join(map(repr, values))}" for _, values in tables]
    return "\n".join(lines)


def weights_of(nodes, tables, evidence):
    """{states: product of the tables}, those that contradict the evidence have 0."""
    weights = {}
    for states in itertools.product([0, 1], repeat=nodes):
        weight = float(all(states[node] == state for node, state in evidence.items()))
        for scope, values in tables:
            weight *= values[sum(states[v] << i for i, v in enumerate(reversed(scope)))]
        weights[states] = weight
    return weights


def check_energies(model, weights):
    masks = torch.tensor([*weights], dtype=torch.bool)
    with np.errstate(divide="ignore"):
        expected = -np.log(np.array([*weights.values()]))
    np.testing.assert_allclose(model.energy(masks[None])[0].numpy(), expected, atol=1e-11)


@st.composite
def networks(draw, zeros=False):
    """(nodes, tables): tables over no, one and two variables, in any order."""
    nodes = draw(st.integers(1, 6))
    value = st.floats(0.015625, 64, width=32)
    if zeros:
        value = st.one_of(st.just(0.0), value, value)
    tables = []
    for _ in range(draw(st.integers(0, 8))):
        size = draw(st.integers(0, min(nodes, 2)))
        scope = draw(st.permutations(range(nodes)))[:size]
        values = draw(st.lists(value, min_size=2**size, max_size=2**size))
        tables.append((scope, values if size else [values[0] or 1.0]))
    return nodes, tables


def some_evidence(draw, nodes):
    observed = draw(st.sets(st.integers(0, nodes - 1)))
    return {node: draw(st.integers(0, 1)) for node in observed}


@ROOMY
@given(data=st.data(), network=networks(), kind=st.sampled_from(["MARKOV", "BAYES"]))
def test_load_model_keeps_the_product_of_the_tables(tmp_path, data, network, kind):
    nodes, tables = network
    evidence = some_evidence(data.draw, nodes)
    (tmp_path / "m.uai").write_text(text_of(nodes, tables, kind))
    model = mm.load_model(tmp_path / "m.uai", evidence=evidence)
    assert model.shape == (1, nodes)
    assert model.dtype == torch.float64
    check_energies(model, weights_of(nodes, tables, evidence))


@ROOMY
@given(data=st.data(), network=networks(zeros=True))
def test_load_model_settles_zeros_or_refuses_them(tmp_path, data, network):
    nodes, tables = network
    evidence = some_evidence(data.draw, nodes)
    weights = weights_of(nodes, tables, evidence)
    possible = [states for states, weight in weights.items() if weight]
    (tmp_path / "m.uai").write_text(text_of(nodes, tables))
    model = message = None
    try:
        model = mm.load_model(tmp_path / "m.uai", evidence=evidence)
    except ValueError as error:
        message = str(error)
    if model is not None:
        check_energies(model, weights)
    elif "must leave each variable a state" in message:
        assert not possible
    else:
        assert "tables of two variables must be positive" in message
        assert any(
            0.0 in values and len(scope) == 2 and evidence.keys().isdisjoint(scope)
            for scope, values in tables
        )


def test_a_table_that_copies_a_state_is_settled_by_evidence(tmp_path):
    tables = [((0, 1), [1.0, 0.0, 0.0, 2.0]), ((2, 1), [3.0, 0.0, 0.0, 4.0]), ((2, 3), [1.0] * 4)]
    path = tmp_path / "m.uai"
    path.write_text(text_of(4, tables))
    message = "got 0 for states (0, 1) of variables (0, 1). Give evidence for one of the two"
    with pytest.raises(ValueError, match=re.escape(message)):
        mm.load_model(path)
    model = mm.load_model(path, evidence={0: 1})
    assert model.unary.tolist()[0][:3] == [math.inf] * 3
    check_energies(model, weights_of(4, tables, {0: 1}))
    with pytest.raises(ValueError, match="must leave each variable a state; got none left for"):
        mm.load_model(path, evidence={0: 1, 2: 0})


@ROOMY
@given(model=graphs(most_nodes=7, dtype=torch.float64))
def test_round_trip_keeps_all_energies(tmp_path, model):
    mm.save_model(model, tmp_path / "m.uai")
    again = mm.load_model(tmp_path / "m.uai")
    assert torch.equal(again.edges, model.edges)
    assert torch.equal(again.clamped, model.clamped)
    free = ~model.clamped
    torch.testing.assert_close(again.unary[free], model.unary[free], rtol=0, atol=1e-12)
    torch.testing.assert_close(again.pairwise, model.pairwise, rtol=0, atol=1e-12)
    masks = torch.tensor([*itertools.product([False, True], repeat=model.shape[1])])[None]
    torch.testing.assert_close(again.energy(masks), model.energy(masks), rtol=0, atol=1e-11)


def test_grid_is_saved_as_its_graph(tmp_path):
    grid = mm.IsingGrid(torch.randn(1, 3, 4), torch.randn(1, 3, 3), torch.randn(1, 2, 4))
    mm.save_model(grid, tmp_path / "m.uai")
    mask = torch.rand(1, 3, 4) < 0.5
    again = mm.load_model(tmp_path / "m.uai")
    torch.testing.assert_close(again.energy(mask.flatten(1)), grid.energy(mask))


@pytest.mark.parametrize("kind", ["Grids", "Segmentation"])
def test_published_networks_have_the_certified_scores(shared_data, kind):
    folder = shared_data / "instances/uai"
    answers = json.loads((folder / "certified.json").read_text())
    answers = [a for a in answers if kind in a["file"]]
    assert len(answers) == {"Grids": 4, "Segmentation": 3}[kind]
    for answer in answers:
        name = answer["file"].split("/")[-1]
        model = mm.load_model(folder / "PR" / name, evidence=folder / f"PR/{name}.evid")
        mask = torch.tensor([[state == "1" for state in answer["map_x"]]])
        assert -model.energy(mask).item() == pytest.approx(answer["map_logscore"], abs=1e-9)
        assert model.shape == (1, answer["n"])
        assert len(model.edges) == answer["m"]
        assert model.is_associative == answer["J_nonneg"]


# Evidence


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", {}), ("2 3 1 0 0\n", {3: 1, 0: 0}), ("1\n2 3 1 0 0", {3: 1, 0: 0}), ("1 0 1", {0: 1})],
)
def test_evidence_files_old_and_new_are_read(tmp_path, text, expected):
    (tmp_path / "e").write_text(text)
    assert read_evidence(tmp_path / "e") == expected
    assert read_evidence(str(tmp_path / "e")) == expected


@pytest.mark.parametrize("text", ["", "1", "2 0 1", "2\n1 0 1\n1 0 0", "one", "-1 0"])
def test_broken_evidence_is_named(tmp_path, text):
    (tmp_path / "e").write_text(text)
    message = "evidence must be a file with the number of observed variables, then each with its "
    message += f"state; got '{tmp_path / 'e'}' with"
    with pytest.raises(ValueError, match=re.escape(message)):
        read_evidence(tmp_path / "e")


def test_evidence_that_does_not_fit_is_refused(tmp_path):
    mm.save_model(random_graph(1, 3, 2), tmp_path / "m.uai")
    mm.save_model(random_graph(1, 3, 2), tmp_path / "m.npz")
    (tmp_path / "twice").write_text("2 0 1 0 0")
    for evidence, kind, message in (
        ({3: 1}, ValueError, "evidence must be states 0 or 1 of variables 0..2; got 1 for 3."),
        ({"0": 1}, ValueError, "got 1 for '0'."),
        ({0: -1}, ValueError, "got -1 for 0."),
        ([0, 1], TypeError, "evidence must be a path or {node: state}; got list."),
        (tmp_path / "no", FileNotFoundError, "evidence must name a file that exists; got "),
        (tmp_path / "twice", ValueError, "evidence must give each variable one state; got "),
    ):
        with pytest.raises(kind, match=re.escape(message)):
            mm.load_model(tmp_path / "m.uai", evidence=evidence)
    with pytest.raises(ValueError, match=r"evidence must come with a \.uai file; got "):
        mm.load_model(tmp_path / "m.npz", evidence={})


# Bad files

GOOD = "MARKOV 2 2 2 2 1 0 2 0 1 2 1 2 4 1 2 3 4"
BAD_FILES = [
    ("", "it must start with MARKOV or BAYES; got an empty file"),
    ("LOOPY 2", "it must start with MARKOV or BAYES; got 'LOOPY'"),
    ("MARKOV", "it ends before its tables begin"),
    ("MARKOV 2 2", "it must have the states of each of its variables; got 1 numbers for 2 var"),
    (
        "MARKOV 0 0",
        "it must have the states of each of its variables; got 0 numbers for 0 variables",
    ),
    ("MARKOV 2 2 3 0", "its variables must have 2 states; got 3 for variable 1"),
    (
        "MARKOV 3 2 2 2 1 3 0 1 2 8",
        "its tables must be over at most 2 variables; got 3 for table 0",
    ),
    ("MARKOV 1 2 1 -1", "its tables must be over at most 2 variables; got -1 for table 0"),
    (GOOD[:-2], "it must hold 8 numbers after the scopes, the tables and their sizes; got 7"),
    (GOOD + " 5", "it must hold 8 numbers after the scopes, the tables and their sizes; got 9"),
    (GOOD.replace("1 0 2 0 1", "1 2 2 0 1"), "its tables must be over variables 0..1; got 2"),
    (GOOD.replace("2 0 1", "2 1 1"), "its tables of two variables must be over two different"),
    (GOOD.replace("2 1 2 4", "3 1 2 4"), "its table 0 of 1 variables must have 2 numbers; got 3"),
    (GOOD.replace("3 4", "-3 4"), "its tables must hold finite numbers >= 0; got -3"),
    (GOOD.replace("3 4", "nan 4"), "its tables must hold finite numbers >= 0; got nan"),
    (GOOD.replace("3 4", "x 4"), "could not convert string to float: 'x'"),
    (GOOD.replace("2 0 1 2", "2 0 y 2"), "invalid literal for int() with base 10: 'y'"),
    ("MARKOV 99999999999 2", "it must have the states of each of its variables; got 1 numbers"),
]


@pytest.mark.parametrize(("text", "message"), BAD_FILES)
def test_load_model_says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "m.uai"
    path.write_text(text)
    message = f"path must be a .uai file that can be read; got '{path}': {message}"
    with pytest.raises(ValueError, match=re.escape(message)):
        mm.load_model(path)


def test_tables_without_any_state_are_refused(tmp_path):
    path = tmp_path / "m.uai"
    for tables in ([((0,), [0.0, 0.0])], [((), [0.0])], [((0,), [0.0, 1.0]), ((0,), [1.0, 0.0])]):
        path.write_text(text_of(1, tables))
        with pytest.raises(ValueError, match="path must hold potentials that make a model; got "):
            mm.load_model(path)


def test_save_model_refuses_what_no_network_file_holds(tmp_path):
    model = random_graph(2, 3, 2)
    with pytest.raises(ValueError, match=r"model must be a batch of one for \.uai; got 2\. S"):
        mm.save_model(model, tmp_path / "m.uai")
    large = mm.IsingGraph(1000 * model.unary[:1], model.edges, model.pairwise[:1])
    with pytest.raises(ValueError, match=r"model must have potentials in \[-700, 700\] for .uai"):
        mm.save_model(large, tmp_path / "m.uai")
    with pytest.raises(ValueError, match=r"path must end in .safetensors, .npz or .uai; got "):
        mm.save_model(model, tmp_path / "m.max")
    assert [*tmp_path.iterdir()] == []

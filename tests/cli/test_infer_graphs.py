"""What ``mrfmask infer`` makes of models on graphs."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest
import torch
from folders import lines, names, picture
from graph_models import random_graph
from strategies import random_grid
from typer.testing import CliRunner

import mrfmask as mm
from mrfmask.cli import app

MODEL = random_graph(1, 9, 14, clamped=0.2)
PROBLEM = "p max 3 2\nn 1 s\nn 3 t\na 1 2 4\na 2 3 5\n"


@pytest.fixture
def uai(tmp_path):
    path = tmp_path / "in" / "m.uai"
    path.parent.mkdir()
    mm.save_model(MODEL, path)
    return path


def nodes_of(path):
    """The columns of a table of nodes."""
    with open(path, newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [int(row["node"]) for row in rows] == [*range(len(rows))]
    return {name: [float(row[name]) for row in rows] for name in rows[0] if name != "node"}


@pytest.mark.parametrize("suffix", [".uai", ".npz", ".safetensors"])
def test_infer_finds_the_states_that_python_finds(infer, tmp_path, suffix):
    path, out = tmp_path / f"m{suffix}", tmp_path / "out"
    mm.save_model(MODEL, path)
    result = infer(path, "--out", out, "--method", "exact")
    assert names(out) == ["m.nodes.csv", "results.jsonl"]
    expected = mm.find_map(mm.load_model(path), method="exact")
    assert nodes_of(out / "m.nodes.csv") == {"state": expected.mask[0].double().tolist()}
    (line,) = lines(out)
    assert line["energy"] == expected.energy.item()
    assert (line["lower_bound"], line["gap"]) == (line["energy"], 0.0)
    assert (line["method"], line["status"]) == ("exact", "optimal")
    assert (line["nodes_on"], line["nodes"]) == (int(expected.mask.sum()), 9)
    assert "pixels" not in line
    assert f"{line['nodes_on']} of 9 nodes on, optimal" in result.stdout


def test_infer_finds_the_flow_of_a_max_flow_problem(infer, tmp_path):
    (tmp_path / "m.max").write_text(PROBLEM)
    infer(tmp_path / "m.max", "--out", tmp_path / "out", "--method", "exact")
    (line,) = lines(tmp_path / "out")
    assert line["energy"] == 4.0
    assert nodes_of(tmp_path / "out" / "m.nodes.csv")["state"] == [1.0, 0.0, 0.0]


def test_infer_writes_marginals_of_nodes_and_arrays(infer, uai, tmp_path):
    out = tmp_path / "out"
    infer(uai, "--out", out, "--task", "marginals", "--method", "exact", "--npz")
    assert names(out) == [
        *("m.marginals.npz", "m.nodes.csv", "m.potentials.npz"),
        "results.jsonl",
    ]
    model = mm.load_model(out / "m.potentials.npz")
    assert torch.equal(model.unary, mm.load_model(uai).unary)
    expected = mm.marginals(model, method="exact")
    columns = nodes_of(out / "m.nodes.csv")
    assert columns["probability"] == expected.probability[0].tolist()
    assert columns["state"] == [float(p > 0.5) for p in columns["probability"]]
    with np.load(out / "m.marginals.npz") as arrays:
        assert sorted(arrays) == ["log_partition", "pairwise", "probability"]
        for name in arrays:
            assert np.array_equal(arrays[name], getattr(expected, name).numpy())
    assert lines(out)[0]["log_partition"] == expected.log_partition.item()


def test_infer_clamps_what_evidence_says(infer, uai, tmp_path):
    free = (~MODEL.clamped[0]).nonzero().flatten().tolist()
    evidence = {node: int(MODEL.unary[0, node] < 0) for node in free[:3]}
    file = uai.parent / "m.evid"
    file.write_text(f"3 {' '.join(f'{n} {s}' for n, s in evidence.items())}")
    out, options = tmp_path / "out", ("--task", "marginals", "--method", "exact")
    infer(uai, "--out", out, *options, "--evidence", file)
    columns = nodes_of(out / "m.nodes.csv")
    assert {node: columns["probability"][node] for node in evidence} == evidence
    model = mm.load_model(uai, evidence=evidence)
    expected = mm.marginals(model, method="exact").log_partition.item()
    assert lines(out)[0]["log_partition"] == pytest.approx(expected)
    assert "skipped" in infer(uai, "--out", out, *options, "--evidence", file).stdout
    # Other evidence is other work, and so is none.
    none = uai.parent / "none.evid"
    none.write_text("0")
    assert "skipped" not in infer(uai, "--out", out, *options, "--evidence", none).stdout
    assert "skipped" not in infer(uai, "--out", out, *options).stdout
    with_evidence, empty, without = (line["log_partition"] for line in lines(out))
    assert empty == without != with_evidence


@pytest.mark.parametrize(
    ("task", "method"), [("map", "exact"), ("marginals", "mean_field"), ("sample", "gibbs")]
)
def test_infer_answers_every_task_without_being_told_how(infer, uai, tmp_path, task, method):
    infer(uai, "--out", tmp_path / "out", "--task", task)
    (line,) = lines(tmp_path / "out")
    assert line["method"] == method
    states = torch.tensor([nodes_of(tmp_path / "out" / "m.nodes.csv")["state"]]) > 0
    assert line["energy"] == mm.load_model(uai).energy(states).item()


def test_infer_draws_states_of_nodes(infer, uai, tmp_path):
    options = ("--task", "sample", "--method", "exact", "--seed", 3)
    infer(uai, "--out", tmp_path / "out", *options)
    (line,) = lines(tmp_path / "out")
    expected = mm.Exact(seed=line["seed"]).sample(mm.load_model(uai))
    states = nodes_of(tmp_path / "out" / "m.nodes.csv")["state"]
    assert states == expected.masks[0, 0].double().tolist()


def test_infer_numbers_the_models_of_a_batch_and_does_pictures_beside_them(infer, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    picture(folder / "a.png")
    mm.save_model(random_graph(2, 5, 6), folder / "m.npz")
    infer(folder, "--out", out, "--method", "exact")
    assert names(out) == [
        *("a.mask.png", "a.overlay.png", "m_0000.nodes.csv", "m_0001.nodes.csv"),
        "results.jsonl",
    ]


def test_infer_goes_on_after_a_broken_file(infer, uai, tmp_path):
    (uai.parent / "a.uai").write_text("MARKOV 1 3")
    (uai.parent / "b.max").write_text("p min 3 2")
    out = tmp_path / "out"
    result = infer(uai.parent, "--out", out, "--method", "exact", code=1)
    assert "its variables must have 2 states; got 3 for variable 0" in result.stderr
    assert "it must have one line 'p max NODES ARCS'; got 'p min 3 2'" in result.stderr
    assert names(out) == ["m.nodes.csv", "results.jsonl"]


def refused(*arguments):
    result = CliRunner().invoke(app, [str(word) for word in arguments])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2, result.output
    return result.stderr


def test_options_that_graphs_have_no_use_for_are_refused(uai, tmp_path):
    (tmp_path / "broken.evid").write_text("1")
    mm.save_model(random_grid(1, 3, 4), tmp_path / "grid.npz")
    mm.save_model(MODEL, tmp_path / "graph.npz")
    out = ("--out", tmp_path / "out")
    for arguments, message in (
        (
            ("infer", uai, "--select", "long_range", "--budget", "2%"),
            f"INPUT must be pixels for --select; got {uai}, a model on a graph. `mrfmask infer`",
        ),
        (
            ("infer", uai, "--budget", "2"),
            "--budget must come with a depth model, with --select, or with --task sample or",
        ),
        (("infer", uai, "--size", "3x4"), "--size must come with a picture; got files of pot"),
        (("infer", uai, "--potentials", "edge"), "--potentials must come with a picture; got"),
        (
            ("infer", tmp_path / "grid.npz", "--evidence", tmp_path / "broken.evid"),
            "--evidence must come with one .uai file; got 0.",
        ),
        (
            ("infer", uai, "--evidence", tmp_path / "broken.evid"),
            "--evidence must be a file with the number of observed variables, then each with its",
        ),
        (
            ("infer", uai, "--evidence", tmp_path / "no.evid"),
            f"--evidence must name a file that exists; got '{tmp_path / 'no.evid'}'.",
        ),
        (
            ("infer", uai, "--checkpoint", "default"),
            "INPUT must be pictures for a depth model; got ",
        ),
        (
            ("path", tmp_path / "graph.npz"),
            f"INPUT must be pixels for a path of masks; got {tmp_path / 'graph.npz'}, a model on",
        ),
        (("path", uai), "INPUT must be pixels for a path of masks; got"),
        (
            ("bench", tmp_path / "graph.npz"),
            "INPUT must be pixels for the comparison of methods on grids; got",
        ),
    ):
        assert re.sub(r"^Error: ", "", refused(*arguments, *out)).startswith(message)
    assert not (tmp_path / "out").exists()

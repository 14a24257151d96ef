"""The examples run as they stand, if only for a few steps."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path

import matplotlib
import pytest
import torch
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    """The example of a mask layer as a module."""
    path = EXAMPLES / "mask_layer_in_depth_net.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, path.stem, module)
    state = torch.get_rng_state()
    spec.loader.exec_module(module)
    yield module
    torch.set_rng_state(state)


@pytest.mark.parametrize("estimator", ["score_function", "tv_prox"])
def test_mask_layer_example_runs(example, estimator, tmp_path, capsys):
    out = tmp_path / "masks.png"
    options = ["--steps", "2", "--frames", "12", "--budget", "0.02", "--estimator", estimator]
    example.main([*options, "--out", str(out)])
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table[1:]] == ["random", "k_center", "learned"]
    assert float(table[1].split()[2]) == 1
    with Image.open(out) as picture:
        assert min(picture.size) > 300


def test_masks_of_the_example_keep_budget_and_validity(example):
    test, results = example.compare(1, "score_function", 0.03, 12, seed=1)
    for error, mask in results.values():
        assert (mask.sum((1, 2)) == round(0.03 * 32 * 40)).all()
        assert not (mask & ~test.valid).any()
        assert error.isfinite().all()


def test_untrained_mask_of_the_example_is_that_of_k_center(example):
    """Where the network asks for nothing, evenness alone decides."""
    data = example.make_data(8, 3, 0.04)
    even = example.even_masks(data.valid, 51)
    best = data.even.flatten(1).argsort(dim=1, descending=True, stable=True)[:, :51]
    mask = torch.zeros_like(even).flatten(1).scatter(1, best, True).reshape(even.shape)
    assert torch.equal(mask, even)


def test_mask_and_completion_of_the_example_learn_together(example):
    data = example.make_data(8, 3, 0.04)
    net = example.MaskedDepth(51, "score_function", seed=0)
    net.loss(data).backward()
    for part in (net.look.head.unary, net.complete.start):
        assert sum(p.grad.abs().sum() for p in part.parameters()) > 0


def test_depth_network_of_the_example_has_nothing_of_ours():
    source = (EXAMPLES / "mask_layer_in_depth_net.py").read_text()
    ours = {"mm", "MaskNet", "MaskLayer", "SyntheticFrames", "collate_frames"}
    parts = {node.name: node for node in ast.parse(source).body if hasattr(node, "name")}
    for name in ("block", "DepthNet"):
        assert not {n.id for n in ast.walk(parts[name]) if isinstance(n, ast.Name)} & ours
    assert ours & {n.id for n in ast.walk(parts["MaskedDepth"]) if isinstance(n, ast.Name)}


def test_notebook_runs_and_is_stored_with_its_pictures(capsys, monkeypatch):
    path = EXAMPLES / "where_to_measure.ipynb"
    assert path.stat().st_size < 400_000
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    # A training shorter still: what it prints has the same form.
    monkeypatch.setattr("mrfmask.depth.training.density.STEPS", 4)
    matplotlib.use("Agg")
    from matplotlib import pyplot

    state, names = torch.get_rng_state(), {"__name__": path.stem}
    for number, cell in enumerate(cells, 1):
        assert cell["execution_count"] == number
        exec(compile("".join(cell["source"]), f"{path.name} {number}", "exec"), names)
        pictures = [o for o in cell["outputs"] if "image/png" in o.get("data", {})]
        assert len(pictures) == len(pyplot.get_fignums())
        pyplot.close("all")
        stored = "".join("".join(o.get("text", "")) for o in cell["outputs"])
        # The same lines, if not the same last digits.
        printed = capsys.readouterr().out
        assert re.sub(r"\d", "0", printed) == re.sub(r"\d", "0", stored)
    torch.set_rng_state(state)


def test_readme_of_the_examples_names_each():
    text = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.iterdir():
        if path.suffix in (".py", ".ipynb"):
            assert f"`{path.name}`" in text

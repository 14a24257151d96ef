"""Files of tensors keep graphs bit for bit, and say what is wrong with others."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from graph_models import graphs, random_graph
from hypothesis import HealthCheck, given, settings

import mrfmask as mm

SUFFIXES = (".npz", ".safetensors")
MODEL = random_graph(2, 5, 6, dtype=torch.float32)
ARRAYS = {name: getattr(MODEL, name).numpy() for name in ("unary", "edges", "pairwise")}


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(model=graphs(batch=2))
def test_graph_comes_back_bit_for_bit(tmp_path, suffix, model):
    path = tmp_path / f"model{suffix}"
    mm.save_model(model, path)
    again = mm.load_model(path)
    assert isinstance(again, mm.IsingGraph)
    for name in ("unary", "edges", "pairwise", "constant"):
        before, after = getattr(model, name), getattr(again, name)
        assert after.dtype == before.dtype
        assert torch.equal(after, before)


def test_graph_of_three_plain_arrays_is_read(tmp_path):
    np.savez(tmp_path / "m.npz", **ARRAYS | {"edges": ARRAYS["edges"].astype(">i4")})
    model = mm.load_model(tmp_path / "m.npz")
    assert torch.equal(model.edges, MODEL.edges)
    assert model.constant.tolist() == [0.0, 0.0]


BAD_MODELS = [
    (
        {"pairwise": None},
        "path must hold the tensors unary, edges and pairwise; got '{path}' without pairwise. Save",
    ),
    ({"edges": None}, "got '{path}' without edges. Save it"),
    (
        {"right": ARRAYS["unary"]},
        "path must hold only the tensors unary, edges, pairwise, constant, version; got '{path}' "
        "with right. Leave",
    ),
    ({"version": 2}, "version in '{path}' must be 1; got 2."),
    (
        {"edges": ARRAYS["edges"].astype(float)},
        "path must hold potentials that make a model; got '{path}': edges must be an int64 tensor;",
    ),
    ({"edges": ARRAYS["edges"] + 1}, "edges must join nodes 0..4; got "),
    ({"pairwise": ARRAYS["pairwise"][:, :3]}, "pairwise must have shape (2, 6), one value an edge"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_MODELS)
def test_load_model_says_what_is_wrong(tmp_path, changes, message):
    path = tmp_path / "m.npz"
    np.savez(path, **{n: a for n, a in (ARRAYS | changes).items() if a is not None})
    with pytest.raises(ValueError, match=re.escape(message.replace("{path}", str(path)))):
        mm.load_model(path)

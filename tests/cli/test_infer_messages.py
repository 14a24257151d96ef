"""Every usage error of the command line: exit code 2, the project's message, nothing started."""

from __future__ import annotations

import re

import pytest
import torch
from folders import picture
from strategies import random_grid
from typer.testing import CliRunner

import mrfmask as mm
from mrfmask.cli import app
from mrfmask.cli.journal import Journal

BAD_OPTIONS = [
    ("--task foo", "--task must be one of 'map', 'marginals', 'sample'; got 'foo'."),
    ("--method foo", "--method must be one of 'auto', 'exact', 'graph_cut', "),
    (
        "--method graph_cut --task marginals",
        "--method must answer --task marginals; got 'graph_cut', which answers map. Use exact, "
        "mean_field, belief_propagation, gibbs or kawasaki.",
    ),
    (
        "--method gibbs",
        "--method must answer --task map; got 'gibbs', which answers sample and mar",
    ),
    (
        "--method auto --task sample",
        "--method must be named for --task sample; got 'auto', which answers map. Use exact, gi",
    ),
    ("--beta 0 --task marginals", "--beta must be positive and finite; got 0.0."),
    (
        "--beta 2",
        "--beta must not be given where nothing uses it; got it with --task map and --method auto. "
        "Use --method mean_field or belief_propagation, or leave it out.",
    ),
    ("--beta 2 --method exact", "--beta must not be given where nothing uses it; got it with --ta"),
    ("--sweeps 0 --method annealing", "--sweeps must lie in 1..2147483647; got 0."),
    ("--sweeps 5 --method graph_cut", "--sweeps must not be given where nothing uses it; got it"),
    ("--seed -1 --task sample", "--seed must lie in 0..9223372036854775807; got -1."),
    ("--seed 1", "--seed must not be given where nothing uses it; got it with --task map"),
    ("--seed 1 --task marginals", "--seed must not be given where nothing uses it; got it with"),
    ("--seed 1 --task marginals --method exact", "--seed must not be given where nothing uses it"),
    (
        "--budget 2% --task map",
        "--budget must come with a depth model, with --select, or with --task",
    ),
    (
        "--budget 2% --task marginals",
        "--budget must not be given where nothing uses it; got it with --task marginals and "
        "--method mean_field. Use --method kawasaki, or leave it out.",
    ),
    (
        "--budget 2% --task sample --method gibbs",
        "--budget must not be given where nothing uses it",
    ),
    ("--budget two --task sample", "--budget must be a number of pixels, or a share above 0% and"),
    ("--budget 0% --task sample", "--budget must be a number of pixels, or a share above 0% and"),
    (
        "--task sample --method kawasaki",
        "--budget must come with --method kawasaki; got --method ka",
    ),
    ("--time-limit -1 --method ilp", "--time-limit must be positive and finite; got -1.0."),
    (
        "--time-limit 5 --method annealing",
        "--time-limit must not be given where nothing uses it; got it with --task map and --method "
        "annealing. Use --method ilp, or leave it out.",
    ),
    (
        "--time-limit 5 --task sample",
        "--time-limit must not be given where nothing uses it; got it with --task sample and "
        "--method gibbs. Leave it out.",
    ),
    ("--potentials foo", "--potentials must be one of 'contrast', 'edge', 'spread'; got 'foo'."),
    (
        "--weight unary",
        "--weight must be NAME=VALUE with a number; got 'unary'. Write e.g. unary=1",
    ),
    ("--weight unary=x", "--weight must be NAME=VALUE with a number; got 'unary=x'."),
    (
        "--weight detail=1 --potentials edge",
        "--weight must name a weight of the potentials edge; got 'detail'. They have unary (1.0), ",
    ),
    ("--weight pairwise=-1", "--weight pairwise must be at least 0; got -1.0."),
    ("--weight unary=nan", "--weight unary must be finite; got nan."),
    (
        "--size 5",
        "--size must be HEIGHTxWIDTH with sides in 1..65536; got '5'. Write e.g. 480x640.",
    ),
    ("--size 0x5", "--size must be HEIGHTxWIDTH with sides in 1..65536; got '0x5'."),
    ("--size 5x99999", "--size must be HEIGHTxWIDTH with sides in 1..65536; got '5x99999'."),
    ("--device tpu", "--device must be cpu, cuda or cuda:N; got 'tpu'. Use cpu."),
    ("--device cpu:1", "--device must be cpu, cuda or cuda:N; got 'cpu:1'. Use cpu."),
    (
        "--device cuda:99 --method exact",
        "--device must be a device of this machine; got cuda:99, but PyTorch sees ",
    ),
]


def refused(*words):
    """What a command that must not start says."""
    result = CliRunner().invoke(app, ["infer", *map(str, words)])
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    return result.stderr


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS, ids=[o for o, _ in BAD_OPTIONS])
def test_infer_says_what_is_wrong_with_an_option(tmp_path, options, message):
    error = refused(picture(tmp_path / "a.png"), "--out", tmp_path / "out", *options.split())
    assert f"Error: {message}" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", ["--potentials edge", "--weight unary=2", "--size 5x5"])
def test_infer_refuses_picture_options_without_a_picture(tmp_path, options):
    mm.save_model(random_grid(1, 3, 3), tmp_path / "m.npz")
    error = refused(tmp_path / "m.npz", "--out", tmp_path / "out", *options.split())
    flag = options.split()[0]
    assert f"Error: {flag} must come with a picture; got files of potentials alone." in error


def test_infer_names_inputs_that_cannot_be(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.gif").touch()
    for name, message in [
        ("no.png", "INPUT must name files or folders that exist; got {path}. Check the spelling."),
        ("empty", "INPUT must hold files ending in .png, .jpg, .jpeg, .safetensors, .npz, .uai, "),
        ("a.gif", "INPUT must name folders or files ending in .png, .jpg, .jpeg, .safetensors, "),
    ]:
        error = refused(tmp_path / name, "--out", tmp_path / "out")
        assert message.split("{")[0] in error
        assert f"got {tmp_path / name}" in error
    assert not (tmp_path / "out").exists()


def test_infer_refuses_two_inputs_with_the_same_results(tmp_path):
    first, second = picture(tmp_path / "p" / "a.png"), picture(tmp_path / "q" / "a.png")
    message = "INPUT must not name two files that write the same results; got "
    assert message in refused(first, second, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_infer_refuses_to_replace_an_input(tmp_path):
    inputs = [picture(tmp_path / "a.png"), picture(tmp_path / "a.mask.png")]
    error = refused(*inputs, "--out", tmp_path)
    assert f"--out must not make results replace an input; got {inputs[1]}, an input" in error
    error = refused(tmp_path, "--out", tmp_path)
    assert f"--out must not be a folder that is read; got {tmp_path}. Use one beside it" in error


def test_infer_refuses_a_folder_in_use(tmp_path):
    path, out = picture(tmp_path / "a.png"), tmp_path / "out"
    with Journal(out):
        error = refused(path, "--out", out, "--task", "map")
    assert f"--out must not be in use by another run; got {out}. Wait for it to end" in error


@pytest.mark.parametrize("content", ["hello", "hello\n", '{"a": 1}\n', "[]\n", '{"input": "a"}\n'])
def test_infer_leaves_foreign_results_alone(tmp_path, content):
    path, out = picture(tmp_path / "a.png"), tmp_path / "out"
    out.mkdir()
    (out / "results.jsonl").write_text(content)
    error = refused(path, "--out", out, "--task", "map")
    assert "--out must be a folder whose results.jsonl, if any, is of this command; got" in error
    assert (out / "results.jsonl").read_text() == content


def test_infer_names_an_output_folder_that_is_a_file(tmp_path):
    path = picture(tmp_path / "a.png")
    (tmp_path / "out").touch()
    error = refused(path, "--out", tmp_path / "out", "--task", "map")
    assert re.search(r"Error: --out must be a folder.*out", error)


def test_infer_reports_an_empty_batch(infer, tmp_path):
    empty = mm.IsingGrid(torch.zeros(0, 3, 3), torch.zeros(0, 3, 2), torch.zeros(0, 2, 3))
    mm.save_model(empty, tmp_path / "m.npz")
    error = refused(tmp_path / "m.npz", "--out", tmp_path / "out")
    assert f"INPUT must hold at least one image; got {tmp_path / 'm.npz'}, an empty batch" in error


def test_commands_that_do_not_exist_are_named():
    result = CliRunner().invoke(app, ["infr"])
    assert result.exit_code == 2
    assert "infr" in result.stderr

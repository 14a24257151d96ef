"""Every usage error of ``mrfmask bench``: exit code 2, the project's message, nothing started."""

from __future__ import annotations

import pytest
from folders import picture
from strategies import random_grid
from typer.testing import CliRunner

import mrfmask as mm
from mrfmask.cli import app

BAD_OPTIONS = [
    (
        "--sizes 5,x",
        "--sizes must be whole numbers above 0 and up to 2048, with commas between; got '5,x'. "
        "Write e.g. 16,32,64,100.",
    ),
    ("--sizes 0", "--sizes must be whole numbers above 0 and up to 2048, with commas betw"),
    ("--sizes 4096", "--sizes must be whole numbers above 0 and up to 2048, with commas betw"),
    ("--sizes 2.5", "--sizes must be whole numbers above 0 and up to 2048, with commas betw"),
    ("--sizes 5,", "--sizes must be whole numbers above 0 and up to 2048, with commas betw"),
    (
        "--strengths -1",
        "--strengths must be numbers above 0 and up to 1e+06, with commas between; got '-1'. Wri",
    ),
    ("--strengths nan", "--strengths must be numbers above 0 and up to 1e+06, with commas betwe"),
    ("--strengths inf", "--strengths must be numbers above 0 and up to 1e+06, with commas betwe"),
    ("--signs any", "--signs must be one of 'associative', 'repulsive', 'mixed'; got 'any'."),
    ("--methods gibbs", "--methods must be one of 'exact', 'graph_cut', 'strips', 'qpbo', "),
    ("--methods ilp,", "--methods must be one of 'exact', 'graph_cut', 'strips', 'qpbo', "),
    ("--repeats 0", "--repeats must lie in 1..1000; got 0."),
    ("--seed -1", "--seed must lie in 0..9223372036854775807; got -1."),
    ("--time-limit 0", "--time-limit must be positive and finite; got 0.0."),
]


def refused(*words):
    """What a command that must not start says."""
    result = CliRunner().invoke(app, ["bench", *map(str, words)])
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    return result.stderr


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS, ids=[o for o, _ in BAD_OPTIONS])
def test_bench_says_what_is_wrong_with_an_option(tmp_path, options, message):
    assert f"Error: {message}" in refused("--out", tmp_path / "out", *options.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--sizes 5", "--strengths 1", "--signs mixed", "--repeats 2"])
def test_bench_refuses_options_of_drawn_models_with_files(tmp_path, option):
    path = tmp_path / "m.npz"
    mm.save_model(random_grid(1, 3, 3), path)
    error = refused(path, "--out", tmp_path / "out", *option.split())
    flag = option.split()[0]
    assert f"Error: {flag} must come without files, as it is of drawn models; got it with" in error


def test_bench_refuses_pictures(tmp_path):
    path = picture(tmp_path / "a.png")
    error = refused(path, "--out", tmp_path / "out")
    assert f"Error: INPUT must be files of potentials; got {path}, a picture. `mrfmask" in error


def test_bench_refuses_a_broken_file(tmp_path):
    (tmp_path / "m.npz").write_bytes(b"broken")
    error = refused(tmp_path / "m.npz", "--out", tmp_path / "out")
    assert "Error: path must be a .npz file that can be read; got" in error
    assert not (tmp_path / "out").exists()


def test_help_shows_examples_and_every_option():
    result = CliRunner().invoke(app, ["bench", "--help"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    assert "mrfmask bench --out bench" in result.stdout
    for option in ("--out", "--methods", "--time-limit", "--seed", "--sizes", "--strengths"):
        assert option in result.stdout
    for option in ("--signs", "--repeats", "--overwrite"):
        assert option in result.stdout

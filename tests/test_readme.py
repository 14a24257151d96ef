"""The documents say what is true: their code runs, their paths and flags exist."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import mrfmask
from mrfmask.inference import METHODS
from mrfmask.nn.estimators import ESTIMATORS
from mrfmask.select import SELECTORS

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    *("README.md", "CONTRIBUTING.md", "demo/README.md"),
    *("docs/graphs.md", "docs/select.md", "docs/where_to_measure.md"),
)


def code_of(document):
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


def test_readme_code_runs(capsys):
    blocks = code_of("README.md")
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "True" in capsys.readouterr().out


def test_code_of_the_page_about_budgets_runs(capsys):
    for block in code_of("docs/select.md"):
        exec(compile(block, "docs/select.md", "exec"), {})
    spent = int(capsys.readouterr().out.split()[0])
    assert 1990 <= spent <= 2000


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_paths_exist(document):
    text = (ROOT / document).read_text()
    names = re.findall(r"`([\w.]+(?:/[\w.]+)*/?)`", text) + re.findall(
        r"\]\((?!http)([^)]+)\)", text
    )
    folders = {p.name for p in ROOT.iterdir() if not p.name.startswith(".")}
    paths = [n for n in names if "/" in n and n.split("/")[0] in folders]
    assert paths
    for name in paths:
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_flags_and_targets_exist(document):
    text = (ROOT / document).read_text()
    for command in ("infer", "bench", "path", "train"):
        options = (ROOT / f"mrfmask/cli/{command}.py").read_text()
        for line in re.findall(rf"^.*mrfmask {command} .*$", text, re.MULTILINE):
            for flag in re.findall(r"--([a-z-]+)", line):
                name = flag.replace("-", "_")
                assert re.search(rf'"--{flag}"|^    {name}: Annotated', options, re.MULTILINE) or (
                    flag == "help"
                ), flag
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^    |`)make ([a-z]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_readme_lists_every_method():
    section = (ROOT / "README.md").read_text().split("## What it computes")[1]
    rows = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \|", section.split("\n## ")[0], re.MULTILINE)
    listed = sorted((name, tuple(answers.split(", "))) for name, answers in rows)
    assert listed == sorted((name, method.answers) for name, method in METHODS.items())


def test_page_about_graphs_lists_every_method_that_takes_them():
    section = (ROOT / "docs/graphs.md").read_text().split("## Which method")[1]
    rows = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \|", section, re.MULTILINE)
    listed = {name: tuple(answers.split(", ")) for name, answers in rows}
    taking = {name: method.answers for name, method in METHODS.items() if method.graphs}
    assert taking.items() <= listed.items()


def test_readme_lists_every_estimator():
    section = (ROOT / "README.md").read_text().split("## Masks within a network")[1]
    assert re.findall(r"^\| `(\w+)` \|", section.split("\n## ")[0], re.MULTILINE) == [*ESTIMATORS]


def test_readme_lists_every_selector():
    section = (ROOT / "README.md").read_text().split("## Choosing under a budget")[1]
    bullets = re.findall(r"^- .*(?:\n  .*)*", section.split("\n## ")[0], re.MULTILINE)
    assert all(f"`{name}`" in "".join(bullets) for name in SELECTORS)


@pytest.mark.parametrize(
    "module",
    [
        m.name
        for m in pkgutil.walk_packages(mrfmask.__path__, "mrfmask.")
        if "_native" not in m.name
    ],
)
def test_docstring_examples_are_true(module):
    if module.endswith("__main__"):
        return
    assert doctest.testmod(importlib.import_module(module)).failed == 0

"""Who may import whom, and what `import mrfmask` must not pull in."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mrfmask"
# A module may import from its own layer and from those before it.
LAYERS = [
    {"checks", "costs", "directions", "formats", "powers_of_two"},
    {"ising", "graph", "model", "result"},
    {"_native"},
    {"cuda", "cuda_plan", "cuda_gibbs", "cuda_mean_field", "cuda_diagonals"},
    {"ops", "graphs"},
    {"inference", "files", "model_files", "superpixels", "folder_lock", "potentials"},
    {"select"},
    {"nn"},
    {"learn"},
    {"depth"},
    {"bench"},
    {"cli", "__main__", "__init__"},
]


def layer_of(module: str) -> int:
    return next(i for i, names in enumerate(LAYERS) if module in names)


def imported(path: Path) -> set[str]:
    """First names below mrfmask that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        names |= {name.split(".")[1] for name in found if name.startswith("mrfmask.")}
    return names


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_imports_point_downwards(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own in {"cli", "__main__", "__init__"}:
        return
    known = {name for layer in LAYERS for name in layer}
    for name in imported(path) & known:
        assert layer_of(name) <= layer_of(own), f"{path.name} imports {name}"


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (("pulp",), {"inference/ilp_program.py"}),
        (("cupy",), {"cuda.py"}),
        (("numba",), {"graphs"}),
        (("networkx", "dimod"), {"formats", "graph.py"}),
        (("matplotlib",), {"bench/picture.py", "cli/path_picture.py", "depth/pictures.py"}),
        (("rich", "typer"), {"cli"}),
        (("huggingface_hub",), {"nn/hub.py"}),
    ],
)
def test_library_is_used_in_one_place(words, allowed):
    for path in PACKAGE.rglob("*.py"):
        relative = path.relative_to(PACKAGE).as_posix()
        if relative in allowed or relative.split("/")[0] in allowed:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(n.split(".")[0] in words for n in names), relative


def test_import_is_light():
    code = "import mrfmask, sys; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in out.stdout.split()}
    heavy = {
        "cupy",
        "pulp",
        "highspy",
        "huggingface_hub",
        "matplotlib",
        "skimage",
        "networkx",
        "dimod",
        "typer",
        "rich",
        "numba",
    }
    assert not loaded & heavy


def test_files_stay_small():
    root = PACKAGE.parent
    for folder in ("mrfmask", "kernels", "solvers", "tests"):
        for path in (root / folder).rglob("*"):
            if path.suffix in {".py", ".h", ".cpp", ".cu"}:
                assert len(path.read_text().splitlines()) <= 400, path

"""The CUDA kernels, unmodified, on the CPU: one fiber a thread, under sanitizers."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAMS = {
    "gibbs": "test_cuda_gibbs",
    "mean_field": "test_cuda_mean_field",
    "diagonals": "test_cuda_diagonals",
}
FLAGS = ["-std=c++17", "-O1", "-g", "-ffp-contract=off", "-Wno-unknown-pragmas"]
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

# Every barrier of every kernel, as file:line.
BARRIERS = [
    f"{path.name}:{number}"
    for path in sorted((ROOT / "kernels").glob("*.cu"))
    for number, line in enumerate(path.read_text().splitlines(), start=1)
    if re.match(r"\s*__syncthreads\(\);", line)
]


def build(name: str, folder: Path, *flags: str) -> Path:
    program = folder / name
    source = ROOT / "tests" / "native" / f"{name}.cpp"
    compiler = os.environ.get("CXX", "c++")
    command = [
        compiler,
        *WARNINGS,
        *FLAGS,
        *flags,
        f"-I{ROOT / 'kernels'}",
        str(source),
        "-o",
        str(program),
    ]
    subprocess.run(command, check=True)
    return program


def run(program: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program], env={**os.environ, **environment}, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("shim")
    return {kind: build(name, folder, *SANITIZERS) for kind, name in PROGRAMS.items()}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_cuda_kernels_give_the_bits_of_the_cpu(programs, kind):
    done = run(programs[kind])
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_every_kernel_with_shared_memory_has_barriers():
    files = {barrier.split(":")[0] for barrier in BARRIERS}
    assert files == {
        p.name for p in (ROOT / "kernels").glob("*.cu") if "shared_memory" in p.read_text()
    }


@pytest.mark.parametrize("barrier", BARRIERS)
def test_shim_notices_a_missing_barrier(programs, barrier):
    kind = "gibbs" if barrier.startswith("gibbs") else "mean_field"
    assert run(programs[kind], MRFMASK_WITHOUT_BARRIER=barrier).returncode != 0


def test_quotient_of_mean_field_is_the_rounded_one(tmp_path):
    assert run(build("test_quotient", tmp_path, "-O2")).returncode == 0

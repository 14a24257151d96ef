"""The CUDA kernels compiled for the architectures that matter: no spills, few instructions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import sass

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="NVIDIA's compiler is for Linux")

ARCHITECTURES = (80, 90, 120)
FILES = sorted(sass.KERNELS.glob("*.cu"))

# Instructions of one thread for the eight sites of an octet in a half-sweep, and a little room for
# the taste of compilers. docs/cuda.md says what they are spent on.
BUDGET = {
    "burn_in_even": 245,
    "burn_in_odd": 245,
    "kept_even": 300,
    "kept_odd": 300,
    "chains_burn_in_even": 275,
    "chains_kept_odd": 315,
    "mean_field_even": 305,
    "mean_field_odd": 305,
}


def compiled(source: Path, arch: int, folder: Path) -> dict[str, list[sass.Instruction]]:
    out = folder / f"{source.stem}.{arch}.cubin"
    compile_file = sass.compile_with_nvcc if sass.nvcc() else sass.compile_with_nvrtc
    compile_file(source, arch, out)
    return sass.disassemble(out)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("source", FILES, ids=lambda path: path.stem)
def test_kernels_use_no_local_memory(source, arch, tmp_path):
    kernels = compiled(source, arch, tmp_path)
    assert kernels
    for name, code in kernels.items():
        local = [c.text for c in code if c.name in ("LDL", "STL")]
        assert not local, f"{name} spills: {local[:3]}"


def test_local_memory_is_noticed(tmp_path):
    source = tmp_path / "spilling.cu"
    source.write_text(
        'extern "C" __global__ void spilling(const int* from, int n, int* to) {\n'
        "  int a[32];\n"
        "  for (int i = 0; i < 32; ++i) a[i] = from[i];\n"
        "  for (int i = 0; i < n; ++i) a[from[i] & 31] += i;\n"
        "  to[threadIdx.x] = a[from[threadIdx.x] & 31] + a[n & 31];\n"
        "}\n"
    )
    (code,) = compiled(source, 90, tmp_path).values()
    assert any(c.name in ("LDL", "STL") for c in code)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_kernels_keep_their_budget_of_instructions(arch, tmp_path):
    source = Path(__file__).parent / "native" / "octet_slots.cu"
    kernels = compiled(source, arch, tmp_path)
    lengths = {name: sass.likely_loop_length(kernels[name]) for name in BUDGET}
    assert all(lengths[name] <= BUDGET[name] for name in BUDGET), lengths


@pytest.mark.skipif(
    not (sass.nvcc() and sass.nvrtc()), reason="one compiler to compare with itself"
)
def test_kernels_compile_at_run_time_too(tmp_path):
    for source in FILES:
        out = tmp_path / f"{source.stem}.cubin"
        sass.compile_with_nvrtc(source, 90, out)
        assert sass.disassemble(out), source

"""What the CUDA compiler made of a kernel: registers, local memory, instructions of a loop."""

from __future__ import annotations

import ctypes
import re
import shutil
import site
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mrfmask.cuda import OPTIONS

KERNELS = Path(__file__).parents[1] / "kernels"


def _of_pypi(pattern: str) -> Path | None:
    """A file of one of NVIDIA's wheels."""
    folders = [Path(p) / "nvidia" for p in site.getsitepackages()]
    return next((f for folder in folders for f in folder.glob(pattern)), None)


def nvcc() -> str | None:
    return shutil.which("nvcc")


def nvrtc() -> Path | None:
    return _of_pypi("*/lib/libnvrtc.so.*")


def nvdisasm() -> str | None:
    found = _of_pypi("*/bin/nvdisasm")
    return str(found) if found else shutil.which("nvdisasm")


def compile_with_nvcc(source: Path, arch: int, out: Path) -> None:
    command = [nvcc(), *OPTIONS, "-Werror", "all-warnings", f"-arch=sm_{arch}", f"-I{KERNELS}"]
    subprocess.run([*command, "-cubin", str(source), "-o", str(out)], check=True)


def compile_with_nvrtc(source: Path, arch: int, out: Path) -> None:
    library = ctypes.CDLL(str(nvrtc()))
    program = ctypes.c_void_p()
    text = source.read_bytes()
    library.nvrtcCreateProgram(ctypes.byref(program), text, source.name.encode(), 0, None, None)
    # As CuPy 14.2 calls it, but for the folders of its own headers.
    ours = [*OPTIONS, f"-I{KERNELS}", "-DMRFMASK_SOURCES=0x0123456789abcdefULL"]
    options = [*ours, "-ftz=true", f"-arch=sm_{arch}", "--device-as-default-execution-space"]
    array = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
    code = library.nvrtcCompileProgram(program, len(options), array)
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    assert code == 0, log.value.decode()
    library.nvrtcGetCUBINSize(program, ctypes.byref(size))
    cubin = ctypes.create_string_buffer(size.value)
    library.nvrtcGetCUBIN(program, cubin)
    out.write_bytes(cubin.raw)


@dataclass(frozen=True)
class Instruction:
    """One instruction: the predicate that guards it, what it does, and where it jumps."""

    guard: str
    text: str
    label: str  # in front of it
    target: str  # of a branch

    @property
    def name(self) -> str:
        return self.text.split()[0].split(".")[0]


def disassemble(cubin: Path) -> dict[str, list[Instruction]]:
    """Instructions of every kernel."""
    command = [nvdisasm(), "-c", str(cubin)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kernels: dict[str, list[Instruction]] = {}
    current: list[Instruction] = []
    label = ""
    for line in text.splitlines():
        if section := re.match(r"\s*\.section\s+\.text\.(\w+)", line):
            current = kernels.setdefault(section[1], [])
        elif named := re.match(r"\s*(\.L_x_\d+):", line):
            label = named[1]
        elif code := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(@\S+\s+)?([^;]+);", line):
            target = re.search(r"`\((\.L_x_\d+)\)", code[2])
            current.append(
                Instruction(
                    (code[1] or "").strip(), code[2].strip(), label, target[1] if target else ""
                )
            )
            label = ""
    return kernels


def likely_loop_length(code: list[Instruction]) -> int:
    """Instructions of one turn of the loop around the kernel's barrier when every conditional jump
    ahead is taken: such jumps skip what is seldom needed.
    """
    barrier = next(i for i, c in enumerate(code) if c.name == "BAR")
    at = {c.label: i for i, c in enumerate(code) if c.label}
    back = next(i for i in range(barrier, len(code)) if at.get(code[i].target, i) < barrier)
    i, length = at[code[back].target], 0
    while i != back:
        length += 1
        jumps = code[i].name == "BRA" and at[code[i].target] > i
        i = at[code[i].target] if jumps else i + 1
    return length + 1

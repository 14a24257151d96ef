"""CUDA kernels run on the CPU through the shim, for the launches of mrfmask/cuda_*.py."""

from __future__ import annotations

import ctypes
import os
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
# Multiprocessors and shared memory of a block: H200, a small card, and less than any card has, so
# that small images are cut into tiles.
DEVICES = {"large": (132, 232448), "small": (20, 101376), "tiny": (4, 22000)}


@cache
def library() -> ctypes.CDLL:
    """All kernels, compiled once a process."""
    flags = ["-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-shared", "-Wno-unknown-pragmas"]
    source = ROOT / "tests" / "native" / "cuda_library.cpp"
    compiler = os.environ.get("CXX", "c++")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "kernels.so"
        command = [compiler, *flags, f"-I{ROOT / 'kernels'}", str(source), "-o", str(path)]
        subprocess.run(command, check=True)
        return ctypes.CDLL(str(path))


@dataclass
class ShimLauncher:
    """A launcher whose device is the shim; remembers what it launched."""

    multiprocessors: int
    shared_bytes: int
    launched: list[str] = field(default_factory=list)

    def launch(self, kernel, blocks, threads, shared_bytes, *arguments):
        self.launched.append(kernel)
        values = [_value(a) for a in arguments]
        pointers = (ctypes.c_void_p * len(values))(
            *(ctypes.cast(ctypes.pointer(v), ctypes.c_void_p) for v in values)
        )
        assert library().shim_launch(
            kernel.encode(), blocks, threads, ctypes.c_size_t(shared_bytes), pointers
        ), f"no kernel {kernel}"

    def capturing(self):
        return False


def _value(argument):
    if argument is None or isinstance(argument, torch.Tensor):
        assert argument is None or argument.is_contiguous()
        return ctypes.c_void_p(0 if argument is None else argument.data_ptr())
    kinds = {np.int32: ctypes.c_int32, np.int64: ctypes.c_int64, np.float32: ctypes.c_float}
    return kinds[type(argument)](argument.item())

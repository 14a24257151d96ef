"""Compiles and launches kernels/*.cu through CuPy: the only file that imports cupy."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

PACKAGE = Path(__file__).parent
# Installed beside the package; in an editable install still where they are written.
KERNELS = PACKAGE / "kernels" if (PACKAGE / "kernels").is_dir() else PACKAGE.parent / "kernels"
OPTIONS = ("--std=c++17", "--fmad=false")
# Files whose name is not the beginning of their kernels' names, by kernel.
FILES = {
    "diagonal_gibbs_colour": "diagonal_gibbs",
    "diagonal_gibbs_count_equal": "diagonal_gibbs",
    "diagonal_gibbs_energy": "diagonal_gibbs",
    "diagonal_mean_field_colour": "diagonal_mean_field",
    "gibbs_start": "gibbs_half_sweep",
    "gibbs_count": "gibbs_half_sweep",
    "gibbs_count_equal": "gibbs_half_sweep",
    "gibbs_energy": "gibbs_half_sweep",
    "gibbs_sum_energy": "gibbs_half_sweep",
    "gibbs_keep_best": "gibbs_half_sweep",
    "gibbs_note_best": "gibbs_half_sweep",
    "gibbs_count_chains": "gibbs_chains",
    "chain_tables_build": "chain_tables",
    "mean_field_start": "mean_field_half_sweep",
    "mean_field_note_sweep": "mean_field_half_sweep",
    "mean_field_begin_tiles": "mean_field_tiles",
    "mean_field_end_tiles": "mean_field_tiles",
    "pack_potentials": "pack",
    "pack_states": "pack",
    "pack_means": "pack",
    "unpack_states": "pack",
    "unpack_means": "pack",
}

# What a kernel takes: tensors and None are pointers, numbers have the width that they say.
Argument = Tensor | np.int32 | np.int64 | np.float32 | None


class Launcher(Protocol):
    """A device that runs the kernels."""

    multiprocessors: int
    shared_bytes: int  # that a block may ask for

    def launch(
        self, kernel: str, blocks: int, threads: int, shared_bytes: int, *arguments: Argument
    ) -> None:
        """Runs a kernel on the current stream, after what was launched there before."""
        ...

    def capturing(self) -> bool:
        """Whether launches go into a CUDA graph, so that nothing can be read back."""
        ...


class CudaLauncher:
    """A CUDA device; kernels run on torch's current stream of it, asked for at every launch."""

    def __init__(self, index: int) -> None:
        self._cupy = _cupy()
        self._index = index
        properties = self._cupy.cuda.runtime.getDeviceProperties(index)
        self.multiprocessors = int(properties["multiProcessorCount"])
        self.shared_bytes = int(properties["sharedMemPerBlockOptin"])

    def launch(
        self, kernel: str, blocks: int, threads: int, shared_bytes: int, *arguments: Argument
    ) -> None:
        """See Launcher."""
        if blocks == 0:
            return
        if blocks >= 2**31:
            raise ValueError(
                f"model must need fewer than 2^31 blocks on CUDA; got {blocks} for {kernel}. "
                "Split the batch."
            )
        values = [_pointer(a) if isinstance(a, Tensor | None) else a for a in arguments]
        with self._cupy.cuda.Device(self._index):
            function = _function(self._index, kernel)
            if shared_bytes > 48 * 1024:
                function.max_dynamic_shared_size_bytes = shared_bytes
            stream = _TorchStream(torch.cuda.current_stream(self._index).cuda_stream)
            with self._cupy.cuda.Stream.from_external(stream):
                function((blocks,), (threads,), tuple(values), shared_mem=shared_bytes)

    def capturing(self) -> bool:
        """See Launcher."""
        with torch.cuda.device(self._index):
            return torch.cuda.is_current_stream_capturing()


class _TorchStream:
    """A stream that CuPy neither makes nor destroys; torch's own say this from 2.10 on only."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self._handle


@functools.cache
def launcher(index: int) -> CudaLauncher:
    """The launcher of a CUDA device.

    Raises:
        RuntimeError: CuPy is missing, or it cannot use the driver or compile; says what to install.
    """
    return CudaLauncher(index)


@functools.cache
def _cupy() -> Any:
    major = (torch.version.cuda or "13").split(".")[0]
    extra = "cuda12" if major == "12" else "cuda13"
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except ImportError as error:
        raise RuntimeError(
            f"model must be on cpu without CuPy; got a CUDA tensor. Run `pip install "
            f"'mrfmask[{extra}]'`, or call model.to('cpu')."
        ) from error
    except Exception as error:  # CuPy's own errors are no RuntimeErrors in all versions.
        raise RuntimeError(
            f"model must be on a device that CuPy can use; got {error}. `pip install "
            f"'mrfmask[{extra}]'` must fit the driver: mrfmask doctor says more."
        ) from error
    if not hasattr(cupy.cuda.Stream, "from_external"):
        raise RuntimeError(
            f"CuPy must be 14 or later; got {cupy.__version__}. Run `pip install --upgrade "
            f"'mrfmask[{extra}]'`."
        )
    return cupy


@functools.cache
def _sources_hash() -> str:
    # CuPy's cache of compiled kernels does not look into included headers.
    digest = hashlib.sha256()
    for path in sorted([*KERNELS.glob("*.h"), *KERNELS.glob("*.cu")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def _function(index: int, kernel: str) -> Any:
    file = FILES.get(kernel) or kernel.rstrip("0123456789").rstrip("_")
    try:
        return _module(index, file).get_function(kernel)
    except Exception as error:  # CuPy's CompileException is no RuntimeError.
        raise RuntimeError(
            f"kernels must compile on the device; got {error} for {file}.cu. CuPy's NVRTC must "
            "know the device: mrfmask doctor says more."
        ) from error


@functools.cache
def _module(index: int, file: str) -> Any:
    options = (*OPTIONS, f"-I{KERNELS}", f"-DMRFMASK_SOURCES=0x{_sources_hash()}ULL")
    return _cupy().RawModule(code=(KERNELS / f"{file}.cu").read_text(), options=options)


def _pointer(tensor: Tensor | None) -> np.uint64:
    return np.uint64(0 if tensor is None else tensor.data_ptr())

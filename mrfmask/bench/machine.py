"""What numbers were measured on and with."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

import mrfmask
from mrfmask import _native
from mrfmask.bench.worker import THREADS

PACKAGES = ("torch", "numpy", "PuLP", "highspy")


def machine() -> dict[str, str | int]:
    """Processor, instruction set, threads and versions; nothing that names the machine itself."""
    return {
        "processor": processor(),
        "instruction_set": _native.isas()[0],
        "threads": THREADS,
        "system": platform.system(),
        "python": platform.python_version(),
        "mrfmask": mrfmask.__version__,
        **{name.lower(): version(name) for name in PACKAGES},
    }


def processor() -> str:
    """The processor's own name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

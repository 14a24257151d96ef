"""The versions that a result depends on."""

from __future__ import annotations

import platform

import torch

import mrfmask


def versions() -> dict[str, str]:
    """Versions of mrfmask, torch and python."""
    return {
        "mrfmask": mrfmask.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }

"""What makes a method the one it is, as text: a training that is to go on asks for the same."""

from __future__ import annotations

import hashlib
from dataclasses import fields, is_dataclass
from typing import Any

from torch import nn


def describe(value: Any) -> str:
    """Names of classes and functions, values of options, digests of weights.

    Args:
        value: a network, a dataclass, a function, a sequence of them, or what `repr` tells apart.

    Example:
        >>> from mrfmask.depth.masking import MASKINGS
        >>> describe((MASKINGS["random"](), 0.5))
        '(Random(), 0.5)'
    """
    if isinstance(value, nn.Module):
        return f"{type(value).__name__}({digest_of(value)})"
    if is_dataclass(value) and not isinstance(value, type):
        parts = (f"{f.name}={describe(getattr(value, f.name))}" for f in fields(value))
        return f"{type(value).__name__}({', '.join(parts)})"
    if isinstance(value, list | tuple):
        return f"({', '.join(describe(part) for part in value)})"
    return getattr(value, "__qualname__", None) or repr(value)


def digest_of(net: nn.Module) -> str:
    """Tells weights from others, to the last bit."""
    digest = hashlib.sha256()
    for name, values in net.state_dict().items():
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}".encode())
        digest.update(values.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]

"""Powers of two that are exact on every device."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def power_of_two(exponent: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """``2 ** exponent`` in float64; exponents beyond +-1022 count as that.

    By the bits of the number: torch.ldexp multiplies by a power that CUDA may round.
    """
    bits = (exponent.to(torch.int64).clamp(-1022, 1022) + 1023) << 52
    return bits.view(torch.float64)

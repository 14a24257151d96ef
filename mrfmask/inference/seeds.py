"""Seeds: one int for a batch, or one int for each image."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

LARGEST_SEED = 2**63 - 1


def as_tensor(seed: int | Sequence[int], batch: int) -> Int[Tensor, "batch 2"]:
    """Key and stream of each image's draws, (batch, 2) int64.

    An int s gives image b the stream (s, b). One int an image gives image b the stream
    (seed[b], 0), so that any split of a batch draws the same numbers.

    Raises:
        TypeError: `seed` is no int and no sequence of ints.
        ValueError: a seed is negative or above 2^63 - 1, or their number is not the batch's.
    """
    if isinstance(seed, Tensor | np.ndarray):
        seed = seed.tolist()
    single = isinstance(seed, Integral)
    values = [seed] * batch if single else seed
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise TypeError(
            f"seed must be an int or one int an image; got {type(seed).__name__}. Use 0."
        )
    if len(values) != batch:
        raise ValueError(
            f"seed must have one int for each of {batch} images; got {len(values)}. "
            "Pass a single int to seed the whole batch."
        )
    for value in [seed] if single else values:
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise TypeError(f"seed must hold ints; got {type(value).__name__}. Use int(...).")
        if not 0 <= value <= LARGEST_SEED:
            raise ValueError(f"seed must lie in 0..2^63-1; got {value}. Choose a smaller number.")
    streams = range(batch) if single else [0] * batch
    pairs = [(int(value), stream) for value, stream in zip(values, streams, strict=True)]
    return torch.tensor(pairs, dtype=torch.int64).reshape(batch, 2)

"""Random models of any size; needs nothing but torch, so that it also serves `make gpu`."""

from __future__ import annotations

import torch

from mrfmask.model import IsingGrid


def random_grid(
    batch,
    height,
    width,
    *,
    coupling=1.0,
    signs="associative",
    periodic=False,
    seed=0,
    dtype=None,
    diagonals=False,
):
    """A batch of unit-variance unaries and couplings `coupling` * uniform(0.2, 1)."""
    generator = torch.Generator().manual_seed(seed)
    dtype = dtype or torch.float32
    columns = width if periodic and width > 1 else width - 1
    rows = height if periodic and height > 1 else height - 1

    def pairs(*shape):
        size = coupling * (0.2 + 0.8 * torch.rand(*shape, generator=generator, dtype=dtype))
        if signs == "any":
            return size * torch.randn(*shape, generator=generator, dtype=dtype).sign()
        return size if signs == "associative" else -size

    return IsingGrid(
        torch.randn(batch, height, width, generator=generator, dtype=dtype),
        pairs(batch, height, columns),
        pairs(batch, rows, width),
        periodic=periodic,
        **{
            name: pairs(batch, rows, columns)
            for name in (("down_right", "down_left") if diagonals else ())
        },
    )

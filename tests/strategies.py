"""Hypothesis strategies: small models of every kind that users can build."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from random_models import random_grid

from mrfmask.model import IsingGrid

__all__ = ["grids", "random_grid"]

# Halves make ties and exact sums frequent; the odd values do not fit a coarse integer scale.
TIED = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
ODD = st.floats(-3.0, 3.0, width=32).map(lambda v: 0.0 if abs(v) < 1e-6 else v)


def _tensor(draw, values, shape, dtype):
    count = shape[0] * shape[1]
    data = draw(st.lists(values, min_size=count, max_size=count))
    return torch.tensor(data, dtype=dtype).reshape(1, *shape)


@st.composite
def grids(
    draw, signs="any", most_pixels=16, clamps=True, periodic=None, dtype=None, diagonals=False
):
    """One image of at most `most_pixels`; signs "any", "associative" or "repulsive"."""
    height = draw(st.integers(1, 4))
    width = draw(st.integers(1, min(4, most_pixels // height)))
    wrap = draw(st.booleans()) if periodic is None else periodic
    dtype = dtype or draw(st.sampled_from([torch.float32, torch.float64]))
    values = draw(st.sampled_from([TIED, ODD]))
    columns = width if wrap and width > 1 else width - 1
    rows = height if wrap and height > 1 else height - 1
    couplings = {
        "any": values,
        "associative": values.map(abs),
        "repulsive": values.map(lambda v: -abs(v)),
    }[signs]
    unary = _tensor(draw, values, (height, width), dtype)
    if clamps and draw(st.booleans()):
        kind = _tensor(draw, st.sampled_from([0.0, 0.0, 0.0, 1.0, -1.0]), (height, width), dtype)
        unary = torch.where(kind == 0, unary, kind * torch.inf)
    given = draw(st.sampled_from([(0, 1), (0,), (1,)])) if diagonals else ()
    return IsingGrid(
        unary,
        _tensor(draw, couplings, (height, columns), dtype),
        _tensor(draw, couplings, (rows, width), dtype),
        torch.tensor([draw(st.sampled_from([0.0, -1.5, 10.0]))], dtype=torch.float64),
        wrap,
        **{
            ("down_right", "down_left")[i]: _tensor(draw, couplings, (rows, columns), dtype)
            for i in given
        },
    )

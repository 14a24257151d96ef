"""Hypothesis strategies: what users may ask a selector for."""

from __future__ import annotations

import torch
from hypothesis import strategies as st


@st.composite
def requests(draw, most_side=9, most_images=2):
    """Scores with forbidden pixels, taken ones, and a budget that every image can meet."""
    batch = draw(st.integers(1, most_images))
    height, width = draw(st.integers(1, most_side)), draw(st.integers(1, most_side))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    shape = (batch, height, width)
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    spread = draw(st.sampled_from([0.0, 1.0, 4.0, 300.0]))
    scores = spread * torch.randn(shape, generator=generator, dtype=dtype)
    forbidden = torch.rand(shape, generator=generator) < draw(st.sampled_from([0.0, 0.3, 0.9]))
    scores[forbidden] = -torch.inf
    taken = torch.rand(shape, generator=generator) < draw(st.sampled_from([0.0, 0.1, 0.6]))
    free = (~taken & ~forbidden).sum(dim=(1, 2)).tolist()
    new = [draw(st.integers(0, most)) for most in free]
    features = torch.rand(batch, 3, height, width, generator=generator)
    return {"scores": scores, "taken": taken, "new": new, "features": features}

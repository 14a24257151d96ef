"""The tutorials' code runs as it stands, block after block."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize(
    "name", ["graphs.md", "learn_a_mask.md", "mask_layer.md", "where_to_measure.md"]
)
def test_tutorial_code_runs(name):
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)
    assert len(blocks) >= 3
    state, names = torch.get_rng_state(), {"__name__": name}
    try:
        for block in blocks:
            exec(compile(block, name, "exec", dont_inherit=True), names)
    finally:
        torch.set_rng_state(state)

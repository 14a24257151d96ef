"""The average of a network's weights over the last steps of its training."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class Average:
    """Exponential moving average of weights: a network that changes less from step to step.

    After step t, counted from 0, ``a = d a + (1 - d) w`` with
    ``d = min(decay, (1 + t) / (10 + t))``: the first weights, which mean nothing, are soon
    forgotten. Buffers are copied.

    Args:
        net: whose weights are averaged; its weights are the average before the first step.
        decay: within [0, 1).

    Raises:
        ValueError: `decay` is out of range.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"average must lie in [0, 1); got {decay}. Use 0.99, or 0 for none.")
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay, self.steps = decay, 0

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Takes in the weights after a step."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        for mean, now in zip(self.net.parameters(), net.parameters(), strict=True):
            mean.lerp_(now, 1 - decay)
        for kept, now in zip(self.net.buffers(), net.buffers(), strict=True):
            kept.copy_(now)

    def state_dict(self) -> dict[str, Any]:
        """All that further steps depend on."""
        return {"net": self.net.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a saved state."""
        self.net.load_state_dict(state["net"])
        self.steps = state["steps"]

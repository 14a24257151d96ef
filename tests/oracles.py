"""Oracles that share no code with the package: enumeration in plain Python and NumPy."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Enumeration:
    """Every mask of one image (at most 16 pixels) that honours its clamps, with its energy."""

    masks: np.ndarray  # (states, height, width) bool, or (states, nodes)
    energies: np.ndarray  # (states,)

    def probabilities(self, beta: float) -> tuple[np.ndarray, float]:
        scores = -beta * self.energies
        top = scores.max()
        log_partition = top + np.log(np.exp(scores - top).sum())
        return np.exp(scores - log_partition), float(log_partition)

    def minimum(self) -> float:
        return float(self.energies.min())


def couplings(model, b: int):
    """(site, site, value) of every coupling of image b, from the definition."""
    if len(model.shape) == 2:
        for (i, j), value in zip(model.edges.tolist(), model.pairwise[b].tolist(), strict=True):
            yield (i,), (j,), value
        return
    _, height, width = model.shape
    right, down = model.right[b].tolist(), model.down[b].tolist()
    for y in range(height):
        for x in range(width):
            if x + 1 < width:
                yield (y, x), (y, x + 1), right[y][x]
            elif model.periodic and width > 1:
                yield (y, x), (y, 0), right[y][x]
            if y + 1 < height:
                yield (y, x), (y + 1, x), down[y][x]
            elif model.periodic and height > 1:
                yield (y, x), (0, x), down[y][x]
    for name, first_x, second_x in (("down_right", 0, 1), ("down_left", 1, 0)):
        diagonal = getattr(model, name)
        if diagonal is None:
            continue
        for y, row in enumerate(diagonal[b].tolist()):
            for x, value in enumerate(row):
                below = (y + 1) % height
                yield (y, (x + first_x) % width), (below, (x + second_x) % width), value


def energy_of(model, b: int, mask: np.ndarray) -> float:
    """E(x) = constant - sum unary x - sum pairwise x x, term by term."""
    total = float(model.constant[b])
    unary = model.unary[b].double().numpy()
    x = np.where(mask, 1, -1)
    for site, state in np.ndenumerate(x):
        value = unary[site]
        if abs(value) == float("inf"):
            if (value > 0) != (state > 0):
                return float("inf")
        else:
            total -= value * state
    for i, j, value in couplings(model, b):
        total -= value * x[i] * x[j]
    return float(total)


def enumerate_image(model, b: int = 0) -> Enumeration:
    unary = model.unary[b].double().numpy().flatten()
    choices = [[True] if v == np.inf else [False] if v == -np.inf else [False, True] for v in unary]
    masks = np.array(list(itertools.product(*choices)), dtype=bool).reshape(-1, *model.shape[1:])
    x = np.where(masks, 1.0, -1.0)
    energies = np.full(len(masks), float(model.constant[b]))
    energies -= (x.reshape(len(masks), -1) * np.where(np.isinf(unary), 0.0, unary)).sum(axis=1)
    for i, j, value in couplings(model, b):
        energies -= value * x[:, *i] * x[:, *j]
    return Enumeration(masks, energies)

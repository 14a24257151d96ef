"""The long-range energy by its definition, with nothing of the package in it."""

from __future__ import annotations

import itertools
import math

import numpy as np


def log_couplings(scores: np.ndarray, exponent: int) -> np.ndarray:
    """Logarithms of (rho_i rho_j)^(-s/4) / d_ij^s of all pairs of pixels, -inf on the diagonal."""
    height, width = scores.shape
    places = [divmod(i, width) for i in range(height * width)]
    flat = scores.reshape(-1)
    table = np.full((flat.size, flat.size), -np.inf)
    for i, j in itertools.permutations(range(flat.size), 2):
        apart = math.dist(places[i], places[j])
        table[i, j] = -exponent / 4 * (flat[i] + flat[j]) - exponent * math.log(apart)
    return table


def energy(couplings: np.ndarray, on: list[int] | np.ndarray) -> float:
    """E of the pixels that are on, pair by pair."""
    return math.fsum(couplings[i, j] for i, j in itertools.combinations(on, 2))


def best_swap(couplings: np.ndarray, on: list[int], movable: list[int], free: list[int]) -> float:
    """The least energy after one swap, divided by the energy before it."""
    before = energy(couplings, on)
    return min(
        energy(couplings, [j for j in on if j != i] + [p]) / before for i in movable for p in free
    )

"""Max-margin learning on tiny grids by listing all masks; shares no code with the package."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.optimize import minimize


def all_masks(height: int, width: int) -> np.ndarray:
    """(2^(height width), height, width) bool."""
    rows = list(itertools.product((False, True), repeat=height * width))
    return np.array(rows).reshape(-1, height, width)


def statistics(nodes, right, down, mask) -> np.ndarray:
    """f(mask), pixel by pixel and pair by pair: nodes of label 0, 1, edges of label 0, 1."""
    height, width = mask.shape
    node, edge = np.zeros((2, nodes.shape[2])), np.zeros((2, right.shape[2]))
    for y, x in np.ndindex(height, width):
        label = int(mask[y, x])
        node[label] += nodes[y, x]
        if x + 1 < width and mask[y, x + 1] == mask[y, x]:
            edge[label] += right[y, x]
        if y + 1 < height and mask[y + 1, x] == mask[y, x]:
            edge[label] += down[y, x]
    return np.concatenate((node.ravel(), edge.ravel()))


class Enumerated:
    """The problem with every inequality written out."""

    def __init__(self, nodes, right, down, targets, weights, cost, sign):
        self.cost, self.sign = cost, sign
        self.free = 2 * nodes.shape[3]
        self.gaps, self.losses = [], []
        for m, target in enumerate(targets):
            masks = all_masks(*target.shape)
            every = np.array([statistics(nodes[m], right[m], down[m], y) for y in masks])
            true = statistics(nodes[m], right[m], down[m], target)
            self.gaps.append(true - every)
            self.losses.append((weights[m] * (masks != target)).sum(axis=(1, 2)))

    def objective(self, flat) -> float:
        """1/2 ||w||^2 + C sum of the largest violations."""
        slack = [
            (loss - gap @ flat).max() for gap, loss in zip(self.gaps, self.losses, strict=True)
        ]
        return 0.5 * flat @ flat + self.cost * sum(slack)

    def optimum(self) -> tuple[float, np.ndarray]:
        """The least objective and its weights, by sequential least squares over all masks."""
        size, images = self.gaps[0].shape[1], len(self.gaps)
        rows, least = [], []
        for m, (gap, loss) in enumerate(zip(self.gaps, self.losses, strict=True)):
            own = np.zeros((len(gap), images))
            own[:, m] = 1.0
            rows.append(np.hstack((gap, own)))
            least.append(loss)
        matrix, least = np.vstack(rows), np.concatenate(least)
        bounds = [(None, None)] * self.free
        edge = (0.0, None) if self.sign > 0 else (None, 0.0)
        bounds += [edge] * (size - self.free) + [(0.0, None)] * images

        def value(z):
            return 0.5 * z[:size] @ z[:size] + self.cost * z[size:].sum()

        def slope(z):
            return np.concatenate((z[:size], np.full(images, self.cost)))

        start = np.concatenate((np.zeros(size), [loss.max() for loss in self.losses]))
        found = minimize(
            value,
            start,
            jac=slope,
            bounds=bounds,
            constraints={
                "type": "ineq",
                "fun": lambda z: matrix @ z - least,
                "jac": lambda z: matrix,
            },
            method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 500},
        )
        assert found.success, found.message
        return found.fun, found.x[:size]

"""The max-margin problem over grids: its oracle is one exact cut an image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.inference.graph_cut import GraphCut
from mrfmask.learn.labelled_grids import FeatureGrid, LabelledGrid
from mrfmask.learn.one_thread import one_thread
from mrfmask.model import IsingGrid

# Images cut in one call; bounds the memory of potentials.
BATCH = 16
# How far from the best weights towards the newest ones the oracle is asked.
TOWARDS = 0.3


@dataclass(frozen=True)
class Pass:
    """What is known after one call of the oracle for every image.

    Attributes:
        weights: flat, as in `MarginProblem`.
        primal: objective at `weights`, an upper bound on the optimum.
        dual: a lower bound on the optimum.
    """

    weights: Float[np.ndarray, " weights"]
    primal: float
    dual: float


@dataclass(frozen=True)
class Cuts:
    """Loss-augmented MAP of every image at some weights, as inequalities on all weights.

    For each image and all w: ``C slack >= loss - <w, feature_gap>``.

    Attributes:
        feature_gap: ``C (f(target) - f(mask))``.
        loss: ``C L(mask, target)``.
        slack: an upper bound on ``max_y [<w, f(y)> + L(y)] - <w, f(target)>`` at these weights;
            beyond the mask's own value by no more than the rounding of the cut.
    """

    feature_gap: Float[np.ndarray, "images weights"]
    loss: Float[np.ndarray, " images"]
    slack: Float[np.ndarray, " images"]


class MarginProblem:
    r"""``min_w 1/2 ||w||^2 + C sum_m slack_m(w)``, edge weights of one sign.

    ``slack_m(w) = max_y [<w, f_m(y)> + L_m(y)] - <w, f_m(target_m)>`` with the weighted Hamming
    loss L and f stacking, for k = 0 and 1, ``sum_i 1[y_i = k] x_i`` and ``sum_ij 1[y_i = y_j = k]
    x_ij``. Weights are flat: nodes of label 0, of label 1, edges of label 0, of label 1. Edge
    weights are >= 0 here; for repulsive couplings w and f have their edge parts negated.

    Args:
        grids: the training images.
        cost: C.
        sign: 1 for associative couplings, -1 for repulsive ones.

    Reference:
        Taskar, Chatalbashev and Koller, "Learning associative Markov networks", ICML 2004.
    """

    def __init__(self, grids: list[LabelledGrid], cost: float, sign: int) -> None:
        self.grids, self.cost, self.sign = grids, cost, sign
        features = grids[0].features
        self.node_features = features.nodes.shape[2]
        self.edge_features = features.right.shape[2]

    @property
    def dimension(self) -> int:
        """Number of weights."""
        return 2 * (self.node_features + self.edge_features)

    @property
    def free(self) -> int:
        """Number of weights without a sign; the others follow."""
        return 2 * self.node_features

    def clip(self, weights: Float[np.ndarray, " weights"]) -> Float[np.ndarray, " weights"]:
        """The nearest weights whose edge part is >= 0."""
        clipped = weights.copy()
        np.maximum(clipped[self.free :], 0.0, out=clipped[self.free :])
        return clipped

    def split(
        self, weights: Float[np.ndarray, " weights"]
    ) -> tuple[Float[Tensor, "2 features"], Float[Tensor, "2 edge_features"]]:
        """Weights of nodes and edges, one row a label, edges with their true sign."""
        flat = torch.from_numpy(weights)
        nodes, edges = flat[: self.free].view(2, -1), flat[self.free :].view(2, -1)
        return nodes, self.sign * edges

    def objective(self, weights: Float[np.ndarray, " weights"], cuts: Cuts) -> float:
        """The primal objective at the weights that the cuts were made at."""
        return 0.5 * float(weights @ weights) + self.cost * float(cuts.slack.sum())

    def cut(self, weights: Float[np.ndarray, " weights"]) -> Cuts:
        """Calls the oracle for every image."""
        nodes, edges = self.split(weights)
        images = len(self.grids)
        cuts = Cuts(np.zeros((images, self.dimension)), np.zeros(images), np.zeros(images))

        def cut_some(places: list[int]) -> None:
            batch = [self.grids[place] for place in places]
            target = torch.stack([grid.target for grid in batch])
            pixel_loss = torch.stack([grid.loss for grid in batch])
            unary, right, down = potentials([g.features for g in batch], nodes, edges)
            # E - L instead of E: a wrong pixel is worth its loss.
            unary += torch.where(target, -0.5, 0.5) * pixel_loss
            model = IsingGrid(unary, right, down)
            found = GraphCut()(model)
            slack = (model.energy(target) - found.lower_bound).clamp(min=0.0)
            loss = ((found.mask != target) * pixel_loss).sum(dim=(1, 2))
            cuts.slack[places], cuts.loss[places] = slack.numpy(), self.cost * loss.numpy()
            for place, grid, mask in zip(places, batch, found.mask, strict=True):
                cuts.feature_gap[place] = self.cost * self.feature_gap(grid, mask)

        in_batches([grid.features for grid in self.grids], cut_some)
        return cuts

    def feature_gap(
        self, grid: LabelledGrid, mask: Bool[Tensor, "height width"]
    ) -> Float[np.ndarray, " weights"]:
        """``f(target) - f(mask)``, summed in float64."""
        target, features = grid.target, grid.features
        on = target.to(torch.int8) - mask.to(torch.int8)
        gap = torch.zeros(self.dimension, dtype=torch.float64)
        nodes = _sum_rows(features.nodes, on)
        gap[: self.free] = torch.cat((-nodes, nodes))
        edges = gap[self.free :].view(2, -1)
        for label in (0, 1):
            true, found = (target, mask) if label else (~target, ~mask)
            for x, step in ((features.right, (0, 1)), (features.down, (1, 0))):
                both = [_pairs(labels, step) for labels in (true, found)]
                edges[label] += _sum_rows(x, both[0].to(torch.int8) - both[1].to(torch.int8))
        edges *= self.sign
        return gap.numpy()


def between(
    weights: Float[np.ndarray, " weights"], best: Float[np.ndarray, " weights"]
) -> Float[np.ndarray, " weights"]:
    """Where to ask the oracle: the solution of what is known so far is wild, the best is tame.

    Bounds hold anywhere. Inequalities found nearer to the best weights are of more use: with C so
    large that the regulariser does nothing, the gap closes in half the passes.
    """
    return TOWARDS * weights + (1 - TOWARDS) * best


def potentials(
    grids: list[FeatureGrid],
    nodes: Float[Tensor, "2 features"],
    edges: Float[Tensor, "2 edge_features"],
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Ising potentials, float64, of the scores of images of one size.

    With t_k = <w_k, x_ij> the pair scores ``t_0 1[y_i = y_j = 0] + t_1 1[y_i = y_j = 1]`` are a
    coupling (t_0 + t_1) / 4 and (t_1 - t_0) / 4 on the unary of both pixels.
    """
    height, width = grids[0].size
    unary = torch.empty(len(grids), height, width, dtype=torch.float64)
    right = torch.empty(len(grids), height, width - 1, dtype=torch.float64)
    down = torch.empty(len(grids), height - 1, width, dtype=torch.float64)
    difference = (nodes[1] - nodes[0]) / 2
    pair = torch.stack(((edges[0] + edges[1]) / 4, (edges[1] - edges[0]) / 4), dim=1)
    for b, grid in enumerate(grids):
        unary[b] = grid.nodes @ difference.to(grid.nodes.dtype)
        for x, coupling, step in ((grid.right, right, (0, 1)), (grid.down, down, (1, 0))):
            score = x @ pair.to(x.dtype)
            coupling[b] = score[..., 0]
            first, second = _ends(unary[b], step)
            first += score[..., 1]
            second += score[..., 1]
    return unary, right, down


def in_batches(grids: list[FeatureGrid], work: Callable[[list[int]], None]) -> None:
    """Calls `work` with the numbers of at most BATCH images of one size, until all had their turn.

    As many calls run at a time as torch has threads, and each computes in one.
    """
    sizes = defaultdict(list)
    for place, grid in enumerate(grids):
        sizes[grid.size].append(place)
    parts = [p[i : i + BATCH] for p in sizes.values() for i in range(0, len(p), BATCH)]
    with one_thread() as threads:
        if threads == 1 or len(parts) == 1:
            for part in parts:
                work(part)
            return
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, parts))


def _ends(pixels: Tensor, step: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Views of the first and second pixel of every pair one step apart."""
    height, width = pixels.shape
    return pixels[: height - step[0], : width - step[1]], pixels[step[0] :, step[1] :]


def _pairs(labels: Tensor, step: tuple[int, int]) -> Tensor:
    """Where both pixels of a pair are True."""
    first, second = _ends(labels, step)
    return first & second


def _sum_rows(features: Tensor, factor: Tensor) -> Tensor:
    """``sum factor x`` over pixels or pairs in float64; most factors are 0."""
    rows = features[factor != 0].double()
    return factor[factor != 0].double() @ rows

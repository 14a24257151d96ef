"""Associative Markov networks: linear max-margin learning of grid models, with a certificate."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask.inference.graph_cut import GraphCut
from mrfmask.inference.method import check_choice, check_count, check_positive
from mrfmask.learn.bcfw import bcfw_passes
from mrfmask.learn.compact_qp import compact_qp_passes
from mrfmask.learn.cutting_plane import cutting_plane_passes
from mrfmask.learn.labelled_grids import (
    Arrays,
    FeatureGrid,
    LabelledGrid,
    read_features,
    read_targets,
)
from mrfmask.learn.margin import MarginProblem, Pass, in_batches, potentials
from mrfmask.learn.one_thread import one_thread
from mrfmask.model import IsingGrid

SOLVERS: dict[str, Callable[[MarginProblem, int], Iterator[Pass]]] = {
    "bcfw": bcfw_passes,
    "cutting_plane": lambda problem, seed: cutting_plane_passes(problem),
    "qp": lambda problem, seed: compact_qp_passes(problem),
}
LOSSES = ("hamming", "class_balanced")
COUPLINGS = {"associative": 1, "repulsive": -1}


class AMN:
    r"""A structured SVM for masks whose every cut is exact, so that its duality gap is a proof.

    The score of a mask is ``sum_i <w_nodes[y_i], x_i> + sum_ij 1[y_i = y_j] <w_edges[y_i], x_ij>``
    with edge features >= 0 and edge weights >= 0 (repulsive: <= 0), and fit minimises

        1/2 ||w||^2 + C sum_m max_y [score_m(y) + loss_m(y) - score_m(target_m)]

    to a relative gap. The maximum over masks is one minimum cut an image, on as many threads as
    `torch.get_num_threads` says.

    Args:
        C: weight of the errors against the regulariser, > 0; losses are summed over all pixels.
        solver: "bcfw", block-coordinate Frank-Wolfe; "cutting_plane", one slack for all images;
            "qp", the whole problem handed to HiGHS, for a few small images.
        tolerance: relative duality gap ``(primal - dual) / primal`` at which to stop, >= 1e-7; the
            rounding of cuts and of products with float32 features is below that.
        max_passes: most calls of the oracle for every image.
        loss: what a wrong pixel costs: "hamming", 1; "class_balanced", inversely proportional to
            how frequent its label is in all of Y; either times the pixel's weight.
        coupling: "associative", edges reward equal labels; "repulsive", they punish them.
        seed: of the order of images ("bcfw").

    Attributes:
        w_nodes_: (2, node features) float64 array, one row a label.
        w_edges_: (2, edge features) float64 array, with its sign.
        primal_: objective at these weights.
        dual_: no weights have a lower objective.
        gap_: ``primal_ - dual_``.
        converged_: whether the gap met the tolerance.
        history_: (primal, dual) of every pass; a pass's weights need not be the best so far.

    After KeyboardInterrupt in fit the attributes hold the best of all passes until then.

    Example:
        >>> import numpy as np
        >>> from mrfmask.learn import AMN
        >>> masks = np.zeros((1, 6, 6), bool)
        >>> masks[:, 2:, 3:] = True
        >>> noise = np.random.default_rng(0).standard_normal((1, 6, 6))
        >>> features = np.stack((masks + 0.4 * noise, np.ones((1, 6, 6))), axis=-1)
        >>> amn = AMN(tolerance=0.01).fit(features, None, masks)
        >>> amn.score(features, None, masks), bool(amn.gap_ <= 0.01 * amn.primal_)
        (1.0, True)

    Reference:
        Taskar, Chatalbashev and Koller, "Learning associative Markov networks", ICML 2004.
    """

    def __init__(
        self,
        C: float = 1.0,
        solver: str = "bcfw",
        tolerance: float = 1e-3,
        max_passes: int = 1000,
        loss: str = "hamming",
        coupling: str = "associative",
        seed: int = 0,
    ) -> None:
        self.C = C
        self.solver = solver
        self.tolerance = tolerance
        self.max_passes = max_passes
        self.loss = loss
        self.coupling = coupling
        self.seed = seed

    def fit(
        self,
        X_nodes: Arrays,
        X_edges: tuple[Arrays, Arrays] | None,
        Y: Arrays,
        *,
        weights: Arrays | None = None,
        callback: Callable[[int, float, float], object] | None = None,
    ) -> AMN:
        """Learns the weights.

        Args:
            X_nodes: (images, height, width, features), or a list of (height, width, features);
                float32 and float64 are used as they are.
            X_edges: (right, down) of shapes (images, height, width - 1, edge features) and (images,
                height - 1, width, edge features), or two lists; >= 0. None is the feature 1.
            Y: (images, height, width) or a list of (height, width); bool, or 0 and 1.
            weights: shaped like Y, >= 0, of each pixel in the loss; None is 1. A pixel of weight 0
                may be labelled wrongly at no loss; its label is still part of its mask's score.
            callback: called after every pass with its number (from 1), the lowest primal and the
                highest dual objective so far.

        Returns:
            Itself.

        Raises:
            TypeError, ValueError: options or arrays that do not fit.
            RuntimeError: HiGHS solves nothing ("qp").
        """
        self._check_options()
        if callback is not None and not callable(callback):
            raise TypeError(
                f"callback must be callable; got {type(callback).__name__}. It is called with "
                "pass, primal and dual."
            )
        with one_thread():
            features = read_features(X_nodes, X_edges)
            targets, pixels = read_targets(features, Y, weights)
            if self.loss == "class_balanced":
                pixels = _balanced(targets, pixels)
        grids = [LabelledGrid(*parts) for parts in zip(features, targets, pixels, strict=True)]
        problem = MarginProblem(grids, float(self.C), COUPLINGS[self.coupling])
        self.primal_, self.dual_, self.history_ = np.inf, -np.inf, []
        self.converged_ = False
        passes = SOLVERS[self.solver](problem, self.seed)
        # The pass is taken last, and no more of them than may be used.
        for number, found in zip(range(1, self.max_passes + 1), passes, strict=False):
            self._keep(problem, found)
            if callback is not None:
                callback(number, self.primal_, self.dual_)
            if self.gap_ <= self.tolerance * self.primal_:
                self.converged_ = True
                break
        return self

    def model(self, X_nodes: Arrays, X_edges: tuple[Arrays, Arrays] | None) -> IsingGrid:
        """The models of images of one size, float64; their MAP is `predict`.

        Raises:
            TypeError, ValueError: as for fit; images of different sizes.
            RuntimeError: not fitted.
        """
        grids = self._read(X_nodes, X_edges)
        sizes = {grid.size for grid in grids}
        if len(sizes) > 1:
            raise ValueError(
                f"X_nodes must hold images of one size for a model; got {sorted(sizes)}. Make one "
                "model for each size."
            )
        return self._model(grids)

    def predict(
        self, X_nodes: Arrays, X_edges: tuple[Arrays, Arrays] | None
    ) -> Bool[Tensor, "images height width"] | list[Bool[Tensor, "height width"]]:
        """The mask of the highest score of each image; for a list of images a list.

        Raises:
            TypeError, ValueError: as for fit; other numbers of features than in fit.
            RuntimeError: not fitted.
        """
        masks = self._predict(self._read(X_nodes, X_edges))
        return masks if isinstance(X_nodes, list | tuple) else torch.stack(masks)

    def score(
        self,
        X_nodes: Arrays,
        X_edges: tuple[Arrays, Arrays] | None,
        Y: Arrays,
        weights: Arrays | None = None,
    ) -> float:
        """The share of right pixels over all images, each pixel counting by its weight.

        Raises:
            TypeError, ValueError: as for fit; all weights 0.
            RuntimeError: not fitted.
        """
        grids = self._read(X_nodes, X_edges)
        targets, pixels = read_targets(grids, Y, weights)
        right = total = 0.0
        for mask, target, weight in zip(self._predict(grids), targets, pixels, strict=True):
            right += float(weight[mask == target].sum())
            total += float(weight.sum())
        if total == 0:
            raise ValueError("weights must not all be 0; got a sum of 0. Leave them out.")
        return right / total

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The options by name; `deep` changes nothing."""
        return {name: getattr(self, name) for name in _options()}

    def set_params(self, **options: Any) -> AMN:
        """Changes options by name.

        Raises:
            ValueError: there is no such option.
        """
        for name, value in options.items():
            check_choice("option", name, tuple(_options()))
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        return f"AMN({', '.join(f'{k}={v!r}' for k, v in self.get_params().items())})"

    def _check_options(self) -> None:
        check_positive("C", self.C)
        check_choice("solver", self.solver, tuple(SOLVERS))
        check_positive("tolerance", self.tolerance)
        if not 1e-7 <= self.tolerance < 1:
            raise ValueError(
                f"tolerance must lie in [1e-7, 1); got {self.tolerance}. 1e-3 is a gap of a "
                "thousandth."
            )
        check_count("max_passes", self.max_passes, least=1)
        check_choice("loss", self.loss, LOSSES)
        check_choice("coupling", self.coupling, tuple(COUPLINGS))
        check_count("seed", self.seed, least=0)

    def _keep(self, problem: MarginProblem, found: Pass) -> None:
        """Takes in a pass."""
        self.history_.append((found.primal, found.dual))
        if found.primal < self.primal_:
            nodes, edges = problem.split(found.weights)
            self.w_nodes_, self.w_edges_ = nodes.numpy().copy(), edges.numpy().copy()
            self.primal_ = found.primal
        self.dual_ = max(self.dual_, found.dual)
        self.gap_ = self.primal_ - self.dual_

    def _read(self, X_nodes: Arrays, X_edges: tuple[Arrays, Arrays] | None) -> list[FeatureGrid]:
        if not hasattr(self, "w_nodes_"):
            raise RuntimeError("AMN must be fitted first; got no weights. Call fit.")
        counts = (self.w_nodes_.shape[1], self.w_edges_.shape[1])
        with one_thread():
            return read_features(X_nodes, X_edges, counts)

    def _model(self, grids: list[FeatureGrid]) -> IsingGrid:
        nodes, edges = torch.from_numpy(self.w_nodes_), torch.from_numpy(self.w_edges_)
        return IsingGrid(*potentials(grids, nodes, edges))

    def _predict(self, grids: list[FeatureGrid]) -> list[Bool[Tensor, "height width"]]:
        masks: list[Tensor] = [torch.empty(0)] * len(grids)

        def cut_some(places: list[int]) -> None:
            found = GraphCut()(self._model([grids[place] for place in places]))
            for place, mask in zip(places, found.mask, strict=True):
                masks[place] = mask

        in_batches(grids, cut_some)
        return masks


def _options() -> list[str]:
    """Names of the arguments of AMN."""
    return list(inspect.signature(AMN).parameters)


def _balanced(targets: list[Tensor], pixels: list[Tensor]) -> list[Tensor]:
    """Weights of pixels whose sum is as before, and the same for both labels."""
    on = sum(float(weight[target].sum()) for target, weight in zip(targets, pixels, strict=True))
    off = sum(float(weight.sum()) for weight in pixels) - on
    if on == 0 or off == 0:
        return pixels
    mean = (on + off) / 2
    return [
        weight * torch.where(target, mean / on, mean / off)
        for target, weight in zip(targets, pixels, strict=True)
    ]

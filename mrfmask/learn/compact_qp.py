"""The whole max-margin problem as one quadratic program, by HiGHS: a referee for small problems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from mrfmask.learn.labelled_grids import FeatureGrid, LabelledGrid
from mrfmask.learn.margin import MarginProblem, Pass

# HiGHS adds so much to the diagonal of the quadratic form; 1e-7 is its default.
REGULARIZATIONS = (1e-7, 1e-6, 1e-5)


def compact_qp_passes(problem: MarginProblem) -> Iterator[Pass]:
    r"""Passes at the optimum: the maximum over masks is replaced by its linear program's dual.

    Because the couplings make inference a cut, that linear program is exact. With ``[...]`` for
    the scores of weights w, variables alpha per pixel (free) and per pair, end and label (>= 0):

        min  1/2 ||w||^2 + C sum_m slack_m
        <w, f_m(target)> + slack_m >= sum_i alpha_i
        alpha_i - sum_{pairs of i} alpha_ij^k >= [<w^k, x_i>] + loss_i 1[k != target_i]
        alpha_ij^k + alpha_ji^k >= [<w^k, x_ij>]

    For repulsive couplings the labels of every second pixel are exchanged. The dual value comes
    from HiGHS' multipliers, made feasible; the primal one from a pass of cuts. Where HiGHS goes in
    circles, the next pass tries a larger regularisation of what has no square.

    Args:
        problem: the max-margin problem; each pixel takes about nine variables.

    Raises:
        RuntimeError: HiGHS finds nothing.

    Reference:
        Taskar, Chatalbashev and Koller, "Learning associative Markov networks", ICML 2004.
    """
    program = _Program(problem)
    for grid in problem.grids:
        program.add(grid)
    solved = False
    for regularization in REGULARIZATIONS:
        solution = program.solve(regularization)
        if solution is None:
            continue
        solved = True
        weights, probabilities = problem.clip(solution[0]), solution[1]
        cuts = problem.cut(weights)
        yield Pass(weights, problem.objective(weights, cuts), _dual(problem, probabilities))
    if not solved:
        raise RuntimeError(
            "HiGHS must find a point of the quadratic program; got none. Use solver='bcfw'."
        )


class _Program:
    """Rows and columns as they are added; the first columns are the weights."""

    def __init__(self, problem: MarginProblem) -> None:
        self.problem = problem
        self.columns = problem.dimension
        self.entries: dict[tuple[int, int], float] = defaultdict(float)
        self.least: list[float] = []
        self.positive = set(range(problem.free, problem.dimension))
        self.slacks: list[int] = []
        # For each image the rows of label 0 and of label 1, (2, height, width).
        self.label_rows: list[np.ndarray] = []

    def add(self, grid: LabelledGrid) -> None:
        """Variables and inequalities of an image."""
        problem, target = self.problem, grid.target.numpy()
        height, width = target.shape
        odd = np.add.outer(np.arange(height), np.arange(width)) % 2 == 1
        flipped = odd & (problem.sign < 0)
        slack = self._column(positive=True)
        self.slacks.append(slack)
        alpha = np.array([self._column() for _ in range(target.size)]).reshape(target.shape)
        rows = np.zeros((2, height, width), dtype=int)
        nodes = grid.features.nodes.double().numpy()
        for label in (0, 1):
            for pixel in np.ndindex(height, width):
                own = label ^ int(flipped[pixel])
                loss = float(grid.loss[pixel]) if own != target[pixel] else 0.0
                row = rows[label][pixel] = self._row(loss)
                self._put(row, alpha[pixel], 1.0)
                self._put_weights(row, own * problem.node_features, nodes[pixel], -1.0)
        for first, second, x in _pairs(grid.features):
            for label in (0, 1):
                start = problem.free + label * problem.edge_features
                ends = [self._column(positive=True) for _ in range(2)]
                row = self._row(0.0)
                self._put_weights(row, start, x, -1.0)
                for pixel, end in zip((first, second), ends, strict=True):
                    self._put(row, end, 1.0)
                    self._put(rows[label][pixel], end, -1.0)
                    if problem.sign < 0 and not odd[pixel]:
                        # 1[y_i = y_j = k] is 1[z_i = k] - 1[z_i = z_j = k] after the exchange.
                        self._put_weights(rows[label][pixel], start, x, 1.0)
        total = self._row(0.0)
        self._put_weights(total, 0, expected_features(problem, grid, target.astype(float)), 1.0)
        self._put(total, slack, 1.0)
        for column in alpha.flat:
            self._put(total, column, -1.0)
        # Row numbers in the order of the true labels.
        self.label_rows.append(np.where(flipped, rows[::-1], rows))

    def solve(
        self, regularization: float
    ) -> tuple[Float[np.ndarray, " weights"], list[Float[np.ndarray, "height width"]]] | None:
        """The weights, and from the multipliers for each image P(pixel on); None if it fails."""
        import highspy

        infinity, weights = highspy.kHighsInf, self.problem.dimension
        model = highspy.HighsModel()
        lp = model.lp_
        lp.num_col_, lp.num_row_ = self.columns, len(self.least)
        cost = np.zeros(self.columns)
        cost[self.slacks] = self.problem.cost
        lp.col_cost_ = cost
        lower = np.full(self.columns, -infinity)
        lower[list(self.positive)] = 0.0
        lp.col_lower_, lp.col_upper_ = lower, np.full(self.columns, infinity)
        lp.row_lower_ = np.array(self.least)
        lp.row_upper_ = np.full(len(self.least), infinity)
        rows, columns = np.array(list(self.entries)).T
        values = np.array(list(self.entries.values()))
        order = np.lexsort((columns, rows))
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.searchsorted(rows[order], np.arange(len(self.least) + 1))
        lp.a_matrix_.index_, lp.a_matrix_.value_ = columns[order], values[order]
        model.hessian_.dim_ = self.columns
        model.hessian_.format_ = highspy.HessianFormat.kTriangular
        model.hessian_.start_ = np.minimum(np.arange(self.columns + 1), weights)
        model.hessian_.index_, model.hessian_.value_ = np.arange(weights), np.ones(weights)
        highs = highspy.Highs()
        highs.setOptionValue("output_flag", False)
        highs.setOptionValue("qp_regularization_value", regularization)
        highs.setOptionValue("qp_iteration_limit", 10 * (self.columns + len(self.least)))
        highs.passModel(model)
        highs.run()
        known = highspy.HighsModelStatus
        if highs.getModelStatus() not in (known.kOptimal, known.kIterationLimit):
            return None
        solution = highs.getSolution()
        multipliers = np.array(solution.row_dual)
        probabilities = []
        for label_rows in self.label_rows:
            off, on = multipliers[label_rows].clip(min=0.0)
            probabilities.append(on / np.maximum(on + off, np.finfo(float).tiny))
        return np.array(solution.col_value)[:weights], probabilities

    def _column(self, positive: bool = False) -> int:
        if positive:
            self.positive.add(self.columns)
        self.columns += 1
        return self.columns - 1

    def _row(self, least: float) -> int:
        self.least.append(least)
        return len(self.least) - 1

    def _put(self, row: int, column: int, value: float) -> None:
        self.entries[row, int(column)] += value

    def _put_weights(self, row: int, start: int, x: np.ndarray, factor: float) -> None:
        for place, value in enumerate(x):
            self._put(row, start + place, factor * float(value))


def expected_features(
    problem: MarginProblem, grid: LabelledGrid, probability: Float[np.ndarray, "height width"]
) -> Float[np.ndarray, " weights"]:
    """The mean of f over random masks with these probabilities of pixels on.

    Pairs agree as often as they can, or, where couplings are repulsive, as seldom: the masks
    ``probability > t`` for uniform t do so, the second kind with every second pixel exchanged.
    """
    mean = np.zeros(problem.dimension)
    nodes, edges = mean[: problem.free].reshape(2, -1), mean[problem.free :].reshape(2, -1)
    x = grid.features.nodes.double().numpy()
    for label, share in enumerate((1.0 - probability, probability)):
        nodes[label] = np.tensordot(share, x, axes=2)
        for first, second, pair in _pairs(grid.features):
            p, q = share[first], share[second]
            together = min(p, q) if problem.sign > 0 else max(0.0, p + q - 1.0)
            edges[label] += problem.sign * together * pair
    return mean


def _dual(problem: MarginProblem, probabilities: list[Float[np.ndarray, "height width"]]) -> float:
    """The dual objective at marginals of random masks, a lower bound."""
    gap, loss = np.zeros(problem.dimension), 0.0
    for grid, probability in zip(problem.grids, probabilities, strict=True):
        target = grid.target.numpy().astype(float)
        gap += expected_features(problem, grid, target)
        gap -= expected_features(problem, grid, probability)
        loss += float((grid.loss.numpy() * np.abs(target - probability)).sum())
    weights = problem.clip(problem.cost * gap)
    return problem.cost * loss - 0.5 * float(weights @ weights)


def _pairs(
    features: FeatureGrid,
) -> Iterator[tuple[tuple[int, int], tuple[int, int], Float[np.ndarray, " edge_features"]]]:
    """Both pixels of every pair, and its features."""
    for x, (dy, dx) in ((features.right, (0, 1)), (features.down, (1, 0))):
        values = x.double().numpy()
        for i, j in np.ndindex(values.shape[:2]):
            yield (i, j), (i + dy, j + dx), values[i, j]

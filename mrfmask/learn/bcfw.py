"""Block-coordinate Frank-Wolfe on the max-margin dual, over cached masks between exact passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from mrfmask.learn.margin import Cuts, MarginProblem, Pass, between

# Passes over the cache end when they can gain less than this share of the last known gap, ...
CACHE_SHARE = 0.02
# ... or here, when they take about as long as the cuts of images of 100x100.
CACHE_PASSES = 200
# A mask without weight is forgotten after so many exact passes.
MEMORY = 10


def bcfw_passes(problem: MarginProblem, seed: int) -> Iterator[Pass]:
    r"""Passes of pairwise block-coordinate Frank-Wolfe, without end.

    The dual is ``max  sum_m l_m - 1/2 ||w||^2``, where for each image (a block) (a_m, l_m) is a
    convex combination of the inequalities ``(C (f(target) - f(y)), C L(y))`` of its masks y, and
    ``w = clip(sum_m a_m)``: edge weights below 0 become 0, which solves for the multipliers of
    their sign constraint. A pass calls the exact oracle for all images at the same weights, between
    w and the best known, so that primal and dual are true bounds, and keeps the masks that it
    finds. Then it goes through the images in random order, again and again, and moves weight from
    the worst to the best mask of each, with an exact line search, until the masks that it has can
    gain little more.

    Args:
        problem: the max-margin problem.
        seed: of the order of the images.

    Reference:
        Lacoste-Julien, Jaggi, Schmidt and Pletscher, "Block-coordinate Frank-Wolfe optimization for
        structural SVMs", ICML 2013; Osokin et al., "Minding the gaps for block Frank-Wolfe
        optimization of structured SVMs", ICML 2016 (pairwise steps, cache); Shah, Kolmogorov and
        Lampert, "A multi-plane block-coordinate Frank-Wolfe algorithm for training structural SVMs
        with a costly max-oracle", CVPR 2015.
    """
    order = np.random.default_rng(seed)
    # Masks equal to the targets, with all the weight: w = 0.
    blocks = [
        Block(np.zeros((1, problem.dimension)), np.zeros(1), np.ones(1), np.zeros(1, dtype=int))
        for _ in problem.grids
    ]
    total, best_weights = np.zeros(problem.dimension), np.zeros(problem.dimension)
    best, number = np.inf, 0
    while True:
        weights = problem.clip(total)
        dual = sum(float(b.share @ b.loss) for b in blocks) - 0.5 * float(weights @ weights)
        asked = between(weights, best_weights)
        cuts = problem.cut(asked)
        primal = problem.objective(asked, cuts)
        if primal < best:
            best, best_weights = primal, asked
        yield Pass(asked, primal, dual)
        number += 1
        blocks = [b.extended(cuts, m, weights, number) for m, b in enumerate(blocks)]
        for _ in range(CACHE_PASSES):
            gap = 0.0
            for m in order.permutation(len(blocks)):
                gap += _step(blocks[m], total, problem.free)
            if gap <= CACHE_SHARE * (best - dual):
                break
        # What the steps have added up, without their rounding.
        total = sum((b.share @ b.feature_gap for b in blocks), np.zeros(problem.dimension))


@dataclass
class Block:
    """What is known of an image: the inequalities of its masks, one row each.

    Attributes:
        feature_gap: C (f(target) - f(y)).
        loss: C L(y).
        share: weight of each mask in the convex combination; sums to 1.
        number: of the exact pass that found it.
    """

    feature_gap: Float[np.ndarray, "masks weights"]
    loss: Float[np.ndarray, " masks"]
    share: Float[np.ndarray, " masks"]
    number: Int[np.ndarray, " masks"]

    def extended(
        self, cuts: Cuts, image: int, weights: Float[np.ndarray, " weights"], number: int
    ) -> Block:
        """With the mask that the oracle found, if it is new, and without those long unused."""
        keep = (self.share > 0) | (self.number > number - MEMORY)
        gaps, loss = self.feature_gap[keep], self.loss[keep]
        share, numbers = self.share[keep], self.number[keep]
        gap, own_loss = cuts.feature_gap[image], cuts.loss[image]
        if own_loss - gap @ weights > (loss - gaps @ weights).max():
            gaps, loss = np.vstack((gaps, gap)), np.append(loss, own_loss)
            share, numbers = np.append(share, 0.0), np.append(numbers, number)
        return Block(gaps, loss, share, numbers)


def _step(block: Block, total: Float[np.ndarray, " weights"], free: int) -> float:
    """Moves weight from the worst to the best mask; changes `block.share` and `total`.

    Returns:
        The gap of the block at the old weights.
    """
    weights = total.copy()
    np.maximum(weights[free:], 0.0, out=weights[free:])
    scores = block.loss - block.feature_gap @ weights
    best = int(scores.argmax())
    gap = float(scores[best] - block.share @ scores)
    if gap <= 0:
        return 0.0
    worst = int(np.where(block.share > 0, scores, np.inf).argmin())
    direction = block.feature_gap[best] - block.feature_gap[worst]
    gain = block.loss[best] - block.loss[worst]
    step = line_search(total, direction, gain, block.share[worst], free)
    block.share[best] += step
    # A full step takes the mask out exactly.
    block.share[worst] = 0.0 if step == block.share[worst] else block.share[worst] - step
    total += step * direction
    return gap


def line_search(
    total: Float[np.ndarray, " weights"],
    direction: Float[np.ndarray, " weights"],
    gain: float,
    longest: float,
    free: int,
) -> float:
    """The step in [0, longest] with the largest ``step gain - 1/2 ||clip(total + step d)||^2``.

    With d the direction, the derivative ``gain - <clip(total + step d), d>`` never increases and is
    linear between the steps at which an edge weight passes 0.
    """
    edges, slope = total[free:], direction[free:]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossings = -edges / slope
    crossings = np.sort(crossings[(crossings > 0) & (crossings < longest)])
    steps = np.concatenate(([0.0], crossings, [longest]))
    points = total + steps[:, None] * direction
    np.maximum(points[:, free:], 0.0, out=points[:, free:])
    derivative = gain - points @ direction
    after = int(np.argmax(derivative <= 0)) if derivative[-1] <= 0 else -1
    if after == -1:
        return longest
    if after == 0:
        return 0.0
    before = after - 1
    fall = derivative[before] - derivative[after]
    return float(steps[before] + (steps[after] - steps[before]) * (derivative[before] / fall))

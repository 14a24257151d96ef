"""Long-range repulsive Ising: picks repel each other with a power of their distance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.checks import check_mask
from mrfmask.inference.method import check_count
from mrfmask.select.budget import Budget, Request, check_scores
from mrfmask.select.operator import long_range
from mrfmask.select.selector import Selector

# Logarithms of weights lie within +-this: products of two weights and a power of a distance then
# stay within float64.
LARGEST_LOG_WEIGHT = 300.0


@dataclass(frozen=True, kw_only=True)
class LongRangeResult:
    """A mask and how it was found; one value an image.

    Attributes:
        mask: taken and chosen pixels.
        log_energy: log E of the mask; -inf for fewer than two pixels.
        greedy_log_energy: the same after insertion, before any swap.
        swaps: swaps made.
        passes: passes over the picks.
        local_optimum: whether no swap of a chosen and a free pixel lowers E by more than 1e-9 of
            the pick's own part of it; False where `passes` ran out.
    """

    mask: Bool[Tensor, "batch height width"]
    log_energy: Float[Tensor, " batch"]
    greedy_log_energy: Float[Tensor, " batch"]
    swaps: Int[Tensor, " batch"]
    passes: Int[Tensor, " batch"]
    local_optimum: Bool[Tensor, " batch"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LongRange(Selector):
    r"""Few pixels, as dense as asked for and evenly apart: greedy insertion, then swaps.

    ``E(y) = sum_(i<j) y_i y_j (rho_i rho_j)^(-s/4) / d_ij^s`` over all pairs of pixels, with the
    density ``rho = exp(score)``, so that the logarithms of the couplings are linear in the scores,
    and ``d`` the distance in pixels; exactly k pixels on. Where ``rho`` is constant the picks tend
    to a triangular lattice, elsewhere their number per area follows ``rho``.

    A pixel is added where it costs least, k times; then every pick in turn moves to the free pixel
    where it costs least, until none can move: a local optimum under all swaps. No pair is left out
    of that last check. Scores lower than the highest of an image by more than ``2400 / s`` count
    as lower by that, which keeps all numbers within float64. A taken pixel whose score is -inf
    repels like one of the median score of those that are finite.

    Args:
        exponent: s, an int in 1..16; 8 if in doubt, results hardly depend on it from 3 on.
        passes: most passes over the picks; 0 leaves the greedy insertion alone.

    Example:
        >>> import torch, mrfmask as mm
        >>> result = mm.LongRange().search(torch.zeros(1, 1, 9), budget=3)
        >>> result.mask.int()
        tensor([[[1, 0, 0, 0, 1, 0, 0, 0, 1]]], dtype=torch.int32)
        >>> energy = 2 * 4.0**-8 + 8.0**-8
        >>> bool((result.log_energy.exp() - energy).abs() < 1e-12 * energy)
        True

    Reference:
        Hardin and Saff, "Discretizing manifolds via minimum energy points", Notices of the AMS
        2004; Borodachov, Hardin and Saff, "Asymptotics for discrete weighted minimal Riesz energy
        problems on rectifiable sets", Transactions of the AMS 2008.
    """

    exponent: int = 8
    passes: int = 100

    name: ClassVar = "long_range"
    uses: ClassVar = frozenset({"scores"})

    def __post_init__(self) -> None:
        check_count("exponent", self.exponent, least=1, most=16)
        check_count("passes", self.passes, least=0)

    def search(
        self,
        scores: Float[Tensor, "batch height width"],
        *,
        budget: Budget | None = None,
        budget_new: Budget | None = None,
        taken: Bool[Tensor, "batch height width"] | None = None,
    ) -> LongRangeResult:
        """The mask with its energy; arguments and errors are those of `mm.select`."""
        requests = self._requests(scores, budget, budget_new, taken, None, None)
        states, stats = self._run(requests)
        mask = torch.zeros(scores.shape, dtype=torch.bool)
        for b, state in enumerate(states):
            mask[b] = torch.from_numpy((state == 1) | (state == 2))
        stats = stats.to(scores.device)
        return LongRangeResult(
            mask=mask.to(scores.device),
            log_energy=stats[:, 1],
            greedy_log_energy=stats[:, 0],
            swaps=stats[:, 2].to(torch.int64),
            passes=stats[:, 3].to(torch.int64),
            local_optimum=stats[:, 4] > 0,
        )

    def log_energy(
        self,
        scores: Float[Tensor, "batch height width"],
        mask: Bool[Tensor, "batch height width"],
    ) -> Float[Tensor, " batch"]:
        """Logarithm of E for any masks, pair by pair; scores on the mask must be finite.

        Raises:
            TypeError, ValueError: scores or masks that do not fit.
        """
        check_scores(scores)
        check_mask("mask", mask, scores.shape, scores.device)
        energies = torch.full((len(scores),), -torch.inf, dtype=torch.float64, device=scores.device)
        for b, (image, on) in enumerate(zip(scores.double(), mask, strict=True)):
            if on.sum() > 1:
                log_weight = -self.exponent / 4 * image[on]
                first, second = torch.triu_indices(
                    len(log_weight), len(log_weight), 1, device=scores.device
                )
                apart = torch.pdist(on.nonzero().double())
                terms = log_weight[first] + log_weight[second] - self.exponent * apart.log()
                energies[b] = terms.logsumexp(dim=0)
        return energies

    def _choose(self, requests: list[Request]) -> Iterable[Bool[np.ndarray, "height width"]]:
        return [state == 1 for state in self._run(requests)[0]]

    def _choose_one(self, request: Request) -> Bool[np.ndarray, "height width"]:
        return self._run([request])[0][0] == 1

    def _run(
        self, requests: list[Request]
    ) -> tuple[list[np.ndarray], Float[Tensor, "batch statistics"]]:
        """States of each image's pixels, and its statistics.

        States in: 0 free, 2 taken, 3 forbidden; out: 1 where a free one was chosen. Statistics: log
        E after insertion, log E, swaps, passes, and 1 if the mask is a local optimum.
        """
        if not requests:
            return [], torch.zeros(0, 5, dtype=torch.float64)
        weights, states, scale = [], [], []
        for request in requests:
            log_weight, offset = _log_weight(request, self.exponent)
            weights.append(_exp(log_weight))
            scale.append(offset)
            states.append(np.where(request.free, 0, np.where(request.taken, 2, 3)))
        state, stats = long_range(
            torch.stack(weights),
            torch.tensor([request.count for request in requests]),
            torch.from_numpy(np.stack(states).astype(np.uint8)),
            self.exponent,
            self.passes,
        )
        stats[:, :2] = stats[:, :2].log() + 2 * torch.tensor(scale, dtype=torch.float64)[:, None]
        return list(state.numpy()), stats


def _log_weight(request: Request, exponent: int) -> tuple[Float[Tensor, "height width"], float]:
    """Logarithms of the weights ``rho^(-s/4)`` less an offset, and the offset."""
    finite = np.isfinite(request.scores)
    scores = request.scores
    middle = np.median(scores[finite]) if finite.any() else 0.0
    scores = torch.from_numpy(np.where(finite, scores, middle))
    highest = scores.max().item()
    factor = exponent / 4
    log_weight = factor * (highest - scores) - LARGEST_LOG_WEIGHT
    return log_weight.clamp(-LARGEST_LOG_WEIGHT, LARGEST_LOG_WEIGHT), (
        LARGEST_LOG_WEIGHT - factor * highest
    )


def _exp(x: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    """e^x for |x| <= 300 from sums and products alone: the same bits on every machine.

    x = n log 2 + r with |r| < 0.35; thirteen terms of the series leave 1e-17 of e^r.
    """
    n = torch.round(x * 1.4426950408889634)
    # log 2 in two parts, the first with so few digits that its product with n is exact.
    r = (x - n * 0.6931471803691238) - n * 1.9082149292705877e-10
    result = torch.ones_like(r)
    for k in range(14, 0, -1):
        result = 1.0 + r * result / k
    power = (n.to(torch.int64) + 1023) << 52  # 2^n, as the bits of a float64
    return result * power.view(torch.float64)

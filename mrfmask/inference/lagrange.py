"""The best penalty per pixel on for a limit: a bound for every mask that keeps it, masks near."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.inference.budget import Limit, penalised
from mrfmask.inference.budget_path import budget_path
from mrfmask.inference.graph_cut import GraphCut
from mrfmask.inference.strips import strip_dual
from mrfmask.ising import IsingModel
from mrfmask.model import IsingGrid
from mrfmask.result import Certificate

# Cuts for one image at most; ten are usual, and every further one is a valid bound all the same.
MOST_CUTS = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class Dual:
    """What the best penalty of every image gives.

    Attributes:
        penalty: (batch,) energy per site on, or per unit of cost.
        lower_bound: (batch,) of the energy of every mask that keeps the limit.
        fewer: (batch, *sites), a mask that comes to at most the amount.
        more: a mask that comes to at least that, if any does. Both minimise the penalised energy
            where the bound came from cuts.
        certificate: proves the bound, where it came from cuts or roof duality.
    """

    penalty: Float[Tensor, " batch"]
    lower_bound: Float[Tensor, " batch"]
    fewer: Bool[Tensor, "batch ..."]
    more: Bool[Tensor, "batch ..."]
    certificate: PenaltyCertificate | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class PenaltyCertificate:
    """The flow that proves the bound of the penalised model, and so of all masks in its limit."""

    penalty: Float[Tensor, " batch"]
    limit: Limit
    cut: Certificate
    cut_mask: Bool[Tensor, "batch ..."]

    def proves(
        self,
        model: Any,
        mask: Bool[Tensor, "batch ..."],
        lower_bound: Float[Tensor, " batch"],
    ) -> bool:
        """True if the mask keeps the limit and the flow proves the bound."""
        if not self.limit.allows(mask).all():
            return False
        if self.limit.at_most and (self.penalty < 0).any():
            return False
        charged = penalised(model, self.penalty, self.limit)
        return self.cut.proves(charged, self.cut_mask, lower_bound)


def extreme_masks(
    model: IsingModel,
) -> tuple[Bool[Tensor, "batch ..."], Bool[Tensor, "batch ..."]]:
    """The masks with the fewest and the most pixels on that clamps allow."""
    on = model.clamped & (model.unary > 0)
    return on, on | ~model.clamped


def dual_by_cuts(model: IsingGrid, limit: Limit) -> Dual:
    r"""The exact maximum of the Lagrangian dual, for models that graph_cut takes.

    The dual ``min_x E(x) + penalty * (what x comes to - amount)`` is concave and piecewise linear
    in the penalty. Every mask is a line above it; where the lines of two masks cross, one that
    comes to less and one that comes to more than wanted, the next cut either finds a mask below
    both or proves the crossing the maximum. A cut that hits the amount proves its mask optimal.

    Args:
        model: couplings of one sign, see GraphCut.
        limit: a possible one, see budget_limit; with `at_most` one that the MAP exceeds, so that
            the best penalty is not negative.

    Reference:
        Dinkelbach, "On nonlinear fractional programming", 1967, for the iteration; Kolmogorov,
        Boykov and Rother, "Applications of parametric maxflow in computer vision", 2007.
    """
    fewer, more = extreme_masks(model)
    least, most = limit.spent(fewer), limit.spent(more)
    penalty = _steepest(model)
    # The extreme amounts have one mask each, which a large enough penalty makes the minimum.
    penalty = torch.where(limit.amount == most, -penalty, penalty)
    open_images = ((limit.amount != least) & (limit.amount != most)).nonzero().flatten()
    # Costs of many sizes leave 32-bit integers few digits for the cheapest pixels.
    cut = GraphCut(lossless=limit.cost is not None)
    for _ in range(MOST_CUTS):
        if not len(open_images):
            break
        images, wanted = model[open_images].to(torch.float64), limit[open_images]
        few, many = fewer[open_images], more[open_images]
        few_spent, many_spent = wanted.spent(few), wanted.spent(many)
        few_energy, many_energy = images.energy(few).detach(), images.energy(many).detach()
        crossing = (few_energy - many_energy) / (many_spent - few_spent)
        penalty[open_images] = crossing
        result = cut.find_map(penalised(images, crossing, wanted))
        spent = wanted.spent(result.mask)
        chord = few_energy + crossing * (few_spent - wanted.amount)
        fewer[open_images] = torch.where((spent <= wanted.amount)[:, None, None], result.mask, few)
        more[open_images] = torch.where((spent >= wanted.amount)[:, None, None], result.mask, many)
        # Below the chord by more than the cut may have rounded away.
        better = result.energy < chord - result.stats["rounding"] - 1e-12 * chord.abs()
        fewer[open_images[~better]] = few[~better]
        more[open_images[~better]] = many[~better]
        hit = spent == wanted.amount
        fewer[open_images[hit]] = more[open_images[hit]] = result.mask[hit]
        open_images = open_images[better & ~hit]
    return _proven(model, limit, penalty, fewer, more)


def dual_by_path(model: IsingGrid, limit: Limit) -> Dual:
    """The same for counts and associative models, from all penalties at once: quicker still."""
    path = budget_path(model)
    fewer, more = path.around(limit.amount)
    steepest = _steepest(model)
    penalty = torch.empty_like(steepest)
    for b, wanted in enumerate(limit.amount.tolist()):
        # Mask `last` is the best from the next penalty up to its own.
        last = int(torch.searchsorted(path.count[b], wanted))
        upper = path.penalty[b][last].clamp(max=steepest[b])
        hit = int(path.count[b][last]) == wanted
        below = path.penalty[b][last + 1] if last + 1 < len(path.penalty[b]) else -steepest[b]
        penalty[b] = (upper + below) / 2 if hit else upper
    return _proven(model, limit, penalty, fewer, more)


def _proven(
    model: IsingGrid,
    limit: Limit,
    penalty: Float[Tensor, " batch"],
    fewer: Bool[Tensor, "batch height width"],
    more: Bool[Tensor, "batch height width"],
) -> Dual:
    """The dual with its bound proven by one cut at the best penalty."""
    if limit.at_most:
        penalty = penalty.clamp(min=0.0)  # below 0 by rounding
    cut = GraphCut(lossless=True).find_map(penalised(model, penalty, limit))
    return Dual(
        penalty=penalty,
        lower_bound=cut.lower_bound,
        fewer=fewer,
        more=more,
        certificate=PenaltyCertificate(
            penalty=penalty, limit=limit, cut=cut.certificate, cut_mask=cut.mask
        ),
    )


def dual_by_strips(model: IsingGrid, limit: Limit) -> Dual:
    """A bound from strips at the penalty that makes it largest, for any signs, see `strip_dual`."""
    dual = strip_dual(model, limit)
    return Dual(
        penalty=dual.penalty,
        lower_bound=dual.lower_bound,
        fewer=dual.fewer,
        more=dual.more,
    )


def _steepest(model: IsingGrid) -> Float[Tensor, " batch"]:
    """More than any single pixel can change the energy by, (batch,) float64."""
    unary = torch.where(model.clamped, 0.0, model.unary.detach()).abs().to(torch.float64)
    strongest = unary.amax(dim=(1, 2))
    for pairwise in (model.right, model.down):
        if pairwise[0:1].numel():
            strongest = strongest + 2 * pairwise.detach().abs().to(torch.float64).amax(dim=(1, 2))
    return 4 * strongest + 1e-30

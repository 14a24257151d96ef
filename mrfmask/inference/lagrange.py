"""The best penalty per pixel on for a count: a bound for every mask that has it, and masks near."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.inference.bounds import forest_bound
from mrfmask.inference.budget import penalised
from mrfmask.inference.budget_path import budget_path
from mrfmask.inference.flow_certificate import FlowCertificate
from mrfmask.inference.graph_cut import GraphCut
from mrfmask.model import IsingGrid

# Cuts for one image at most; ten are usual, and every further one is a valid bound all the same.
MOST_CUTS = 100
GOLDEN_SECTIONS = 30


@dataclass(frozen=True, kw_only=True, eq=False)
class Dual:
    """What the best penalty of every image gives.

    Attributes:
        penalty: (batch,) energy per pixel on.
        lower_bound: (batch,) of the energy of every mask with the wanted count.
        fewer: (batch, height, width), a mask with at most the wanted count.
        more: a mask with at least the wanted count. Both minimise the penalised energy where the
            bound came from cuts.
        certificate: proves the bound, where it came from cuts.
    """

    penalty: Float[Tensor, " batch"]
    lower_bound: Float[Tensor, " batch"]
    fewer: Bool[Tensor, "batch height width"]
    more: Bool[Tensor, "batch height width"]
    certificate: PenaltyCertificate | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class PenaltyCertificate:
    """The flow that proves the bound of the penalised model, and so of all masks of its count."""

    penalty: Float[Tensor, " batch"]
    counts: Int[Tensor, " batch"]
    cut: FlowCertificate
    cut_mask: Bool[Tensor, "batch height width"]

    def proves(
        self,
        model: Any,
        mask: Bool[Tensor, "batch height width"],
        lower_bound: Float[Tensor, " batch"],
    ) -> bool:
        """True if the mask has the count and the flow proves the bound."""
        if not torch.equal(mask.sum(dim=(1, 2)), self.counts):
            return False
        charged = penalised(model, self.penalty, self.counts)
        return self.cut.proves(charged, self.cut_mask, lower_bound)

    def settled(
        self, model: IsingGrid, gap: Float[Tensor, " batch"]
    ) -> Bool[Tensor, "batch height width"]:
        """Pixels that no mask of the count within `gap` of the bound has otherwise than the cut."""
        charged = penalised(model, self.penalty, self.counts)
        return self.cut.reduced_costs(charged) > gap[:, None, None]


def extreme_masks(
    model: IsingGrid,
) -> tuple[Bool[Tensor, "batch height width"], Bool[Tensor, "batch height width"]]:
    """The masks with the fewest and the most pixels on that clamps allow."""
    on = model.clamped & (model.unary > 0)
    return on, on | ~model.clamped


def dual_by_cuts(model: IsingGrid, counts: Int[Tensor, " batch"]) -> Dual:
    r"""The exact maximum of the Lagrangian dual, for models that graph_cut takes.

    The dual ``min_x E(x) + penalty * (pixels on - count)`` is concave and piecewise linear in the
    penalty. Every mask is a line above it; where the lines of two masks cross, one with fewer and
    one with more pixels than wanted, the next cut either finds a mask below both or proves the
    crossing the maximum. A cut that hits the count proves its mask optimal.

    Args:
        model: couplings of one sign, see GraphCut.
        counts: (batch,) possible ones, see budget_counts.

    Reference:
        Dinkelbach, "On nonlinear fractional programming", 1967, for the iteration; Kolmogorov,
        Boykov and Rother, "Applications of parametric maxflow in computer vision", 2007.
    """
    fewer, more = extreme_masks(model)
    penalty = _steepest(model)
    # The extreme counts have one mask each, which a large enough penalty makes the minimum.
    penalty = torch.where(counts == more.sum(dim=(1, 2)), -penalty, penalty)
    at_end = (counts == fewer.sum(dim=(1, 2))) | (counts == more.sum(dim=(1, 2)))
    open_images = (~at_end).nonzero().flatten()
    for _ in range(MOST_CUTS):
        if not len(open_images):
            break
        images = model[open_images].to(torch.float64)
        few, many = fewer[open_images], more[open_images]
        few_count, many_count = few.sum(dim=(1, 2)), many.sum(dim=(1, 2))
        few_energy, many_energy = images.energy(few).detach(), images.energy(many).detach()
        crossing = (few_energy - many_energy) / (many_count - few_count)
        penalty[open_images] = crossing
        wanted = counts[open_images]
        result = GraphCut().find_map(penalised(images, crossing, wanted))
        count = result.mask.sum(dim=(1, 2))
        chord = few_energy + crossing * (few_count - wanted)
        fewer[open_images] = torch.where((count <= wanted)[:, None, None], result.mask, few)
        more[open_images] = torch.where((count >= wanted)[:, None, None], result.mask, many)
        # Below the chord by more than the cut may have rounded away.
        better = result.energy < chord - result.stats["rounding"] - 1e-12 * chord.abs()
        fewer[open_images[~better]] = few[~better]
        more[open_images[~better]] = many[~better]
        hit = count == wanted
        fewer[open_images[hit]] = more[open_images[hit]] = result.mask[hit]
        open_images = open_images[better & ~hit]
    return _proven(model, counts, penalty, fewer, more)


def dual_by_path(model: IsingGrid, counts: Int[Tensor, " batch"]) -> Dual:
    """The same for associative models, from all their penalties at once: quicker still."""
    path = budget_path(model)
    fewer, more = path.around(counts)
    steepest = _steepest(model)
    penalty = torch.empty_like(steepest)
    for b, wanted in enumerate(counts.tolist()):
        # Mask `last` is the best from the next penalty up to its own.
        last = int(torch.searchsorted(path.count[b], wanted))
        upper = path.penalty[b][last].clamp(max=steepest[b])
        hit = int(path.count[b][last]) == wanted
        below = path.penalty[b][last + 1] if last + 1 < len(path.penalty[b]) else -steepest[b]
        penalty[b] = (upper + below) / 2 if hit else upper
    return _proven(model, counts, penalty, fewer, more)


def _proven(
    model: IsingGrid,
    counts: Int[Tensor, " batch"],
    penalty: Float[Tensor, " batch"],
    fewer: Bool[Tensor, "batch height width"],
    more: Bool[Tensor, "batch height width"],
) -> Dual:
    """The dual with its bound proven by one cut at the best penalty."""
    cut = GraphCut(lossless=True).find_map(penalised(model, penalty, counts))
    return Dual(
        penalty=penalty,
        lower_bound=cut.lower_bound,
        fewer=fewer,
        more=more,
        certificate=PenaltyCertificate(
            penalty=penalty, counts=counts, cut=cut.certificate, cut_mask=cut.mask
        ),
    )


def dual_by_forests(model: IsingGrid, counts: Int[Tensor, " batch"]) -> Dual:
    """A bound from `forest_bound` at the penalty that makes it largest, for any signs.

    The bound is concave in the penalty too, so golden sections find its maximum. The two masks are
    the extreme ones.
    """
    steepest = _steepest(model)
    low, high = -steepest, steepest.clone()
    ratio = (5**0.5 - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = (forest_bound(penalised(model, p, counts)) for p in (left, right))
    for _ in range(GOLDEN_SECTIONS):
        rising = at_left < at_right
        low, high = torch.where(rising, left, low), torch.where(rising, high, right)
        new_left, new_right = high - ratio * (high - low), low + ratio * (high - low)
        new = forest_bound(penalised(model, torch.where(rising, new_right, new_left), counts))
        at_left, at_right = (
            torch.where(rising, at_right, new),
            torch.where(rising, new, at_left),
        )
        left, right = new_left, new_right
    fewer, more = extreme_masks(model)
    penalty = torch.where(at_left > at_right, left, right)
    return Dual(
        penalty=penalty,
        lower_bound=torch.maximum(at_left, at_right),
        fewer=fewer,
        more=more,
    )


def _steepest(model: IsingGrid) -> Float[Tensor, " batch"]:
    """More than any single pixel can change the energy by, (batch,) float64."""
    unary = torch.where(model.clamped, 0.0, model.unary.detach()).abs().to(torch.float64)
    strongest = unary.amax(dim=(1, 2))
    for pairwise in (model.right, model.down):
        if pairwise[0:1].numel():
            strongest = strongest + 2 * pairwise.detach().abs().to(torch.float64).amax(dim=(1, 2))
    return 4 * strongest + 1e-30

"""Faults of masks and of histories: collapse, lattices, sameness, divergence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from mrfmask.checks import check_mask
from mrfmask.inference.method import check_count

# Share of masks that are all off, or all on, from which on they have collapsed.
COLLAPSED = 0.5
# Periods in pixels that are looked for, if a side of the picture has PERIODS of them: fewer may
# agree with the rows of any even spread by chance.
LONGEST_PERIOD, PERIODS = 8, 8
# A mask of n picks is a lattice from LATTICE + FEW / n on. Even spreads stay below 0.28 with
# hundreds of picks and below 0.36 with 26, on full, random and scanned pixels; lattices reach 1.
LATTICE, FEW = 0.3, 6.0
# Pictures whose masks share so much more than chance have the same mask: two thirds of the picks.
SAME = 0.5
# Errors so much above the smallest are divergence at once, or after rising for some rounds.
FAR_ABOVE, ABOVE = 2.0, 1.1
LOOKED_AT = 256


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is wrong.

    Attributes:
        kind: "collapse", "lattice", "same" or "divergence".
        statistic: what was measured.
        threshold: the largest value of it that is well.
        text: says so, and what to do.
        stops: whether going on makes no sense.
    """

    kind: str
    statistic: float
    threshold: float
    text: str
    stops: bool = False


def mask_faults(
    masks: Bool[Tensor, "batch height width"], valid: Bool[Tensor, "batch height width"]
) -> list[Finding]:
    r"""Looks for masks that say nothing, follow the pixel grid, or do not look at the picture.

    *collapse*: the share of masks that are all off, or on on all valid pixels.

    *lattice*: upsampling layers print their stride on what they emit. For every period P up to 8
    pixels, picks are counted by their row, their column, and both, modulo P; e is what picks placed
    anywhere on the valid pixels of their own block of P x P would give, so that neither uneven
    densities nor missing pixels count. ``V^2 = sum_c (n_c - e_c)^2 / e_c / (n (C - 1))`` over the C
    classes is 0 for picks that do not see the grid and 1 where all fall on one class (Parseval: the
    power of the mask at the frequencies k / P). It is taken of all masks together, which finds what
    they share, and as the median of single masks, which finds lattices that move from one to the
    next; the larger counts.

    *same*: ``(J - J0) / (1 - J0)`` with J the overlap (intersection over union, on pixels valid in
    both) of two masks and J0 that of random masks with as many picks, averaged over all pairs; 0
    for masks that have nothing to do with each other and 1 for equal ones. Methods that do not look
    at the picture have it by design where all pixels are valid.

    Args:
        masks: of different pictures, valid pixels; the first 256 are looked at.
        valid: what could be picked.

    Returns:
        What was found, the worst first; empty if all is well.

    Raises:
        TypeError: a mask that is no bool tensor.
        ValueError: shapes that differ, or a pick that is not valid.

    Example:
        >>> import torch
        >>> from mrfmask.depth.health import mask_faults
        >>> masks = torch.zeros(4, 64, 64, dtype=torch.bool)
        >>> masks[:, ::4, ::4] = torch.rand(4, 16, 16) < 0.5
        >>> [finding.kind for finding in mask_faults(masks, torch.ones_like(masks))]
        ['lattice']

    Reference:
        Odena, Dumoulin and Olah, "Deconvolution and checkerboard artifacts", Distill 2016; Cramer,
        "Mathematical methods of statistics", 1946, for V.
    """
    shape = tuple(masks.shape) if isinstance(masks, Tensor) else ()
    check_mask("masks", masks, shape, getattr(masks, "device", None))
    check_mask("valid", valid, shape, masks.device)
    if len(shape) != 3 or 0 in shape:
        raise ValueError(
            f"masks must have shape (batch, height, width), none of them 0; got {shape}. For one "
            "pass it with [None]."
        )
    if (masks & ~valid).any():
        raise ValueError(
            f"masks must hold valid pixels alone; got {int((masks & ~valid).sum())} that are not. "
            "Use masks & valid."
        )
    on, can = (x[:LOOKED_AT].cpu().numpy() for x in (masks, valid))
    found = [_collapse(on, can), _lattice(on, can), _same(on, can)]
    return [finding for finding in found if finding is not None]


def history_faults(errors: Sequence[float], rounds: int = 3) -> list[Finding]:
    """Looks for divergence: an error that is not finite, far above the smallest, or rises on.

    Args:
        errors: validation errors in their order, positive where all is well.
        rounds: so many rises in a row, to more than 1.1 times the smallest error so far, are
            divergence; twice the smallest error is it at once.

    Raises:
        TypeError, ValueError: `rounds` is no int above 0.

    Example:
        >>> from mrfmask.depth.health import history_faults
        >>> history_faults([3.0, 2.0, 2.1, 1.9])
        []
        >>> history_faults([3.0, 2.0, float("nan")])[0].kind
        'divergence'
    """
    check_count("rounds", rounds, least=1)
    advice = "Use a lower learning rate, or more weight decay."
    smallest, rises = math.inf, 0
    for number, error in enumerate(errors):
        if not math.isfinite(error):
            text = f"The validation error of round {number} is {error}: diverged. {advice}"
            return [_divergence(float(error), math.inf, text)]
        rises = rises + 1 if number and error > errors[number - 1] else 0
        smallest = min(smallest, error)
        most = ABOVE if rises >= rounds else FAR_ABOVE
        if error > most * smallest:
            text = (
                f"The validation error of round {number} is {error:.4g}, above {most} times the "
                f"smallest, {smallest:.4g}, after {rises} rises in a row: diverged. {advice}"
            )
            return [_divergence(error / smallest, most, text)]
    return []


def _divergence(statistic: float, threshold: float, text: str) -> Finding:
    return Finding(
        kind="divergence", statistic=statistic, threshold=threshold, text=text, stops=True
    )


def _collapse(on: np.ndarray, valid: np.ndarray) -> Finding | None:
    some = valid.any((1, 2))
    if not some.any():
        return None
    on, valid = on[some], valid[some]
    off, full = (~on.any((1, 2))).mean(), (on == valid).all((1, 2)).mean()
    share, how = max((off, "all off"), (full, "on on all valid pixels"))
    if share < COLLAPSED:
        return None
    text = (
        f"{share:.0%} of the masks are {how}: collapsed. Use another weight of the budget, a lower "
        "learning rate, or a method with an exact budget."
    )
    return Finding(
        kind="collapse", statistic=float(share), threshold=COLLAPSED, text=text, stops=True
    )


def _lattice(on: np.ndarray, valid: np.ndarray) -> Finding | None:
    picks = float(on.sum()) / len(on)
    threshold = LATTICE + FEW / max(picks, 1)
    worst: tuple[Any, ...] = (0.0, 0, "")
    for period in range(2, min(LONGEST_PERIOD, min(on.shape[1:]) // PERIODS) + 1):
        for lines, axes in (("rows", (4,)), ("columns", (3,)), ("rows and columns", ())):
            together, single = _periodic(on, valid, period, axes)
            # Of periods that explain as much the longest: its divisors do so, too.
            worst = max(worst, (round(max(together, single), 9), period, lines))
    value, period, lines = worst
    if value <= threshold:
        return None
    text = (
        f"The picks prefer some of every {period} {lines} (V^2 = {value:.2f}; even spreads have "
        f"less than {threshold:.2f}): the network prints its strides. Replace transposed "
        "convolutions by interpolation or shuffled pixels, or choose by a repulsive model."
    )
    return Finding(kind="lattice", statistic=value, threshold=threshold, text=text)


def _periodic(
    on: np.ndarray, valid: np.ndarray, period: int, axes: tuple[int, ...]
) -> tuple[float, float]:
    """V^2 of all masks together, and the median of single ones; `axes` of blocks are summed."""
    counts, could = (_blocks(x, period).sum(axes).reshape(*_flat(x, period)) for x in (on, valid))
    picks = counts.sum(2, keepdims=True)
    expected = (picks * could / np.maximum(could.sum(2, keepdims=True), 1)).sum(1)
    counts = counts.sum(1)
    together = _cramer(counts.sum(0), expected.sum(0))
    return float(together), float(np.median(_cramer(counts, expected)))


def _blocks(pixels: np.ndarray, period: int) -> np.ndarray:
    """(batch, rows, columns, period, period) of blocks, with False beyond the edges."""
    height, width = pixels.shape[1:]
    padded = np.pad(pixels, ((0, 0), (0, -height % period), (0, -width % period)))
    batch, height, width = padded.shape
    blocks = padded.reshape(batch, height // period, period, width // period, period)
    return blocks.transpose(0, 1, 3, 2, 4).astype(np.float64)


def _flat(pixels: np.ndarray, period: int) -> tuple[int, int, int]:
    """Batch, blocks an image, classes a block."""
    rows, columns = (-(-side // period) for side in pixels.shape[1:])
    return len(pixels), rows * columns, -1


def _cramer(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Cramer's V^2 over the last axis; classes that cannot have picks are left out."""
    some = expected > 0
    off = np.where(some, (counts - expected) ** 2 / np.where(some, expected, 1), 0).sum(-1)
    return off / np.maximum(counts.sum(-1) * (some.sum(-1) - 1), 1)


def _same(on: np.ndarray, valid: np.ndarray) -> Finding | None:
    flat, could = (x.reshape(len(x), -1).astype(np.float32) for x in (on, valid))
    pairs = np.triu_indices(len(on), 1)
    both, common = (flat @ flat.T)[pairs], (could @ could.T)[pairs]
    seen = flat @ could.T  # picks of one that are valid in the other
    ours, theirs = seen[pairs], seen.T[pairs]
    chance = ours * theirs / np.maximum(common, 1)
    either, by_chance = ours + theirs - both, ours + theirs - chance
    # Where nothing is on, or everything, two masks cannot but agree.
    told = (either > 0) & (chance < by_chance)
    if not told.any():
        return None
    overlap, by_luck = both[told] / either[told], chance[told] / by_chance[told]
    value = float(((overlap - by_luck) / (1 - by_luck)).mean())
    if value <= SAME:
        return None
    text = (
        f"Masks of different pictures overlap by {value:.2f} beyond chance (1 is the same mask, "
        f"{SAME} is much): the method hardly looks at the picture. Compare it with the method "
        "prior, and train on more places."
    )
    return Finding(kind="same", statistic=value, threshold=SAME, text=text)

"""How many pixels a penalty buys: the budget path of the long-range model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from mrfmask.depth.frames import Frame
from mrfmask.depth.masking import IsingDensity
from mrfmask.select import LongRange


def budget_curve(
    masking: IsingDensity, frame: Frame, shares: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Penalties of a pixel and the numbers of pixels that are bought at them.

    With a penalty lambda for every pixel left out the model buys the k that minimise ``E(k) -
    lambda k``. E grows convexly, about as ``k^(1 + s/2)``: the penalty at which the budget is k is
    its slope there, here that of the line between two budgets, at their geometric mean.

    Args:
        masking: whose density is taken, for the middle of the shares.
        frame: shows the picture and the valid pixels.
        shares: budgets, rising, two at least; those that the frame cannot meet, or that buy fewer
            than two pixels, are left out.

    Returns:
        Penalties over the first of them, and numbers of pixels.
    """
    middle = math.sqrt(shares[0] * shares[-1])
    with torch.no_grad():
        scores = masking.net.eval().log_density(frame.picture[None], middle).float().cpu()
    scores = (masking.sharpness * scores).where(frame.valid, -torch.inf)
    most = int(frame.valid.sum())
    counts = sorted({round(share * frame.valid.numel()) for share in shares})
    counts = [count for count in counts if 2 <= count <= most]
    model = LongRange(exponent=masking.exponent)
    energies = [model.search(scores, budget=count).log_energy.item() for count in counts]
    penalty, count = [], []
    for low, high, first, last in zip(
        counts[:-1], counts[1:], energies[:-1], energies[1:], strict=True
    ):
        # Logarithms of differences: E spans dozens of powers of ten.
        penalty.append(last + math.log1p(-math.exp(first - last)) - math.log(high - low))
        count.append(math.sqrt(low * high))
    return [math.exp(value - penalty[0]) for value in penalty], count

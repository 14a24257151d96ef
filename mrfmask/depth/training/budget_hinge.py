"""The structured hinge among masks with one number of pixels on: that of the target."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.inference import find_map
from mrfmask.model import IsingGrid


def budget_hinge(model: IsingGrid, target: Bool[Tensor, "1 height width"]) -> Float[Tensor, ""]:
    r"""``max_y [L(y, target) - E(y)] + E(target)`` over masks with as many pixels on as the target.

    L counts the pixels where y and the target differ. As no other masks compete, nothing is learned
    about how many pixels to turn on, which the budget decides anyway.

    Args:
        model: of one image; clamps hold for y and target alike.
        target: honours the clamps.

    Returns:
        At least 0, in float64; 0 if and only if the target's energy is below that of every such y
        by at least L(y, target). Where inference proves no mask the worst, what it found counts:
        the value is then below the hinge by the gap at most.

    Reference:
        Tsochantaridis et al., "Large margin methods for structured and interdependent output
        variables", JMLR 2005.
    """
    parts = (model.unary, model.right, model.down, model.constant)
    exact = IsingGrid(*(part.detach().double() for part in parts), model.periodic)
    # L = const - sum_i (1/2) t_i y_i in states of -1 and 1; clamped pixels carry no unary.
    eager = replace(exact, unary=exact.unary - torch.where(target, 0.5, -0.5))
    worst = find_map(eager, budget=int(target.sum())).mask
    lost = (worst != target).sum().double()
    return (model.energy(target)[0].double() - model.energy(worst)[0] + lost).clamp(min=0)

"""Signs of networks that have given up, in their cells: alike everywhere, checkerboards.

Masks of a budget never are all or nothing, and picks in the middles of cells are a lattice of
pixels in any case; what `mrfmask.depth.health` sees in masks, this sees before they are made.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def cell_health(
    logits: Float[Tensor, "rows columns"],
    chosen: Bool[Tensor, "rows columns"],
    open_: Bool[Tensor, "rows columns"],
) -> dict[str, float]:
    """Three numbers of an image, over the open cells (or pixels).

    Args:
        logits: of each cell by itself, without the couplings.
        chosen: the mask.
        open_: cells that could be chosen, at least one.

    Returns:
        ``on``, the share of logits above 0: 0 or 1 is a mask of all or nothing, where the budget
        does not set the level; ``contrast``, their standard deviation: 0 is a network that does not
        look; ``lattice``, the share of the variance of the mask that the parities of row and column
        explain: 1 is a checkerboard or stripes, chance is about 3 over the number of cells.
    """
    logit, on = logits[open_].double(), chosen[open_].double()
    rows, columns = (torch.arange(side) % 2 for side in open_.shape)
    parity = (2 * rows[:, None] + columns)[open_]
    members = torch.bincount(parity, minlength=4)
    mean = torch.bincount(parity, on, minlength=4) / members.clamp(min=1)
    between = (members * (mean - on.mean()).square()).sum() / len(on)
    variance = on.var(correction=0)
    return {
        "on": (logit > 0).double().mean().item(),
        "contrast": logit.std(correction=0).item(),
        "lattice": (between / variance).item() if variance > 0 else 0.0,
    }

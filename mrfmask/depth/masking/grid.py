"""Masking by an Ising model of neighbouring cells or pixels, whose potentials a network emits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.depth import cells
from mrfmask.depth.masking.masking import Masking, View
from mrfmask.inference import find_map
from mrfmask.inference.method import check_positive
from mrfmask.model import IsingGrid
from mrfmask.nn import MaskNet


@dataclass(frozen=True, kw_only=True)
class GridMasking(Masking):
    """The best mask of the network's model with exactly as many picks as are bought.

    On cells, features are averaged over squares of pixels before the network's head sees them, as
    large as leaves two cells with a valid pixel for every pick; a chosen cell buys its valid pixel
    nearest to the middle. Depths bought so far add `weight` times their log-weight to the unaries.

    Args:
        net: from pictures to potentials.
        by_cells: one pick a cell of pixels, rather than potentials of single pixels.
        weight: of what bought depths ask for, positive.
    """

    net: MaskNet
    by_cells: bool = True
    weight: float = 1.0

    net_class: ClassVar = MaskNet

    def __post_init__(self) -> None:
        check_positive("weight", self.weight)

    def _choose(self, view: View, count: int) -> Bool[Tensor, "batch height width"]:
        masks = [self._choose_one(view, count, image) for image in range(len(view.valid))]
        return torch.stack(masks)

    @torch.no_grad()
    def _choose_one(self, view: View, count: int, image: int) -> Bool[Tensor, "height width"]:
        taken, free = view.taken[image], (view.valid & ~view.taken)[image]
        new = count - int(taken.sum())
        side = cells.cell_side(view.valid[image], count) if self.by_cells else 1
        # A finer grid where too many cells have been used up.
        while side > 1 and _open(free, taken, side).sum() < new:
            side -= 1
        open_ = _open(free, taken, side)
        model = cell_model(self.net.eval(), view.picture[image : image + 1], side)
        asked = cells.mean(view.log_weight[image][None, None], side)[:, 0]
        model = IsingGrid(
            view.trust * model.unary.cpu() + self.weight * asked,
            view.trust * model.right.cpu(),
            view.trust * model.down.cpu(),
        )
        on = cells.some(taken[None], side)
        model = model.clamp(on=on, off=~on & ~open_[None])
        chosen = find_map(model, budget_new=new).mask[0] & open_
        return taken | cells.picks(chosen, free, side)


def cell_model(
    net: MaskNet, picture: Float[Tensor, "batch 3 height width"], side: int
) -> IsingGrid:
    """The network's model on cells of side x side pixels."""
    return IsingGrid(*net.head.potentials(cells.mean(net.body(picture), side)))


def _open(
    free: Bool[Tensor, "height width"], taken: Bool[Tensor, "height width"], side: int
) -> Bool[Tensor, "rows columns"]:
    """Cells where something can be bought, and nothing has been."""
    return (cells.some(free[None], side) & ~cells.some(taken[None], side))[0]


def _learned(name: str, how: str) -> type[GridMasking]:
    made = type(
        "".join(part.capitalize() for part in name.split("_")),
        (GridMasking,),
        {"__doc__": f"Grid masking trained by {how}.", "__module__": __name__, "name": name},
    )
    return dataclass(frozen=True, kw_only=True)(made)


# They differ in their training alone; see `mrfmask.depth.training`.
GRIDS: tuple[type[GridMasking], ...] = tuple(
    _learned(name, how)
    for name, how in {
        "naive": "soft masks and a penalty on their sum",
        "gumbel": "relaxed draws of independent pixels",
        "reinforce": "the reward of drawn masks of independent pixels",
        "ising_mean_field": "mean-field probabilities",
        "ising_score": "the reward of drawn masks",
        "ising_tv": "soft masks of the exact entry map",
        "ising_ssvm": "a structured SVM on pseudo-ground-truth masks",
    }.items()
)
# Where pickle looks for them.
globals().update({masking.__name__: masking for masking in GRIDS})

"""Masking by an Ising model of neighbouring cells or pixels, whose potentials a network emits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.depth import cells
from mrfmask.depth.density_net import places
from mrfmask.depth.masking.masking import Masking, View
from mrfmask.inference import find_map
from mrfmask.inference.method import check_count, check_positive
from mrfmask.model import IsingGrid
from mrfmask.nn import MaskNet
from mrfmask.select import SELECTORS


@dataclass(frozen=True, kw_only=True)
class GridMasking(Masking):
    """The best mask of the network's model with exactly as many picks as are bought.

    On cells, features are averaged over squares of pixels before the network's head sees them, as
    large as leaves some cells with a valid pixel for every pick; a chosen cell buys its valid pixel
    nearest to the middle. Depths bought so far add `weight` times their log-weight to the unaries.

    Couplings of neighbouring cells cannot keep large holes from opening. With `spread`, part of the
    budget is laid out evenly before the model is asked about the rest.

    Args:
        net: from pictures to potentials; with 5 input channels it sees the place of every pixel,
            too.
        by_cells: one pick a cell of pixels, rather than potentials of single pixels.
        weight: of what bought depths ask for, positive.
        spread: share of the budget laid out evenly where nothing was bought before, in [0, 1).
        cells_per_pick: cells with a valid pixel for every pick, at least 1.
    """

    net: MaskNet
    by_cells: bool = True
    weight: float = 1.0
    spread: float = 0.0
    cells_per_pick: int = cells.CELLS_PER_PICK

    net_class: ClassVar = MaskNet

    def __post_init__(self) -> None:
        check_positive("weight", self.weight)
        check_count("cells_per_pick", self.cells_per_pick, least=1)
        if not 0 <= self.spread < 1:
            raise ValueError(f"spread must lie in [0, 1); got {self.spread}. 0.4 is usual.")

    def _choose(self, view: View, count: int) -> Bool[Tensor, "batch height width"]:
        features = features_of(self.net.eval(), view.picture)
        masks = [self._choose_one(view, features, count, image) for image in range(len(view.valid))]
        return torch.stack(masks)

    @torch.no_grad()
    def _choose_one(
        self, view: View, features: Tensor, count: int, image: int
    ) -> Bool[Tensor, "height width"]:
        valid, taken = view.valid[image], view.taken[image]
        if not taken.any():
            taken = evenly(valid, round(self.spread * count))
        free = valid & ~taken
        new = count - int(taken.sum())
        side = cells.cell_side(valid, count, self.cells_per_pick) if self.by_cells else 1
        # A finer grid where too many cells have been used up.
        while side > 1 and open_cells(free, taken, side).sum() < new:
            side -= 1
        choice = open_cells(free, taken, side)
        model = cell_model(self.net, features[image : image + 1], side).to("cpu")
        asked = cells.mean_of(view.log_weight[image], valid, side)[None]
        model = IsingGrid(
            view.trust * model.unary + self.weight * asked,
            view.trust * model.right,
            view.trust * model.down,
        )
        chosen = find_map(clamped(model, choice, taken, side), budget_new=new).mask[0] & choice
        return taken | cells.picks(chosen, free, side)


@torch.no_grad()
def evenly(valid: Bool[Tensor, "height width"], count: int) -> Bool[Tensor, "height width"]:
    """So many pixels, spread evenly."""
    if count == 0:
        return torch.zeros_like(valid)
    scores = torch.zeros(valid.shape).where(valid, -torch.inf)
    return SELECTORS["k_center"]()(scores[None], budget=count)[0]


def features_of(
    net: MaskNet, picture: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, "batch features height width"]:
    """The network's features of all pixels, before they are averaged over cells."""
    if net.in_channels > picture.shape[1]:
        picture = torch.cat([picture, places(picture)], dim=1)
    return net.body(picture)


def cell_model(
    net: MaskNet, features: Float[Tensor, "batch features height width"], side: int
) -> IsingGrid:
    """The network's model on cells of side x side pixels."""
    return IsingGrid(*net.head.potentials(cells.mean(features, side)))


def open_cells(
    free: Bool[Tensor, "height width"], taken: Bool[Tensor, "height width"], side: int
) -> Bool[Tensor, "rows columns"]:
    """Cells where something can be bought, and nothing has been."""
    return (cells.some(free[None], side) & ~cells.some(taken[None], side))[0]


def clamped(
    model: IsingGrid,
    choice: Bool[Tensor, "rows columns"],
    taken: Bool[Tensor, "height width"],
    side: int,
) -> IsingGrid:
    """The model of one image with cells on where something was bought, and off outside `choice`."""
    on = cells.some(taken[None], side)
    return model.clamp(on=on, off=~on & ~choice[None])


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

"""Masking by the selectors of `mrfmask.select`: no training, no look at the picture but for one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask.depth.masking.masking import Masking, View
from mrfmask.select import SELECTORS, select


@dataclass(frozen=True, kw_only=True)
class Selected(Masking):
    """Base of the methods that ask a selector, with scores of 0 or what bought depths ask for."""

    def _choose(self, view: View, count: int) -> Bool[Tensor, "batch height width"]:
        scores = view.log_weight.where(view.valid, -torch.inf)
        options = {}
        if "seed" in SELECTORS[self.name].uses:
            options["seed"] = view.seeds
        if self.name == "superpixel":
            options["features"] = view.picture
        return select(scores, self.name, budget=count, taken=view.taken, **options)


def _selected(selector: str) -> type[Selected]:
    """The masking method of a selector."""
    made = type(
        "".join(part.capitalize() for part in selector.split("_")),
        (Selected,),
        {
            "__doc__": f"Masking by the selector {selector}, see mm.SELECTORS.",
            "__module__": __name__,
            "name": selector,
        },
    )
    return dataclass(frozen=True, kw_only=True)(made)


# Those that choose by scores alone have nothing to go by before anything is bought.
SELECTED: tuple[type[Selected], ...] = tuple(
    _selected(name) for name in SELECTORS if name not in ("top_k", "ising")
)
# Where pickle looks for them.
globals().update({masking.__name__: masking for masking in SELECTED})

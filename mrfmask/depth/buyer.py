"""Who buys: a masking method and the phases in which it spends a budget."""

from __future__ import annotations

from dataclasses import dataclass, field

from jaxtyping import Bool
from torch import Tensor

from mrfmask.depth.frames import FrameBatch
from mrfmask.depth.masking import MASKINGS, Masking
from mrfmask.depth.phases import Phases, buy

# Training-free methods whose masks differ as much as masks will: by chance, evenly, on a lattice.
# Those of a learned density lie between even ones and those bought in phases. Superpixels
# are as even, and would take as long as all of these together.
BASE = ("random", "k_center", "grid", "weighted_farthest", "long_range")
BASE_PHASES = Phases(count=4)


@dataclass(frozen=True)
class Buyer:
    """A masking method with its phases.

    Attributes:
        masking: says what to buy.
        phases: how a budget is spent.
    """

    masking: Masking
    phases: Phases = field(default_factory=Phases)

    def __call__(
        self, frames: FrameBatch, count: int, seed: int = 0
    ) -> Bool[Tensor, "batch height width"]:
        """The masks of frames; arguments and errors as those of `buy`."""
        return buy(self.masking, frames, count, self.phases, seed)


def base_buyers() -> tuple[Buyer, ...]:
    """Buyers that need no training, so mixed that a predictor trained on them fits most masks."""
    return (
        *(Buyer(MASKINGS[name]()) for name in BASE),
        Buyer(MASKINGS["long_range"](), BASE_PHASES),
    )

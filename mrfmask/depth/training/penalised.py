"""Joint training of soft masks without a budget: every bit of a measurement has its price."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from mrfmask.depth.training.cell_groups import CellGroup
from mrfmask.depth.training.joint import JointTraining
from mrfmask.depth.training.relative_error import RelativeError
from mrfmask.inference.method import check_count, check_positive
from mrfmask.model import IsingGrid
from mrfmask.nn import MaskLayer


@dataclass(frozen=True, kw_only=True)
class PenalisedTraining(JointTraining):
    """Probabilities of independent cells as weights, ``error + penalty (sum / count)^power``.

    What is trained differs from what is bought: soft weights measure a little of everything.

    Attributes:
        penalty: price of as many measurements as the budget has, positive, in units of the error of
            a spread mask.
        power: 1 (L1, the same price for each) or 2 (L2, a price that rises).
    """

    name: str = "naive"
    penalty: float = 0.3
    power: int = 1

    def __post_init__(self) -> None:
        check_positive("penalty", self.penalty)
        check_count("power", self.power, least=1, most=2)

    def layer(self, seed: int) -> MaskLayer:
        """See `JointTraining`."""
        return MaskLayer("mean_field", seed=seed)

    def loss(
        self, layer: MaskLayer, model: IsingGrid, group: CellGroup, error: RelativeError, count: int
    ) -> Float[Tensor, ""]:
        """The error of the soft masks, and their price."""
        soft = layer(model)
        used = soft.sum(dim=(1, 2)) / count
        price = self.penalty * used**self.power
        return (error(group.images, group.weights(soft)) + price).mean()

"""Joint training whose gradients pass through the mask itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

from mrfmask.depth.training.cell_groups import CellGroup
from mrfmask.depth.training.joint import JointTraining
from mrfmask.depth.training.relative_error import RelativeError
from mrfmask.model import IsingGrid
from mrfmask.nn import MaskLayer


@dataclass(frozen=True, kw_only=True)
class RelaxedTraining(JointTraining):
    """Masks with exactly the budget forward, the gradient of soft ones backward (straight-through).

    Soft masks forward would measure a little of everything: their fills are better than those of
    any mask that can be bought.

    Attributes:
        estimator: a name in ESTIMATORS with the option ``hard``.
        options: further ones of the estimator.
    """

    estimator: str
    options: dict[str, Any] = field(default_factory=dict)

    def layer(self, seed: int) -> MaskLayer:
        """See `JointTraining`."""
        return MaskLayer(self.estimator, seed=seed, hard=True, **self.options)

    def loss(
        self, layer: MaskLayer, model: IsingGrid, group: CellGroup, error: RelativeError, count: int
    ) -> Float[Tensor, ""]:
        """The error of the masks."""
        layer.budget = count
        return error(group.images, group.weights(layer(model))).mean()

"""Joint training whose gradients pass through the mask itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mrfmask.depth.training.cell_groups import CellGroup
from mrfmask.depth.training.joint import JointTraining
from mrfmask.depth.training.relative_error import RelativeError
from mrfmask.model import IsingGrid
from mrfmask.nn import MaskLayer

# Uniform numbers are cut at the ends, so that no noise is infinite.
LEAST = 1e-6


@dataclass(frozen=True, kw_only=True)
class RelaxedTraining(JointTraining):
    """Masks with exactly the budget forward, the gradient of soft ones backward (straight-through).

    Soft masks forward would measure a little of everything: their fills are better than those of
    any mask that can be bought.

    Without noise a model whose couplings outweigh its unaries, as before training, has the same
    mask whatever the picture, a checkerboard or a block, and learns nothing from it.

    Attributes:
        estimator: a name in ESTIMATORS with the option ``hard``.
        options: further ones of the estimator.
        noise: factor of the logistic noise that is added to the logits, ``2 unary``, before the
            mask is made; 0 for estimators that draw noise themselves.
        hard: masks of 0 and 1 forward; False for soft ones.
    """

    estimator: str
    options: dict[str, Any] = field(default_factory=dict)
    noise: float = 0.0
    hard: bool = True

    def layer(self, seed: int) -> MaskLayer:
        """See `JointTraining`."""
        return MaskLayer(self.estimator, seed=seed, hard=self.hard, **self.options)

    def loss(
        self, layer: MaskLayer, model: IsingGrid, group: CellGroup, error: RelativeError, count: int
    ) -> Float[Tensor, ""]:
        """The error of the masks."""
        layer.budget = count
        noise = torch.logit(torch.rand_like(model.unary), eps=LEAST)
        model = IsingGrid(model.unary + self.noise * noise / 2, model.right, model.down)
        return error(group.images, group.weights(layer(model))).mean()

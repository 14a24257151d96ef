"""Joint training by reward: masks are drawn, and those with smaller errors made likelier."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from mrfmask.depth.training.cell_groups import CellGroup
from mrfmask.depth.training.joint import JointTraining
from mrfmask.depth.training.relative_error import RelativeError
from mrfmask.model import IsingGrid
from mrfmask.nn import MaskLayer


@dataclass(frozen=True, kw_only=True)
class RewardedTraining(JointTraining):
    """The score function with the mean error of an image's other masks as baseline.

    An error is of a whole mask; a pixel gets no credit of its own, which would be a biased one:
    what a pick is worth hangs on all others. Unbiased as far as the draws have mixed.

    Attributes:
        samples: masks an image, >= 2.
        sweeps: of the sampler before each.
    """

    samples: int = 8
    sweeps: int = 20

    def layer(self, seed: int) -> MaskLayer:
        """See `JointTraining`."""
        return MaskLayer("score_function", seed=seed, samples=self.samples, sweeps=self.sweeps)

    def loss(
        self, layer: MaskLayer, model: IsingGrid, group: CellGroup, error: RelativeError, count: int
    ) -> Float[Tensor, ""]:
        """The mean error of the masks drawn, with the gradient of the expected one."""
        layer.budget = count
        masks = layer(model)
        return layer.surrogate(model, masks, error(group.images, group.weights(masks)))

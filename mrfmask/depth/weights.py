"""What later phases of buying go by: expected squared errors, from the depths bought so far."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.depth.error_head import ErrorHead
from mrfmask.depth.neighbour_variance import neighbour_variance
from mrfmask.depth.phases import Weight
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.reconstruct import fill


@dataclass(frozen=True)
class NeighbourVariance:
    """The variance of the nearest measured depths, see `neighbour_variance`; needs no training."""

    def __call__(
        self,
        bought: Float[Tensor, "batch height width"],
        mask: Bool[Tensor, "batch height width"],
        valid: Bool[Tensor, "batch height width"],
    ) -> Float[Tensor, "batch height width"]:
        """See `Weight`."""
        return neighbour_variance(bought, mask, valid)


@dataclass(frozen=True)
class EnsembleVariance:
    """The variance of several predictors' depths: large where they were free to differ.

    Attributes:
        predictors: two at least, none of which looks at a picture.

    Raises:
        ValueError: the predictors are not such.

    Reference:
        Lakshminarayanan, Pritzel and Blundell, "Simple and scalable predictive uncertainty
        estimation using deep ensembles", NeurIPS 2017.
    """

    predictors: tuple[Predictor, ...]

    def __post_init__(self) -> None:
        if len(self.predictors) < 2:
            raise ValueError(
                f"predictors must be at least 2; got {len(self.predictors)}. One differs from "
                "nothing."
            )
        if any(predictor.picture for predictor in self.predictors):
            raise ValueError(
                "predictors must be made with picture=False; got one that looks at a picture. "
                "Phases go by bought depths alone."
            )

    @torch.no_grad()
    def __call__(
        self,
        bought: Float[Tensor, "batch height width"],
        mask: Bool[Tensor, "batch height width"],
        valid: Bool[Tensor, "batch height width"],
    ) -> Float[Tensor, "batch height width"]:
        """See `Weight`."""
        fills = fill(bought, mask)
        predicted = [net.eval()(bought, mask, fills=fills) for net in self.predictors]
        return torch.stack(predicted).var(dim=0, correction=0)


@dataclass(frozen=True)
class ExpectedError:
    """What an `ErrorHead` expects.

    Attributes:
        head: the network.
    """

    head: ErrorHead

    @torch.no_grad()
    def __call__(
        self,
        bought: Float[Tensor, "batch height width"],
        mask: Bool[Tensor, "batch height width"],
        valid: Bool[Tensor, "batch height width"],
    ) -> Float[Tensor, "batch height width"]:
        """See `Weight`."""
        return self.head.eval()(bought, mask, valid)


# The one registry, by the names that saved models have. The classes hold the networks they need.
WEIGHTS: dict[str, type[Weight]] = {
    "variance": NeighbourVariance,
    "ensemble": EnsembleVariance,
    "head": ExpectedError,
}

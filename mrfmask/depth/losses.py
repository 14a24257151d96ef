"""Losses of predicted depth, over pixels whose depth is known; LOSSES lists them by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.depth.checks import check_depth, check_known, check_prediction
from mrfmask.inference.method import check_positive

# Of the mean depth: errors of the linear fill below this share hardly count as a yardstick, so
# that an image which interpolation gets right does not outweigh all others.
FLOOR = 0.003


class DepthLoss(ABC):
    """Base of the losses; each is a frozen, keyword-only dataclass of options.

    Called with predictions it gives the mean over the images of a batch. Pixels that are not valid
    count nothing: whatever prediction and depth hold there, NaN included, reaches neither the
    value nor the gradient.

    Attributes:
        name: its key in LOSSES.
    """

    name: ClassVar[str]

    def __call__(
        self,
        predicted: Float[Tensor, "batch height width"],
        depth: Float[Tensor, "batch height width"],
        valid: Bool[Tensor, "batch height width"],
        linear: Float[Tensor, "batch height width"],
    ) -> Float[Tensor, ""]:
        """The mean loss of the images; arguments and errors are those of `per_image`."""
        return self.per_image(predicted, depth, valid, linear).mean()

    def per_image(
        self,
        predicted: Float[Tensor, "batch height width"],
        depth: Float[Tensor, "batch height width"],
        valid: Bool[Tensor, "batch height width"],
        linear: Float[Tensor, "batch height width"],
    ) -> Float[Tensor, " batch"]:
        """The loss of every image.

        Args:
            predicted: depths, positive where valid; gradients go here.
            depth: true depths in the same unit, positive where valid.
            valid: where the true depth is known, at least one pixel an image.
            linear: the linear fill that the prediction started from, positive where valid: the
                yardstick of `Relative`; the other losses do not depend on it.

        Raises:
            TypeError: an argument of another kind.
            ValueError: shapes or devices differ, an image has no valid pixel, or a depth on a
                valid pixel is not positive and finite.
        """
        check_depth("depth", depth)
        check_known("depth", depth, "valid", valid)
        maps = []
        for name, value in (("predicted", predicted), ("linear", linear)):
            check_prediction(name, value, depth, valid)
            # Before any arithmetic: a gradient of 0 times one that is NaN would be NaN.
            maps.append(torch.where(valid, value, 1.0))
        return self._value(maps[0], torch.where(valid, depth, 1.0), Mean(valid), maps[1])

    @abstractmethod
    def _value(self, predicted: Tensor, depth: Tensor, mean: Mean, linear: Tensor) -> Tensor:
        """The loss of every image; all maps are 1 where not valid."""


class Mean:
    """The mean over the valid pixels of every image."""

    def __init__(self, valid: Bool[Tensor, "batch height width"]) -> None:
        self.valid, self.count = valid, valid.sum(dim=(1, 2))

    def __call__(self, values: Float[Tensor, "batch height width"]) -> Float[Tensor, " batch"]:
        """One mean an image; what `values` holds elsewhere does not matter."""
        return torch.where(self.valid, values, 0.0).sum(dim=(1, 2)) / self.count


@dataclass(frozen=True, kw_only=True)
class Rmse(DepthLoss):
    """Root of the mean squared error, in the unit of the depths."""

    name: ClassVar = "rmse"

    def _value(self, predicted: Tensor, depth: Tensor, mean: Mean, linear: Tensor) -> Tensor:
        return _root(mean((predicted - depth).square()))


@dataclass(frozen=True, kw_only=True)
class Mae(DepthLoss):
    """Mean absolute error, in the unit of the depths."""

    name: ClassVar = "mae"

    def _value(self, predicted: Tensor, depth: Tensor, mean: Mean, linear: Tensor) -> Tensor:
        return mean((predicted - depth).abs())


@dataclass(frozen=True, kw_only=True)
class LogRmse(DepthLoss):
    """Root of the mean squared error of the logarithms."""

    name: ClassVar = "log_rmse"

    def _value(self, predicted: Tensor, depth: Tensor, mean: Mean, linear: Tensor) -> Tensor:
        return _root(mean((predicted.log() - depth.log()).square()))


@dataclass(frozen=True, kw_only=True)
class ScaleInvariant(DepthLoss):
    r"""Mean squared error of the logarithms, less a share of their squared mean error.

    ``mean(g^2) - balance mean(g)^2`` with ``g = log(predicted) - log(depth)``: a common factor of
    all depths of an image costs only ``1 - balance`` of what it would.

    Args:
        balance: within (0, 1]; at 1 a common factor costs nothing.

    Reference:
        Eigen, Puhrsch and Fergus, "Depth map prediction from a single image using a multi-scale
        deep network", NeurIPS 2014, equation 4.
    """

    balance: float = 0.5

    name: ClassVar = "scale_invariant"

    def __post_init__(self) -> None:
        check_positive("balance", self.balance)
        if self.balance > 1:
            raise ValueError(f"balance must be at most 1; got {self.balance}. Use 0.5 if in doubt.")

    def _value(self, predicted: Tensor, depth: Tensor, mean: Mean, linear: Tensor) -> Tensor:
        gap = predicted.log() - depth.log()
        return mean(gap.square()) - self.balance * mean(gap).square()


@dataclass(frozen=True, kw_only=True)
class Relative(DepthLoss):
    r"""Errors as a share of those of the linear fill, so that easy and hard images count alike.

    ``RMSE / RMSE_linear + mae MAE / MAE_linear + penalty mean(log(predicted / linear)^2)``; all
    four errors are raised by 0.3 % of the image's mean depth, the squared ones by its square. The
    linear fill itself has the loss ``1 + mae``.

    Args:
        mae: weight of the ratio of mean absolute errors, positive.
        penalty: weight of the squared correction, positive.
    """

    mae: float = 0.3
    penalty: float = 0.2

    name: ClassVar = "relative"

    def __post_init__(self) -> None:
        check_positive("mae", self.mae)
        check_positive("penalty", self.penalty)

    def _value(self, predicted: Tensor, depth: Tensor, mean: Mean, linear: Tensor) -> Tensor:
        ours, theirs = predicted - depth, linear - depth
        floor = FLOOR * mean(depth)
        squared = [mean(e.square()) + floor.square() for e in (ours, theirs)]
        absolute = [mean(e.abs()) + floor for e in (ours, theirs)]
        correction = mean((predicted.log() - linear.log()).square())
        return (
            (squared[0] / squared[1]).sqrt()
            + self.mae * absolute[0] / absolute[1]
            + self.penalty * correction
        )


# The one registry of losses: training and tests read it.
LOSSES: dict[str, type[DepthLoss]] = {
    loss.name: loss for loss in (Rmse, Mae, LogRmse, ScaleInvariant, Relative)
}


def _root(squared: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Square root whose gradient at 0 is 0, not infinite: there is nothing left to improve."""
    some = squared > 0
    return torch.where(some, torch.where(some, squared, 1.0).sqrt(), 0.0)

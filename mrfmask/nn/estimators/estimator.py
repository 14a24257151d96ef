"""What every estimator is: a frozen record of options that makes masks with gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mrfmask.model import IsingGrid
from mrfmask.ops import exact_uniforms


@dataclass(frozen=True, kw_only=True, eq=False)
class Draw:
    """What a layer gives an estimator for one forward pass.

    Attributes:
        beta: inverse temperature of p(x).
        counts: (batch,) int64, pixels that must be on, clamped ones included; None for any number.
        key: of the random numbers of this pass, in 0..2^63-1.
        temperature: of the relaxation, positive; None if the estimator has none.
    """

    beta: float
    counts: Int[Tensor, " batch"] | None
    key: int
    temperature: float | None

    def logistic_noise(self, model: IsingGrid) -> Float[Tensor, "batch height width"]:
        """Standard logistic noise for every pixel, differences of two Gumbel variables, float64."""
        batch, height, width = model.shape
        uniform = exact_uniforms(torch.tensor([self.key, 0]), batch, height * width)
        # Multiples of 2^-53 from 0 on; the ends are cut, so that no logit is infinite.
        noise = torch.logit(uniform, eps=2.0**-53)
        return noise.reshape(model.shape).to(model.device)


class Estimator:
    """Base of the estimators; each is a frozen, keyword-only dataclass in a file of its own.

    Attributes:
        name: its key in ESTIMATORS.
        random: whether masks are drawn, anew in every forward pass.
        bias: of what its expected gradient misses the gradient of the expected loss; "" if nothing.
        associative: whether it takes models without negative couplings only.
        temperature: of its relaxation, until that of the layer is set; None if it has none.
    """

    name: ClassVar[str]
    random: ClassVar[bool]
    bias: ClassVar[str]
    associative: ClassVar[bool] = False
    temperature: ClassVar[float | None] = None

    def masks(self, model: IsingGrid, draw: Draw) -> Float[Tensor, "*masks height width"]:
        """Masks in the model's dtype for training: (batch, height, width), or several an image."""
        raise NotImplementedError


def check_bool(name: str, value: object) -> None:
    """Raises unless an option is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool; got {type(value).__name__}. Use True or False.")

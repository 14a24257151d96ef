"""Masks of mean-field probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from mrfmask.inference.method import check_count, check_positive
from mrfmask.model import IsingGrid
from mrfmask.nn.estimators.estimator import Draw, Estimator, check_bool
from mrfmask.nn.estimators.soft_masks import soft_masks
from mrfmask.nn.mean_field import mean_field_logits


@dataclass(frozen=True, kw_only=True, eq=False)
class MeanFieldEstimator(Estimator):
    """Probabilities at the mean-field fixed point; their exact derivative (`mean_field_logits`).

    With a budget, one number is taken from the logits of all free pixels so that the probabilities
    sum to it: of all independent pixels with that sum, the nearest to the mean field in relative
    entropy.

    Args:
        max_sweeps: most sweeps, and most steps of the linear solver of the backward pass.
        tolerance: largest change of a mean in the last sweep, and relative residual of the solver.
        hard: straight-through: forward the pixels above 1/2 (with a budget, the most probable ones)
            as 0 and 1, backward the gradient of the probabilities.
    """

    max_sweeps: int = 1000
    tolerance: float = 1e-6
    hard: bool = False

    name: ClassVar = "mean_field"
    random: ClassVar = False
    bias: ClassVar = "to the mean-field family"

    def __post_init__(self) -> None:
        check_count("max_sweeps", self.max_sweeps, least=1)
        check_positive("tolerance", self.tolerance)
        check_bool("hard", self.hard)

    def masks(self, model: IsingGrid, draw: Draw) -> Float[Tensor, "batch height width"]:
        """The probabilities, or their hard stand-ins."""
        logits = mean_field_logits(
            model, beta=draw.beta, max_sweeps=self.max_sweeps, tolerance=self.tolerance
        )
        return soft_masks(logits, draw.counts, 1.0, self.hard)

"""Independent masks from p(x), or from p(x) given the number of pixels on."""

from __future__ import annotations

from jaxtyping import Bool
from torch import Tensor

from mrfmask.inference import sample
from mrfmask.model import IsingGrid
from mrfmask.nn.estimators.estimator import Draw


def sampled_masks(
    model: IsingGrid, draw: Draw, samples: int, sweeps: int
) -> Bool[Tensor, "batch samples height width"]:
    """The state of each of `samples` chains after `sweeps` sweeps from a random start.

    Gibbs sampling; with a budget exchanges of two pixels, which keep their number.
    """
    options = {} if draw.counts is None else {"budget": draw.counts}
    drawn = sample(
        model,
        sweeps=1,
        burn_in=sweeps - 1,
        chains=samples,
        seed=draw.key,
        beta=draw.beta,
        **options,
    )
    return drawn.masks

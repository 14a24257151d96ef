"""What later phases go by, in folders: the networks of each kind of weight, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mrfmask.depth.error_head import ErrorHead
from mrfmask.depth.neighbour_variance import neighbour_variance
from mrfmask.depth.phases import Weight
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.weights import WEIGHTS, EnsembleVariance, ExpectedError, NeighbourVariance
from mrfmask.nn.hub import Pretrained

# The class of the networks that a weight holds, by its name in WEIGHTS; None if it has none.
NETS: dict[str, type[Pretrained] | None] = {
    "variance": None,
    "ensemble": Predictor,
    "head": ErrorHead,
}


def taken_apart(weight: Weight) -> tuple[str, list[Pretrained]]:
    """The name of a weight in WEIGHTS and its networks.

    Raises:
        ValueError: it is none of WEIGHTS.
    """
    if weight is neighbour_variance or isinstance(weight, NeighbourVariance):
        return "variance", []
    if isinstance(weight, EnsembleVariance):
        return "ensemble", list(weight.predictors)
    if isinstance(weight, ExpectedError):
        return "head", [weight.head]
    raise ValueError(
        f"phases must weigh by one of {', '.join(WEIGHTS)}; got {weight!r}. Others cannot be saved "
        "by a name."
    )


def put_together(name: str, folders: Mapping[str, Path]) -> Weight:
    """The weight of that name in WEIGHTS, its networks read from folders.

    Raises:
        FileNotFoundError, ValueError: a folder is missing or broken, or there are too few or many.
    """
    kind = NETS[name]
    nets = [] if kind is None else [kind.from_pretrained(folder) for folder in folders.values()]
    if name == "ensemble":
        return EnsembleVariance(tuple(nets))
    if len(folders) != (kind is not None):
        raise ValueError(
            f"weight must have {int(kind is not None)} networks for {name}; got {len(folders)}. "
            "Use the mrfmask that wrote it."
        )
    return ExpectedError(*nets) if nets else neighbour_variance

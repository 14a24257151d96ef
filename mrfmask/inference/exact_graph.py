"""The exact answers for a batch of models on a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from mrfmask.graph import IsingGraph
from mrfmask.inference import diagnostics
from mrfmask.inference.elimination_memory import MOST_BYTES, bytes_needed
from mrfmask.inference.eliminations import Eliminations
from mrfmask.inference.graph_elimination import GraphElimination
from mrfmask.inference.method import Answer
from mrfmask.ops import exact_uniforms
from mrfmask.result import MapResult, Marginals, Samples, Status


def find_map(model: IsingGraph) -> MapResult:
    """A mask of minimum energy for every model."""
    found = _each(model, "map", lambda _, one: one.minimum())
    mask = _stack([mask for mask, _ in found], model.unary.bool())
    energy = model.energy(mask).detach()
    minimum = torch.tensor([energy for _, energy in found], dtype=torch.float64)
    return MapResult(
        mask=mask,
        energy=energy,
        # Where large terms cancel, two orders of summation differ by more than usual.
        lower_bound=torch.minimum(minimum.to(model.device), energy),
        status=(Status.OPTIMAL,) * len(model),
        method="exact",
    )


def marginals(model: IsingGraph, beta: float) -> Marginals:
    """Probabilities, pair correlations and log partition function."""
    found = _each(model, "marginals", lambda _, one: one.marginals(beta))
    mean = _stack([mean for mean, _, _ in found], model.unary.detach())
    pairwise = _stack([product for _, product, _ in found], model.pairwise.detach())
    log_partition = torch.tensor([total for _, _, total in found], dtype=torch.float64)
    return Marginals(
        probability=((1 + mean) / 2).clamp(0, 1).to(model.dtype),
        pairwise=pairwise.clamp(-1, 1).to(model.dtype),
        log_partition=log_partition.to(model.device),
        kind="exact",
        status=(Status.EXACT,) * len(model),
        method="exact",
    )


def sample(model: IsingGraph, beta: float, chains: int, seed: Int[Tensor, "batch 2"]) -> Samples:
    """Independent samples; the draws of a node do not depend on those of others."""

    def run(b: int, one: GraphElimination) -> np.ndarray:
        return one.sample(beta, exact_uniforms(seed[b], chains, model.shape[1]).numpy())

    empty = model.unary.bool().unsqueeze(1).expand(-1, chains, -1)
    masks = _stack(_each(model, "sample", run), empty)
    return diagnostics.independent_samples(model, masks, "exact")


def _each(
    model: IsingGraph, answer: Answer, run: Callable[[int, GraphElimination], Any]
) -> list[Any]:
    """``run(b, elimination)`` of every model, in threads while their memory is within the limit."""
    from mrfmask.graphs.threads import each_item

    ready = Eliminations(model).prepare_all(answer)
    found: list[Any] = [None] * len(ready)

    def one(b: int) -> None:
        found[b] = run(b, ready[b])

    most = max((bytes_needed(one.plan, answer) for one in ready), default=0)
    if most * torch.get_num_threads() <= MOST_BYTES:
        each_item(one, len(ready))
    else:
        for b in range(len(ready)):
            one(b)
    return found


def _stack(parts: list[np.ndarray], empty: Tensor) -> Tensor:
    """Stacks the models' answers; `empty` has the shape for a batch without models."""
    if not parts:
        return empty
    return torch.from_numpy(np.stack(parts)).to(empty.device)

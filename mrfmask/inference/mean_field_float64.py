"""Mean field in float64 with PyTorch: a reference for the kernels and for checks of gradients."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.graph import IsingGraph
from mrfmask.inference.neighbours import neighbour_sum
from mrfmask.ising import IsingModel


def float64_sweeps(
    model: IsingModel,
    beta: float,
    start: Float[Tensor, "batch ..."] | None,
    sweeps: int,
    tolerance: float,
) -> tuple[Float[Tensor, "batch ..."], Int[Tensor, " batch"], Float[Tensor, " batch"]]:
    """What the operator mean_field does, in float64 and differentiable in the potentials.

    Returns:
        Means, sweeps done and the largest change of a mean in the last sweep, for each image.
    """
    clamp = torch.where(model.clamped, model.unary.detach().sign(), 0.0)
    unary = torch.where(model.clamped, 0.0, model.unary)
    mean = torch.tanh(beta * unary) if start is None else start
    mean = torch.where(model.clamped, clamp, mean)
    done = torch.zeros(len(model), dtype=torch.int64, device=model.device)
    change = torch.full((len(model),), torch.inf, dtype=torch.float64, device=model.device)
    colours = _colours(model)
    for _ in range(sweeps):
        active = change > tolerance
        if not bool(active.any()):
            break
        before = mean
        for colour in colours:
            updated = torch.tanh(beta * (unary + _pull(model, mean)))
            move = colour & ~model.clamped & active.reshape(-1, *[1] * (mean.dim() - 1))
            mean = torch.where(move, updated, mean)
        moved = (mean - before).detach().abs().flatten(1).amax(dim=1)
        change = torch.where(active, moved, change)
        done = done + active
    return mean, done, change.to(torch.float32)


def _pull(model: IsingModel, mean: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
    """What the neighbours of every site add to its field."""
    if not isinstance(model, IsingGraph):
        return neighbour_sum(values=mean, **model.couplings)
    one, other = model.edges.T
    total = torch.zeros_like(mean).index_add(1, one, model.pairwise * mean[:, other])
    return total.index_add(1, other, model.pairwise * mean[:, one])


def _colours(model: IsingModel) -> list[Bool[Tensor, ...]]:
    """Sets of sites that do not touch, in the order of the kernels.

    Two, or three on a torus with an odd side; with diagonals four, pairs of a class of the row and
    one of the column, or six or nine on such a torus. Of a graph its colour classes.
    """
    if isinstance(model, IsingGraph):
        return _classes(model)
    _, height, width = model.shape

    def ring(side: int) -> Tensor:
        colour = torch.arange(side) % 2
        if model.periodic and side > 1 and side % 2 == 1:
            colour[-1] = 2
        return colour

    if model.has_diagonals:
        rows, columns = ring(height)[:, None], ring(width)
        pairs = [(y, x) for y in range(3) for x in range(3)]
        return [((rows == y) & (columns == x)).to(model.device) for y, x in pairs]
    total = ring(height)[:, None] + ring(width)
    number = 3 if bool((ring(height) == 2).any() or (ring(width) == 2).any()) else 2
    return [(total % number == c).to(model.device) for c in range(number)]


def _classes(model: IsingGraph) -> list[Bool[Tensor, " nodes"]]:
    from mrfmask.graphs.adjacency import adjacency
    from mrfmask.graphs.colouring import colour_classes

    nodes = model.shape[1]
    found = []
    for members in colour_classes(adjacency(model.edges, nodes)):
        members = torch.from_numpy(members).long()
        found.append(torch.zeros(nodes, dtype=torch.bool).index_fill(0, members, True))
    return found

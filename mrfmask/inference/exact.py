"""Exact answers for any signs: elimination, or enumeration of few free pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mrfmask.graph import IsingGraph
from mrfmask.inference import diagnostics, exact_graph, seeds
from mrfmask.inference.elimination import (
    MOST_BITS,
    MOST_BYTES,
    Elimination,
    bits_needed,
    bytes_needed,
)
from mrfmask.inference.eliminations import MOST_WIDTH, quick_graphs, solvable_graphs
from mrfmask.inference.enumeration import MOST_FREE_PIXELS, Enumeration
from mrfmask.inference.method import Method, check_count, check_positive
from mrfmask.inference.on_graph import map_on_graph, marginals_on_graph, samples_on_graph
from mrfmask.ising import IsingModel
from mrfmask.model import IsingGrid
from mrfmask.ops import exact_uniforms
from mrfmask.result import MapResult, Marginals, Samples, Status


@dataclass(frozen=True, kw_only=True, eq=False)
class Exact(Method):
    """MAP, marginals, log Z and independent samples without approximation, any signs, in float64.

    Grids with a side of at most 14 pixels (7 on a torus with more than one column) are done by
    eliminating pixels column by column: time 2^side a pixel, and 2^side * 8 bytes a column, at
    most 2 GiB. Of other grids, those with at most 20 free (unclamped) pixels have their states
    listed; all the rest, and graphs, are eliminated node by node in an order of small tables
    (min-fill, min-degree or a moving front, whichever is cheapest). A table of w nodes has 2^w
    entries: w at most 24, and 2 GiB of them at once. Time about 1.5 ns an entry for a mask, 9 for
    marginals and 5 for samples: 0.1, 0.7 and 0.4 s for a 20x20 grid.

    Args:
        beta: inverse temperature of marginals and samples, positive.
        chains: independent samples an image.
        seed: of the samples, an int or one int an image.

    Raises:
        ValueError: tables would be too large; the message says how large.

    Example:
        >>> import torch, mrfmask as mm
        >>> model = mm.IsingGrid(torch.zeros(1, 1, 2), torch.ones(1, 1, 1), torch.zeros(1, 0, 2))
        >>> mm.Exact().marginals(model).right  # tanh(1)
        tensor([[[0.7616]]])
    """

    beta: float = 1.0
    chains: int = 1
    seed: int | Sequence[int] = 0

    name: ClassVar = "exact"
    answers: ClassVar = ("map", "marginals", "sample")
    exact: ClassVar = True
    devices: ClassVar = ("cpu", "cuda")
    graphs: ClassVar = True
    needs: ClassVar = (
        f"a side of at most {MOST_BITS} ({MOST_BITS // 2} on a torus), {MOST_FREE_PIXELS} free "
        f"pixels, or tables of 2^{MOST_WIDTH}; any signs"
    )

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)
        check_count("chains", self.chains, least=1)

    @staticmethod
    def accepts(model: IsingModel) -> bool:
        """True if every image is small enough for all answers."""
        if isinstance(model, IsingGraph):
            return bool(solvable_graphs(model).all())
        wide = ~_small_images(model)
        if (wide & ~_may_be_eliminated(model)).any():
            return False
        return not wide.any() or bool(solvable_graphs(_part(model, wide).as_graph()).all())

    def find_map(self, model: IsingModel) -> MapResult:
        """A mask of minimum energy; which one among ties is not promised."""
        self.check_model(model)
        if isinstance(model, IsingGraph):
            return exact_graph.find_map(model)
        return _by_size(
            model,
            lambda wide, _: map_on_graph(exact_graph.find_map, wide),
            lambda small, _: self._map_of_small(small),
        )

    def marginals(self, model: IsingModel) -> Marginals:
        """Exact probabilities, pair correlations and log partition function."""
        self.check_model(model)
        if isinstance(model, IsingGraph):
            return exact_graph.marginals(model, self.beta)
        return _by_size(
            model,
            lambda wide, _: marginals_on_graph(
                lambda graph: exact_graph.marginals(graph, self.beta), wide
            ),
            lambda small, _: self._marginals_of_small(small),
        )

    def sample(self, model: IsingModel) -> Samples:
        """Independent exact samples, `chains` of them an image."""
        self.check_model(model)
        seed = seeds.as_tensor(self.seed, len(model))
        if isinstance(model, IsingGraph):
            return exact_graph.sample(model, self.beta, self.chains, seed)
        return _by_size(
            model,
            lambda wide, images: samples_on_graph(
                lambda graph: exact_graph.sample(graph, self.beta, self.chains, seed[images]), wide
            ),
            lambda small, images: self._samples_of_small(small, seed[images]),
        )

    def _map_of_small(self, model: IsingGrid) -> MapResult:
        found = [image.minimum() for image in _each_image(model)]
        mask = _stack([mask for mask, _ in found], model.unary.bool())
        energy = model.energy(mask).detach()
        minimum = _stack([energy for _, energy in found], model.constant.detach())
        return MapResult(
            mask=mask,
            energy=energy,
            # Where large terms cancel, two orders of summation differ by more than usual.
            lower_bound=torch.minimum(minimum, energy),
            status=(Status.OPTIMAL,) * len(model),
            method=self.name,
        )

    def _marginals_of_small(self, model: IsingGrid) -> Marginals:
        found = [image.marginals(self.beta) for image in _each_image(model)]
        empty = (model.unary, model.right, model.down, model.constant)
        columns = [[one[k] for one in found] for k in range(4)]
        mean, right, down, log_partition = (
            _stack(parts, like.detach()) for parts, like in zip(columns, empty, strict=True)
        )
        return Marginals(
            probability=((1 + mean) / 2).clamp(0, 1).to(model.dtype),
            right=right.clamp(-1, 1).to(model.dtype),
            down=down.clamp(-1, 1).to(model.dtype),
            log_partition=log_partition,
            kind="exact",
            status=(Status.EXACT,) * len(model),
            method=self.name,
        )

    def _samples_of_small(self, model: IsingGrid, seed: Int[Tensor, "batch 2"]) -> Samples:
        draws = 1 + model.unary[0].numel() if _is_narrow(model) and len(model) else 1
        masks = []
        for b, image in enumerate(_each_image(model)):
            uniforms = exact_uniforms(seed[b], self.chains, draws).to(model.device)
            masks.append(image.sample(self.beta, uniforms))
        empty = model.unary.bool().unsqueeze(1).expand(-1, self.chains, -1, -1)
        return diagnostics.independent_samples(model, _stack(masks, empty), self.name)


def solvable_images(model: IsingModel) -> Bool[Tensor, " batch"]:
    """Which images are small enough to have their mask of minimum energy in no time."""
    if isinstance(model, IsingGraph):
        return quick_graphs(model)
    solvable = _small_images(model)
    tried = ~solvable & _may_be_eliminated(model)
    if tried.any():
        solvable[tried] = quick_graphs(_part(model, tried).as_graph())
    return solvable


def _small_images(model: IsingGrid) -> Bool[Tensor, " batch"]:
    """Which images are narrow or have few free pixels, and no diagonals."""
    free = (~model.clamped).sum(dim=(1, 2))
    if model.has_diagonals:
        return torch.zeros_like(free, dtype=torch.bool)
    return (free <= MOST_FREE_PIXELS) | _is_narrow(model)


def _may_be_eliminated(model: IsingGrid) -> Bool[Tensor, " batch"]:
    """Which images are worth looking for an order: without clamps, columns are hardly beaten."""
    return model.clamped.any(dim=(1, 2)) | (bits_needed(model) <= MOST_WIDTH)


def _part(model: IsingGrid, images: Bool[Tensor, " batch"]) -> IsingGrid:
    return model[images.nonzero().flatten()]


def _by_size(
    model: IsingGrid,
    solve_wide: Callable[[IsingGrid, Tensor], Any],
    solve_small: Callable[[IsingGrid, Tensor], Any],
) -> Any:
    """One result for all images, each solved as if it came alone.

    Both functions take images and their numbers; `solve_wide` those to be eliminated as graphs.
    """
    small = _small_images(model)
    parts = []
    for solve, chosen in ((solve_small, small), (solve_wide, ~small)):
        images = chosen.nonzero().flatten()
        if len(images) == len(model):
            return solve(model, images)
        if len(images):
            parts.append((images, solve(model[images], images)))
    order = torch.cat([images for images, _ in parts]).argsort()
    results = [result for _, result in parts]
    joined = {
        f.name: torch.cat([getattr(result, f.name) for result in results])[order]
        for f in fields(results[0])
        if isinstance(getattr(results[0], f.name), Tensor)
    }
    return replace(results[0], status=results[0].status[:1] * len(model), **joined)


def _is_narrow(model: IsingGrid) -> bool:
    return bits_needed(model) <= MOST_BITS and bytes_needed(model) <= MOST_BYTES


def _each_image(model: IsingGrid) -> Iterator[Elimination | Enumeration]:
    """One image after the other: memory for one at a time."""
    solve = Elimination if _is_narrow(model) else Enumeration
    return (solve(model[b]) for b in range(len(model)))


def _stack(parts: list[Tensor], empty: Tensor) -> Tensor:
    """Stacks per-image results; `empty` has the shape for a batch without images."""
    return torch.stack(parts) if parts else empty

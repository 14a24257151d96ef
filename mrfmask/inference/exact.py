"""Exact answers for any signs: elimination on narrow grids, enumeration of few free pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask.inference import diagnostics, seeds
from mrfmask.inference.elimination import (
    MOST_BITS,
    MOST_BYTES,
    Elimination,
    bits_needed,
    bytes_needed,
)
from mrfmask.inference.enumeration import MOST_FREE_PIXELS, Enumeration
from mrfmask.inference.method import Method, check_count, check_positive
from mrfmask.model import IsingGrid
from mrfmask.ops import exact_uniforms
from mrfmask.result import MapResult, Marginals, Samples, Status


@dataclass(frozen=True, kw_only=True, eq=False)
class Exact(Method):
    """MAP, marginals, log Z and independent samples without approximation, any signs, in float64.

    Grids with a side of at most 14 pixels (7 on a torus with more than one column) are done by
    eliminating pixels column by column: time 2^side a pixel, and 2^side * 8 bytes a column, at
    most 2 GiB. Other grids may have at most 20 free (unclamped) pixels, whose states are listed.

    Args:
        beta: inverse temperature of marginals and samples, positive.
        chains: independent samples an image.
        seed: of the samples, an int or one int an image.

    Raises:
        ValueError: an image is too wide and has too many free pixels.

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
    needs: ClassVar = (
        f"a side of at most {MOST_BITS} ({MOST_BITS // 2} on a torus), or {MOST_FREE_PIXELS} free "
        "pixels; any signs"
    )

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)
        check_count("chains", self.chains, least=1)

    @staticmethod
    def accepts(model: IsingGrid) -> bool:
        """True if every image is narrow enough or has few enough free pixels."""
        return bool(solvable_images(model).all())

    def find_map(self, model: IsingGrid) -> MapResult:
        """A mask of minimum energy; which one among ties is not promised."""
        self._check(model)
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

    def marginals(self, model: IsingGrid) -> Marginals:
        """Exact probabilities, pair correlations and log partition function."""
        self._check(model)
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

    def sample(self, model: IsingGrid) -> Samples:
        """Independent exact samples, `chains` of them an image."""
        self._check(model)
        seed = seeds.as_tensor(self.seed, len(model))
        draws = 1 + model.unary[0].numel() if _is_narrow(model) and len(model) else 1
        masks = []
        for b, image in enumerate(_each_image(model)):
            uniforms = exact_uniforms(seed[b], self.chains, draws).to(model.device)
            masks.append(image.sample(self.beta, uniforms))
        empty = model.unary.bool().unsqueeze(1).expand(-1, self.chains, -1, -1)
        return diagnostics.independent_samples(model, _stack(masks, empty), self.name)

    def _check(self, model: IsingGrid) -> None:
        self.check_model(model)
        if not self.accepts(model):
            raise ValueError(
                f"model must have {self.needs} for exact; got {model.shape[1]}x{model.shape[2]} "
                f"with {_most_free(model)} free pixels. Use graph_cut, ilp, mean_field or gibbs."
            )


def solvable_images(model: IsingGrid) -> Bool[Tensor, " batch"]:
    """Which images are narrow enough or have few enough free pixels."""
    free = (~model.clamped).sum(dim=(1, 2))
    return (free <= MOST_FREE_PIXELS) | _is_narrow(model)


def _is_narrow(model: IsingGrid) -> bool:
    return bits_needed(model) <= MOST_BITS and bytes_needed(model) <= MOST_BYTES


def _most_free(model: IsingGrid) -> int:
    """Most free pixels of any image."""
    return int((~model.clamped).sum(dim=(1, 2)).max()) if len(model) else 0


def _each_image(model: IsingGrid) -> Iterator[Elimination | Enumeration]:
    """One image after the other: memory for one at a time."""
    solve = Elimination if _is_narrow(model) else Enumeration
    return (solve(model[b]) for b in range(len(model)))


def _stack(parts: list[Tensor], empty: Tensor) -> Tensor:
    """Stacks per-image results; `empty` has the shape for a batch without images."""
    return torch.stack(parts) if parts else empty

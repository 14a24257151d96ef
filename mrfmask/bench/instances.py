"""What the methods are measured on: drawn models, and models from files."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from mrfmask.model import IsingGrid
from mrfmask.model_files import load_model

Signs = Literal["associative", "repulsive", "mixed"]
SIGNS: tuple[Signs, ...] = get_args(Signs)

_load_last = functools.lru_cache(maxsize=1)(load_model)


@dataclass(frozen=True, kw_only=True, eq=False)
class Instance:
    """One image with its potentials, and where they are from.

    Attributes:
        name: of the file, or the size, signs and strength that it was drawn with.
        number: which draw of these, or which image of the file.
        model: a batch of one.
        signs: of its couplings.
        strength: of the couplings of a drawn model; None for a file.
    """

    name: str
    number: int
    model: IsingGrid
    signs: Signs
    strength: float | None = None

    @property
    def title(self) -> str:
        """Its name for people, with anything unprintable replaced; numbers count from 0."""
        title = self.name if self.number == 0 else f"{self.name} [{self.number}]"
        return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in title)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.model.shape[1:]

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of its potentials, in hexadecimal."""
        digest = hashlib.sha256(repr((self.model.shape, self.model.periodic)).encode())
        for name in ("unary", "right", "down", "constant"):
            digest.update(getattr(self.model, name).contiguous().numpy().tobytes())
        return digest.hexdigest()


def draw(size: int, signs: Signs, strength: float, number: int, seed: int) -> Instance:
    """A square grid with unaries of unit variance and couplings strength * uniform(0.2, 1).

    Unaries and sizes of couplings depend on seed, size and number alone: instances that differ in
    strength and signs can be compared pair by pair.

    Args:
        size: pixels a side, at least 1.
        signs: of the couplings; mixed ones are positive or negative with even chances.
        strength: at least 0.
        number: counts draws that share all else.
        seed: any int.
    """
    digest = hashlib.sha256(f"{seed}/{size}/{number}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    unary = torch.randn(1, size, size, generator=generator)
    right, down = (
        _couplings(shape, signs, strength, generator)
        for shape in ((1, size, size - 1), (1, size - 1, size))
    )
    return Instance(
        name=f"{signs} {size}x{size} c={strength:g}",
        number=number,
        model=IsingGrid(unary, right, down),
        signs=signs,
        strength=strength,
    )


def _couplings(
    shape: tuple[int, int, int], signs: Signs, strength: float, generator: torch.Generator
) -> Tensor:
    sizes = strength * (0.2 + 0.8 * torch.rand(shape, generator=generator))
    # Drawn also where they are not used, so that the numbers that follow stay the same.
    coins = torch.rand(shape, generator=generator) < 0.5
    if signs == "mixed":
        return torch.where(coins, sizes, -sizes)
    return sizes if signs == "associative" else -sizes


def draw_all(
    sizes: Sequence[int],
    signs: Sequence[Signs],
    strengths: Sequence[float],
    repeats: int,
    seed: int,
) -> Iterator[Instance]:
    """Every combination, small grids first."""
    for size in sizes:
        for sign in signs:
            for strength in strengths:
                for number in range(repeats):
                    yield draw(size, sign, strength, number, seed)


def read(path: Path, name: str, image: int) -> Instance:
    """One image of a file of potentials.

    Raises:
        FileNotFoundError, ValueError: as `load_model`.
    """
    model = _load_last(path)[image]
    return Instance(name=name, number=image, model=model, signs=signs_of(model))


def signs_of(model: IsingGrid) -> Signs:
    """What its couplings are; a model without any is associative."""
    if model.is_associative:
        return "associative"
    return "repulsive" if model.is_repulsive else "mixed"

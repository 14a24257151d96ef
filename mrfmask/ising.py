"""What models on grids and on graphs have in common; `mrfmask.model` states the conventions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields, replace
from numbers import Integral
from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.checks import check_constant, check_mask, check_values


class IsingModel(ABC):
    """Base of `IsingGrid` and `IsingGraph`: frozen dataclasses of tensors, batch first.

    A *site* is a pixel of a grid or a node of a graph.

    Attributes:
        unary: (batch, *sites).
        constant: (batch,) float64.
        edges: (edges, 2) int64, the two sites of every coupling, pixels numbered row by row.
        pairwise: (batch, edges), the couplings in the order of `edges`.
    """

    # Shared by all images: neither cut into images nor converted to another dtype.
    _shared = frozenset({"edges", "periodic"})

    unary: Float[Tensor, "batch ..."]
    constant: Float[Tensor, " batch"] | None
    edges: Int[Tensor, "edges 2"]
    pairwise: Float[Tensor, "batch edges"]

    @abstractmethod
    def energy(self, mask: Bool[Tensor, "*masks sites"]) -> Float[Tensor, "*masks"]:
        """Energy of masks in float64; +inf where a mask violates a clamp."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(batch, height, width) or (batch, nodes)."""
        return tuple(self.unary.shape)

    @property
    def device(self) -> torch.device:
        """The device that all tensors are on."""
        return self.unary.device

    @property
    def dtype(self) -> torch.dtype:
        """torch.float32 or torch.float64."""
        return self.unary.dtype

    @property
    def clamped(self) -> Bool[Tensor, "batch ..."]:
        """Sites whose state is given (unary is +-inf)."""
        return torch.isinf(self.unary)

    @property
    def is_associative(self) -> bool:
        """True if no coupling of any image is negative."""
        return bool((self.pairwise >= 0).all())

    @property
    def is_repulsive(self) -> bool:
        """True if no coupling of any image is positive."""
        return bool((self.pairwise <= 0).all())

    def __len__(self) -> int:
        return self.unary.shape[0]

    def __getitem__(self, images: int | slice | Int[Tensor, " images"]) -> Self:
        """Some of the images, as a model with a batch dimension: ``model[3]``, ``model[:8]``."""
        if isinstance(images, Integral):
            images = int(images)
            if not -len(self) <= images < len(self):
                raise IndexError(
                    f"images must lie in a batch of {len(self)}; got {images}. Count from 0."
                )
            images = slice(images, images + 1 or None)
        return replace(self, **{name: value[images] for name, value in self._tensors().items()})

    def _tensors(self) -> dict[str, Tensor]:
        """What an image has of its own, by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in self._shared}
        return {name: value for name, value in values.items() if value is not None}

    def _set_constant(self, **couplings: Tensor) -> None:
        """The constant in float64, zeros if left out; checks it and all values."""
        constant = self.constant
        if constant is None:
            constant = torch.zeros(len(self), dtype=torch.float64, device=self.unary.device)
        check_constant(constant, self.unary)
        object.__setattr__(self, "constant", constant.to(torch.float64))
        check_values(unary=self.unary, **couplings, constant=self.constant)

    def to(self, target: torch.device | str | torch.dtype) -> Self:
        """The model on another device, or with potentials of another dtype."""
        tensors = self._tensors()
        if isinstance(target, torch.dtype):
            del tensors["constant"]
        else:
            values = {f.name: getattr(self, f.name) for f in fields(self)}
            tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **{name: value.to(target) for name, value in tensors.items()})

    def clamp(
        self,
        on: Bool[Tensor, "batch ..."] | None = None,
        off: Bool[Tensor, "batch ..."] | None = None,
    ) -> Self:
        """The model with the given sites fixed on or off.

        Args:
            on: True where a site must be on, e.g. already measured.
            off: True where a site must be off, e.g. impossible to measure.

        Raises:
            ValueError: a site would be clamped both on and off.
        """
        unary = self.unary
        for name, where, value in (("on", on, torch.inf), ("off", off, -torch.inf)):
            if where is None:
                continue
            check_mask(name, where, self.unary.shape, self.device)
            both = where & (unary == -value)
            if both.any():
                image, *site = both.nonzero()[0].tolist()
                place = f"pixel {tuple(site)}" if len(site) == 2 else f"node {site[0]}"
                raise ValueError(
                    f"{name} must not contradict another clamp; got {place} of image {image} "
                    "clamped both on and off. Choose one."
                )
            unary = torch.where(where, value, unary)
        return replace(self, unary=unary)

    def log_prob(
        self,
        mask: Bool[Tensor, "*masks sites"],
        log_partition: Float[Tensor, " batch"],
        beta: float = 1.0,
    ) -> Float[Tensor, "*masks"]:
        """``-beta E(mask) - log Z``, in nats, for a log partition function (batch,) at `beta`."""
        energy = self.energy(mask)
        if not isinstance(log_partition, Tensor):
            raise TypeError(
                f"log_partition must be a tensor; got {type(log_partition).__name__}. Gibbs "
                "sampling has none: use exact, or mean_field for a lower bound."
            )
        if log_partition.shape != self.unary.shape[:1]:
            raise ValueError(
                f"log_partition must have shape ({len(self)},), one value an image; got "
                f"{tuple(log_partition.shape)}. Use Marginals.log_partition."
            )
        return -beta * energy - log_partition.reshape(-1, *[1] * (energy.dim() - 1))

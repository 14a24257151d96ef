"""Simulated annealing: Gibbs sweeps that grow colder, the best state kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from mrfmask.inference import seeds, sweeps
from mrfmask.inference.float32_potentials import float32_potentials, largest_potential
from mrfmask.inference.method import Method, check_count, check_positive
from mrfmask.inference.quick_bound import quick_bound
from mrfmask.ising import IsingModel
from mrfmask.powers_of_two import power_of_two
from mrfmask.result import MapResult, Status

# Sweeps downhill at the end; then hardly any pixel still gains by turning.
DESCENT = 10
FROZEN = 1e30  # an inverse temperature


@dataclass(frozen=True, kw_only=True, eq=False)
class Annealing(Method):
    """A low-energy mask for any signs, by heat-bath sweeps under a rising inverse temperature.

    ``beta`` rises geometrically from `beta_start` to `beta_end`, both in units of one over the
    image's typical local field (the mean of ``|unary| + sum |pairwise|`` over its free pixels), so
    that a model and its multiple are treated alike. A few sweeps without temperature follow, in
    which pixels only move downhill.

    Args:
        sweeps: sweeps of each chain while it grows colder, at least 1.
        chains: independent runs an image; the best of all is kept.
        beta_start: positive.
        beta_end: at least `beta_start`.
        seed: an int or one int an image, as in Gibbs.

    Example:
        >>> import torch, mrfmask as mm
        >>> ring = mm.IsingGrid(torch.zeros(1, 1, 5), -torch.ones(1, 1, 5), torch.zeros(1, 0, 5),
        ...                     periodic=True)
        >>> mm.Annealing(sweeps=50)(ring).energy  # one of five couplings cannot be pleased
        tensor([-3.], dtype=torch.float64)

    Reference:
        Kirkpatrick, Gelatt and Vecchi, "Optimization by simulated annealing", Science 1983.
    """

    sweeps: int = 1000
    chains: int = 1
    beta_start: float = 0.1
    beta_end: float = 10.0
    seed: int | Sequence[int] = 0

    name: ClassVar = "annealing"
    answers: ClassVar = ("map",)
    exact: ClassVar = False
    devices: ClassVar = ("cpu", "cuda")
    needs: ClassVar = "any signs"
    diagonals: ClassVar = True
    graphs: ClassVar = True
    graph_devices: ClassVar = ("cpu",)

    def __post_init__(self) -> None:
        check_count("sweeps", self.sweeps, least=1)
        check_count("chains", self.chains, least=1, most=2**29 - 1)
        check_positive("beta_start", self.beta_start)
        check_positive("beta_end", self.beta_end)
        if self.beta_end < self.beta_start:
            raise ValueError(
                f"beta_end must be at least beta_start, {self.beta_start}; got {self.beta_end}. "
                "Annealing goes from hot to cold."
            )

    def find_map(self, model: IsingModel) -> MapResult:
        """The state of lowest energy that any chain visited after a sweep."""
        self.check_model(model)
        batch = len(model)
        potentials = float32_potentials(model)
        _, _, energies, best, _ = sweeps.gibbs(
            potentials,
            self._schedule(model) * potentials.scale[:, None],
            seeds.as_tensor(self.seed, batch).to(model.device),
            None,
            self.chains,
            0,
            self.sweeps + DESCENT,
            torch.zeros(1, dtype=torch.int64, device=model.device),
            True,
            False,
        )
        winner = energies.amin(dim=2).argmin(dim=1)
        mask = best[torch.arange(batch, device=model.device), winner]
        return MapResult(
            mask=mask,
            energy=model.energy(mask).detach(),
            lower_bound=quick_bound(model),
            status=(Status.HEURISTIC,) * batch,
            method=self.name,
            stats={"sweeps": self.sweeps, "chains": self.chains},
        )

    def _schedule(self, model: IsingModel) -> Float[Tensor, "batch sweeps"]:
        # The same bits on every device: powers from the CPU, and sums of integers, in which the
        # largest potential has 30 bits.
        steps = torch.linspace(0, 1, self.sweeps, dtype=torch.float64)
        factors = self.beta_start * (self.beta_end / self.beta_start) ** steps
        units = power_of_two(30 - torch.frexp(largest_potential(model)).exponent)

        def total(potentials: Tensor) -> Tensor:
            sizes = potentials.detach().abs().double().flatten(1) * units[:, None]
            return sizes.round().to(torch.int64).sum(dim=1)

        clamped = model.clamped
        # Each coupling pulls at two pixels.
        pulls = 2 * sum(total(couplings) for couplings in model.couplings.values())
        fields = pulls + total(torch.where(clamped, 0.0, model.unary))
        free = (~clamped).flatten(1).sum(dim=1).clamp(min=1)
        typical = fields / (free * units)
        typical = torch.where(typical > 0, typical, 1.0)
        descent = torch.full_like(typical, FROZEN)[:, None].expand(-1, DESCENT)
        return torch.cat([factors.to(model.device) / typical[:, None], descent], dim=1)

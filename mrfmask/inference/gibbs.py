"""Gibbs sampling: heat-bath sweeps by colours, counter-based draws, the same bits everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mrfmask.checks import check_mask
from mrfmask.inference import diagnostics, seeds, sweeps
from mrfmask.inference.float32_potentials import float32_potentials
from mrfmask.inference.method import Method, check_count, check_positive
from mrfmask.ising import IsingModel
from mrfmask.result import Marginals, Samples


@dataclass(frozen=True, kw_only=True, eq=False)
class Gibbs(Method):
    r"""Heat-bath sweeps over the colours of a grid or a graph, in float32.

    Each pixel turns on with probability ``1 / (1 + exp(-2 beta field))``, where ``field = unary +
    sum pairwise x_neighbour``. With diagonals there are four colours, the parities of row and
    column. Draws are a pure function of (seed, image, chain, sweep, pixel); node n of a graph has
    those of pixel (0, n). Models on graphs must be on the CPU.

    Args:
        beta: inverse temperature, positive.
        sweeps: sweeps that count, at least 1.
        burn_in: sweeps before them that do not.
        chains: independent chains an image.
        seed: an int s (image b draws as stream (s, b)) or one int an image.
        start: (batch, chains, *sites) bool, states to go on from; None starts from fair
            coins.
        sweep_offset: number of the first sweep; `Samples.next_sweep` to go on exactly.

    Example:
        >>> import torch, mrfmask as mm
        >>> model = mm.IsingGrid(torch.ones(1, 8, 8), torch.zeros(1, 8, 7), torch.zeros(1, 7, 8))
        >>> samples = mm.Gibbs(sweeps=500, seed=1)(model)
        >>> bool((samples.mean - torch.sigmoid(torch.tensor(2.0))).abs().max() < 0.1)
        True

    Reference:
        Geman and Geman, "Stochastic relaxation, Gibbs distributions, and the Bayesian restoration
        of images", PAMI 1984.
    """

    beta: float = 1.0
    sweeps: int = 100
    burn_in: int = 100
    chains: int = 1
    seed: int | Sequence[int] = 0
    start: Tensor | None = None
    sweep_offset: int = 0

    name: ClassVar = "gibbs"
    answers: ClassVar = ("sample", "marginals")
    exact: ClassVar = False
    devices: ClassVar = ("cpu", "cuda")
    needs: ClassVar = "any signs"
    diagonals: ClassVar = True
    graphs: ClassVar = True
    graph_devices: ClassVar = ("cpu",)

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)
        check_count("sweeps", self.sweeps, least=1)
        check_count("burn_in", self.burn_in, least=0)
        check_count("chains", self.chains, least=1, most=2**29 - 1)
        check_count("sweep_offset", self.sweep_offset, least=0)
        check_count("sweep_offset + burn_in + sweeps", self.next_sweep, least=1)

    @property
    def next_sweep(self) -> int:
        """Number of the sweep after the last one."""
        return self.sweep_offset + self.burn_in + self.sweeps

    def sample(self, model: IsingModel) -> Samples:
        """The state of every chain after the last sweep, with counts, energies and diagnostics."""
        return self._run(model, keep_pairs=False)[0]

    def marginals(self, model: IsingModel) -> Marginals:
        """Shares of the kept sweeps, over all chains; Gibbs sampling has no estimate of log Z."""
        samples, equal = self._run(model, keep_pairs=True)
        return diagnostics.marginals_from_chains(model, samples, equal)

    def _run(self, model: IsingModel, keep_pairs: bool) -> tuple[Samples, dict[str, Tensor]]:
        self.check_model(model)
        batch, *sites = model.shape
        if self.start is not None:
            check_mask("start", self.start, (batch, self.chains, *sites), model.device)
        potentials = float32_potentials(model)
        masks, counts, energies, _, equal = sweeps.gibbs(
            potentials,
            (self.beta * potentials.scale)[:, None],
            seeds.as_tensor(self.seed, batch).to(model.device),
            self.start,
            self.chains,
            self.burn_in,
            self.sweeps,
            torch.tensor([self.sweep_offset], device=model.device),
            False,
            keep_pairs,
        )
        energies = energies * potentials.scale[:, None, None]
        energies = energies + model.constant.detach()[:, None, None]
        samples = diagnostics.samples_from_chains(
            model, masks, counts, energies, self.name, self.next_sweep
        )
        return samples, equal

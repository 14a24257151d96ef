"""Kawasaki dynamics: masks with exactly so many pixels on, drawn by exchanges of two pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from mrfmask import ops
from mrfmask.checks import check_mask
from mrfmask.inference import diagnostics, seeds
from mrfmask.inference.budget import Budget, budget_limit, count_limits
from mrfmask.inference.float32_potentials import float32_potentials
from mrfmask.inference.method import Method, check_count, check_positive
from mrfmask.model import IsingGrid
from mrfmask.result import Marginals, Samples


@dataclass(frozen=True, kw_only=True, eq=False)
class Kawasaki(Method):
    r"""Draws from p(x | exactly k pixels on) by exchanges of a pixel on and a pixel off.

    A move picks a free pixel that is on and one that is off, each uniformly, and exchanges them
    with probability ``1 / (1 + exp(beta * (E_after - E_before)))``: detailed balance holds with
    respect to p, restricted to the masks of the count. A sweep is as many moves as an image has
    pixels that are not clamped. Draws are a pure function of (seed, image, chain, sweep, move).
    Works in float32 on the CPU's threads, also for models on a card; traced energies are sums of
    whole multiples of a unit, 2^-49 of the largest potential or so.

    Args:
        budget: pixels on, clamped ones included; an int, or a fraction of all pixels as a float;
            for all images or one for each. Either this or `budget_new` must be given.
        budget_new: the same, on top of the pixels that are clamped on.
        beta: inverse temperature, positive.
        sweeps: sweeps that count, at least 1.
        burn_in: sweeps before them that do not.
        chains: independent chains an image.
        seed: an int s (image b draws as stream (s, b)) or one int an image.
        start: (batch, chains, height, width) bool, states to go on from, each with the budget's
            pixels on once clamped pixels are as clamped; None starts from random masks.
        sweep_offset: number of the first sweep; `Samples.next_sweep` to go on exactly.

    Example:
        >>> import torch, mrfmask as mm
        >>> model = mm.IsingGrid(torch.zeros(1, 8, 8), torch.zeros(1, 8, 7), torch.zeros(1, 7, 8))
        >>> samples = mm.Kawasaki(budget=5, chains=3, seed=1).sample(model)
        >>> samples.masks.sum(dim=(2, 3))
        tensor([[5, 5, 5]])

    Reference:
        Kawasaki, "Diffusion constants near the critical point for time-dependent Ising models",
        Physical Review 1966; Newman and Barkema, "Monte Carlo methods in statistical physics",
        1999, section 5.1, for exchanges of pixels that are no neighbours.
    """

    budget: Budget | None = None
    budget_new: Budget | None = None
    beta: float = 1.0
    sweeps: int = 100
    burn_in: int = 100
    chains: int = 1
    seed: int | Sequence[int] = 0
    start: Tensor | None = None
    sweep_offset: int = 0

    name: ClassVar = "kawasaki"
    answers: ClassVar = ("sample", "marginals")
    exact: ClassVar = False
    devices: ClassVar = ("cpu", "cuda")
    needs: ClassVar = "any signs, a budget"

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

    def sample(self, model: IsingGrid) -> Samples:
        """The state of every chain after the last sweep, with counts, energies and diagnostics.

        ``stats["exchanged"]``, (batch,), is the share of the moves that exchanged two pixels.
        """
        return self._run(model, keep_pairs=False)[0]

    def marginals(self, model: IsingGrid) -> Marginals:
        """Shares of the kept sweeps, over all chains, given the number of pixels on."""
        samples, equal = self._run(model, keep_pairs=True)
        return diagnostics.marginals_from_chains(model, samples, equal)

    def _run(self, model: IsingGrid, keep_pairs: bool) -> tuple[Samples, dict[str, Tensor]]:
        self.check_model(model)
        wanted = budget_limit(model, self.budget, self.budget_new).amount.to(model.device)
        start = None if self.start is None else self._checked_start(model, wanted)
        potentials = float32_potentials(model)
        masks, counts, energies, right_equal, down_equal, exchanges = ops.kawasaki(
            *potentials.arguments,
            self.beta * potentials.scale,
            wanted,
            seeds.as_tensor(self.seed, len(model)).to(model.device),
            start,
            self.chains,
            self.burn_in,
            self.sweeps,
            self.sweep_offset,
            keep_pairs,
        )
        energies = energies * potentials.scale[:, None, None]
        energies = energies + model.constant.detach()[:, None, None]
        samples = diagnostics.samples_from_chains(
            model, masks, counts, energies, self.name, self.next_sweep
        )
        least, most = count_limits(model)
        moves = ((most - least) * self.chains * self.sweeps).clamp(min=1)
        exchanged = exchanges.sum(dim=1).to(torch.float64) / moves
        equal = {"right": right_equal, "down": down_equal}
        return replace(samples, stats={"exchanged": exchanged}), equal

    def _checked_start(self, model: IsingGrid, wanted: Int[Tensor, " batch"]) -> Tensor:
        """The start with clamped pixels as they are clamped."""
        batch, height, width = model.shape
        check_mask("start", self.start, (batch, self.chains, height, width), model.device)
        clamped, on = model.clamped[:, None], (model.unary > 0)[:, None]
        start = torch.where(clamped, on, self.start)
        counts = start.sum(dim=(2, 3))
        wrong = counts != wanted[:, None]
        if wrong.any():
            image, chain = wrong.nonzero()[0].tolist()
            raise ValueError(
                f"start must have as many pixels on as the budget says, {wanted[image]} in image "
                f"{image}; got {counts[image, chain]} in chain {chain}, clamped pixels as they are "
                "clamped. Leave it out to start from random masks."
            )
        return start

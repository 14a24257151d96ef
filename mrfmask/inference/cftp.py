"""Perfect samples: coupling from the past, on top of Gibbs sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask.inference import diagnostics, seeds, sweeps
from mrfmask.inference.float32_potentials import float32_potentials
from mrfmask.inference.gauge import gauge, turned
from mrfmask.inference.method import Method, check_count, check_positive
from mrfmask.ising import IsingModel
from mrfmask.result import Samples, Status

# Number of the sweep before which all runs end. Sweeps have fixed numbers, and so fixed draws: a
# run that begins earlier does other sweeps before the same last ones.
PRESENT = 2**30


@dataclass(frozen=True, kw_only=True, eq=False)
class Cftp(Method):
    r"""Independent samples from exactly p(x), by coupling from the past.

    Every chain is run from time -T to 0 twice, from all sites off and from all on, with the same
    draws: those of the sweep at each time before 0. The rule of Gibbs sampling is monotone for
    associative couplings, also in float32, so that every other start ends between the two: where
    both end alike, so would a run from the infinite past, whose end is distributed as p(x). T is
    1, 2, 4, ... until they do. It grows quickly near and beyond phase transitions: chains that need
    more than `max_sweeps` are given up.

    Balanced models of both signs (any cycle has an even number of repulsive couplings) are made
    associative by turning sites round.

    ``result.stats``: `coalesced` (batch, chains) bool, and `sweeps` (batch, chains), the T of each
    chain. The masks of chains that have not coalesced are mere states of Gibbs chains after
    `max_sweeps` sweeps from all sites off (of those turned round: on), not perfect samples; leaving
    them out biases the others to states that are quickly reached.

    Args:
        beta: inverse temperature, positive.
        chains: independent samples an image.
        seed: an int s (image b draws as stream (s, b)) or one int an image.
        max_sweeps: the longest T, 1 to 2^20.

    Raises:
        ValueError: couplings of both signs that no turning of sites makes associative.
        RuntimeError: the two runs of a chain have crossed, which must not happen.

    Example:
        >>> import torch, mrfmask as mm
        >>> model = mm.IsingGrid(torch.zeros(1, 1, 2), torch.ones(1, 1, 1), torch.zeros(1, 0, 2))
        >>> result = mm.Cftp(chains=20)(model)
        >>> bool(result.stats["coalesced"].all()), result.status[0].name
        (True, 'COALESCED')

    Reference:
        Propp and Wilson, "Exact sampling with coupled Markov chains and applications to statistical
        mechanics", Random Structures and Algorithms 1996.
    """

    beta: float = 1.0
    chains: int = 1
    seed: int | Sequence[int] = 0
    max_sweeps: int = 4096

    name: ClassVar = "cftp"
    answers: ClassVar = ("sample",)
    exact: ClassVar = True
    devices: ClassVar = ("cpu", "cuda")
    needs: ClassVar = "associative couplings, or any that turning sites makes so"
    diagonals: ClassVar = True
    graphs: ClassVar = True
    graph_devices: ClassVar = ("cpu",)

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)
        check_count("chains", self.chains, least=1, most=2**29 - 1)
        check_count("max_sweeps", self.max_sweeps, least=1, most=2**20)

    def sample(self, model: IsingModel) -> Samples:
        """`chains` perfect samples an image, and which of them have coalesced."""
        self.check_model(model)
        seed = seeds.as_tensor(self.seed, len(model)).to(model.device)
        turn, balanced = gauge(model)
        if not bool(balanced.all()):
            raise ValueError(
                f"model must be balanced for cftp; got a cycle with an odd number of repulsive "
                f"couplings in image {int((~balanced).nonzero()[0])}. Use gibbs or exact."
            )
        masks, needed, coalesced = self._couple(turned(model, turn), seed)
        found = diagnostics.independent_samples(model, masks ^ turn.unsqueeze(1), self.name)
        whole = coalesced.all(dim=1)
        return replace(
            found,
            r_hat=torch.where(whole, found.r_hat, torch.nan),
            effective_sample_size=coalesced.sum(dim=1).to(torch.float64),
            status=tuple(
                Status.COALESCED if every else Status.NOT_COALESCED for every in whole.tolist()
            ),
            stats={"coalesced": coalesced, "sweeps": needed},
        )

    def _couple(self, model: IsingModel, seed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Masks, sweeps from the past, and whether they were enough, of every chain."""
        shape = (len(model), self.chains)
        masks = torch.empty((*shape, *model.shape[1:]), dtype=torch.bool, device=model.device)
        needed = torch.zeros(shape, dtype=torch.int64, device=model.device)
        coalesced = torch.zeros(shape, dtype=torch.bool, device=model.device)
        past = 0
        while past < self.max_sweeps and not bool(coalesced.all()):
            past = min(max(2 * past, 1), self.max_sweeps)
            # The images that are not done, up to the last of their chains that is not.
            images = (~coalesced.all(dim=1)).nonzero().flatten()
            chains = 1 + int((~coalesced).any(dim=0).nonzero().max())
            part = model if len(images) == len(model) else model[images]
            low, high = (
                self._run(part, seed[images], chains, past, start) for start in (False, True)
            )
            if bool((low & ~high).any()):
                raise RuntimeError(
                    "runs from all off and all on must not cross; got a site that is on in the "
                    "first alone. Please report this as a bug."
                )
            done = (low == high).flatten(2).all(dim=2)
            fresh = ~coalesced[images, :chains]
            masks[images, :chains] = torch.where(
                fresh.reshape(*fresh.shape, *[1] * (low.dim() - 2)), low, masks[images, :chains]
            )
            needed[images, :chains] = torch.where(fresh, past, needed[images, :chains])
            coalesced[images, :chains] |= done
        return masks, needed, coalesced

    def _run(
        self, model: IsingModel, seed: Tensor, chains: int, past: int, on: bool
    ) -> Bool[Tensor, "batch chains ..."]:
        """States at time 0 of chains that were all on or all off at time -past."""
        potentials = float32_potentials(model)
        shape = (len(model), chains, *model.shape[1:])
        return sweeps.gibbs(
            potentials,
            (self.beta * potentials.scale)[:, None],
            seed,
            torch.full(shape, on, device=model.device),
            chains,
            past - 1,
            1,
            torch.tensor([PRESENT - past], device=model.device),
            False,
            False,
        )[0]

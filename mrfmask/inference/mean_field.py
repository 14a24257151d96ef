"""Mean field: the best factorised approximation of p(x), and a lower bound on log Z."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mrfmask.inference import sweeps as kernels
from mrfmask.inference.float32_potentials import float32_potentials
from mrfmask.inference.mean_field_float64 import float64_sweeps
from mrfmask.inference.method import Method, check_count, check_positive
from mrfmask.inference.quick_bound import quick_bound
from mrfmask.ising import IsingModel
from mrfmask.result import MapResult, Marginals, Status

# Sweeps before the bound is evaluated for the first time; an evaluation costs about as much.
FIRST_STOP = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class MeanField(Method):
    r"""Coordinate ascent on the evidence lower bound, a colour of the grid or graph at a time.

    ``m_i = tanh(beta (unary_i + sum_j pairwise_ij m_j))`` until no mean of the image moves by more
    than `tolerance` in a sweep. The bound ``-beta <E> + entropy <= log Z`` holds at every step and
    never falls, up to rounding. float32 models run in native code; float64 models in PyTorch,
    slowly and differentiable in the potentials (through all sweeps), for checks. A grid has two
    colours, or four with diagonals; a graph as many as it needs, and it must be on the CPU.

    A model without unaries stays at means of 0, a fixed point that can be far from the best one:
    give a start that breaks the symmetry.

    Args:
        beta: inverse temperature, positive.
        max_sweeps: most sweeps, at least 1.
        tolerance: largest change of a mean in the last sweep that counts as converged, positive.
        start: (batch, *sites), means in [-1, 1] to start from; None starts from
            ``tanh(beta unary)``.

    Example:
        >>> import torch, mrfmask as mm
        >>> model = mm.IsingGrid(torch.ones(1, 1, 2), torch.zeros(1, 1, 1), torch.zeros(1, 0, 2))
        >>> mm.MeanField()(model).probability  # no couplings: exact
        tensor([[[0.8808, 0.8808]]])

    Reference:
        Wainwright and Jordan, "Graphical models, exponential families, and variational inference",
        2008, section 5.
    """

    beta: float = 1.0
    max_sweeps: int = 1000
    tolerance: float = 1e-6
    start: Float[Tensor, "batch ..."] | None = None

    name: ClassVar = "mean_field"
    answers: ClassVar = ("marginals", "map")
    exact: ClassVar = False
    devices: ClassVar = ("cpu", "cuda")
    needs: ClassVar = "any signs"
    diagonals: ClassVar = True
    graphs: ClassVar = True
    graph_devices: ClassVar = ("cpu",)

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)
        check_count("max_sweeps", self.max_sweeps, least=1)
        check_positive("tolerance", self.tolerance)

    def marginals(self, model: IsingModel) -> Marginals:
        """Approximate marginals; `stats` has the sweeps, the last change and the bound's trace."""
        mean, sweeps, change, trace = self._ascend(model, keep_trace=True)
        m = mean.to(model.dtype)
        converged = (change <= self.tolerance).tolist()
        return Marginals(
            probability=(1 + m) / 2,
            **{name: one * other for name, (one, other) in model.pairs(m).items()},
            log_partition=trace[-1][1],
            kind="lower",
            status=tuple(Status.CONVERGED if ok else Status.SWEEP_LIMIT for ok in converged),
            method=self.name,
            stats={"sweeps": sweeps, "change": change, "trace": trace},
        )

    def find_map(self, model: IsingModel) -> MapResult:
        """The sign of every mean: quick, without proof; `beta` and `tolerance` as given.

        A model without unaries stays where it starts, all means 0 and all pixels off: give a start.
        """
        mean, sweeps, change = self.means(model)
        mask = mean > 0
        return MapResult(
            mask=mask,
            energy=model.energy(mask).detach(),
            lower_bound=quick_bound(model),
            status=(Status.HEURISTIC,) * len(model),
            method=self.name,
            stats={"sweeps": sweeps, "change": change},
        )

    def means(
        self, model: IsingModel
    ) -> tuple[Float[Tensor, "batch ..."], Int[Tensor, " batch"], Float[Tensor, " batch"]]:
        """The means in [-1, 1], the sweeps done, and the largest change of a mean in the last."""
        mean, sweeps, change, _ = self._ascend(model, keep_trace=False)
        return mean, sweeps, change

    def _ascend(
        self, model: IsingModel, keep_trace: bool
    ) -> tuple[Tensor, Tensor, Tensor, list[tuple[int, Float[Tensor, " batch"]]]]:
        """Means, sweeps done, last change, and (sweeps, bound) after 8, 16, 32, ... sweeps.

        The stops for the trace change nothing: going on from a state gives the same bits.
        """
        self.check_model(model)
        mean = self._checked_start(model)
        done = torch.zeros(len(model), dtype=torch.int64, device=model.device)
        change = torch.full((len(model),), torch.inf, device=model.device)
        trace = []
        bound = torch.zeros(len(model), dtype=torch.float64, device=model.device)
        at = 0
        while at < self.max_sweeps and (at == 0 or bool((change > self.tolerance).any())):
            more = min(max(at, FIRST_STOP), self.max_sweeps - at)
            active = change > self.tolerance
            new_mean, sweeps, new_change = self._sweeps(model, active, mean, more)
            if mean is None:
                mean, change, done = new_mean, new_change, sweeps
            else:
                mean = mean.index_put((active,), new_mean)
                change = change.index_put((active,), new_change)
                done = done.index_put((active,), done[active] + sweeps)
            at += more
            if keep_trace:
                now = evidence_lower_bound(model[active], mean.detach()[active], self.beta)
                bound = bound.index_put((active,), now)
                trace.append((at, bound))
        return mean, done, change, trace

    def _sweeps(
        self, model: IsingModel, active: Tensor, start: Tensor | None, sweeps: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """At most `sweeps` more sweeps of the active images: means, sweeps done, last change."""
        begin = None if start is None else start[active]
        if model.dtype == torch.float64:
            return float64_sweeps(model[active], self.beta, begin, sweeps, self.tolerance)
        potentials = float32_potentials(model if bool(active.all()) else model[active])
        beta = self.beta * potentials.scale
        return kernels.mean_field(potentials, beta, begin, sweeps, self.tolerance)

    def _checked_start(self, model: IsingModel) -> Tensor | None:
        if self.start is None:
            return None
        if not isinstance(self.start, Tensor) or not self.start.is_floating_point():
            got = getattr(self.start, "dtype", type(self.start).__name__)
            raise TypeError(f"start must be a floating-point tensor; got {got}. Means in [-1, 1].")
        if self.start.shape != model.unary.shape:
            raise ValueError(
                f"start must have shape {model.shape}; got {tuple(self.start.shape)}. "
                "One mean a pixel."
            )
        if not bool((self.start.abs() <= 1).all()):
            raise ValueError("start must lie in [-1, 1]; got a value outside. Use 2 p - 1.")
        return self.start.to(model.dtype)


def evidence_lower_bound(
    model: IsingModel, mean: Float[Tensor, "batch ..."], beta: float
) -> Float[Tensor, " batch"]:
    """``-beta <E> + entropy`` of independent pixels with these means, in float64; <= log Z.

    Clamped pixels must have the mean that they are clamped to.
    """
    m = mean.to(torch.float64)
    unary = torch.where(model.clamped, 0.0, model.unary.detach()).to(torch.float64)
    score = (unary * m).flatten(1).sum(dim=1)
    for name, (one, other) in model.pairs(m).items():
        couplings = model.couplings[name].detach().to(torch.float64)
        score = score + (couplings * one * other).flatten(1).sum(dim=1)
    on, off = (1 + m) / 2, (1 - m) / 2
    entropy = (torch.special.entr(on) + torch.special.entr(off)).flatten(1).sum(dim=1)
    return beta * (score - model.constant.detach()) + entropy

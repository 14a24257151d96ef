"""Lower bounds and masks from overlapping strips of rows, for couplings of any signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask import ops
from mrfmask.inference.budget import Limit
from mrfmask.inference.method import Method, check_count, check_no_diagonals
from mrfmask.ising import IsingModel
from mrfmask.model import IsingGrid
from mrfmask.result import ROUNDING, MapResult, Status

# Of a bound for a mask found otherwise: it then takes less time than most masks do.
FEW_SWEEPS, FEW_ROWS = 3, 4
# Sweeps at most; they end by themselves once they gain little.
MOST_SWEEPS = 200
WIDE_ROWS, MOST_ROWS = 8, 12
# A second's sweeps go over this many, with rest to spare.
PIXELS_A_SECOND = 3e5


@dataclass(frozen=True, kw_only=True, eq=False)
class StripDual:
    """What the strips of every image give.

    Attributes:
        lower_bound: (batch,) float64, of the energy of every mask, or of those in the limit.
        penalty: (batch,) energy per pixel on, or per unit of cost, at which the bound of a limit is
            largest; else 0.
        fewer: (batch, height, width), a mask near the bound that comes to at most the amount;
            without a limit the best mask found.
        more: a mask that comes to at least the amount; without a limit the same mask.
        advantage: (batch, height, width) float64. Masks that have a pixel off where it is positive,
            or on where it is negative, have at least its size more energy than the bound.
        sweeps: (batch,) done.
    """

    lower_bound: Float[Tensor, " batch"]
    penalty: Float[Tensor, " batch"]
    fewer: Bool[Tensor, "batch height width"]
    more: Bool[Tensor, "batch height width"]
    advantage: Float[Tensor, "batch height width"]
    sweeps: Int[Tensor, " batch"]


def strip_dual(
    model: IsingGrid,
    limit: Limit | None = None,
    rows: int = WIDE_ROWS,
    sweeps: int = MOST_SWEEPS,
) -> StripDual:
    r"""A lower bound on the energy of every mask, often the minimum itself, and masks near it.

    The grid is covered by strips of a few rows, each sharing its last row with the next. The
    potentials of shared rows are split between both strips, the minimum of a strip is exact by
    elimination, and the sum of the minima is a bound whatever the split. Sweeps over the columns
    improve the split, coupling by coupling, and never lower the bound. Strips have four rows first,
    and `rows` where those leave a gap; on a torus half as many. A grid with a side of at most
    `rows` pixels is one strip then, and without a limit its bound is the minimum.

    With a limit, the bound is the maximum over penalties of the minimum of
    ``E(x) + penalty * (what x comes to - amount)``.

    Args:
        model: any IsingGrid without diagonals; the work is in float64, on CPU threads.
        limit: what the pixels on come to, possible for the clamps; None for any masks.
        rows: of the widest strips, 2 to 12. A column of a strip has 2^rows states: time and memory
            are proportional to ``2^rows / rows`` (600 bytes a pixel for 8). Images that would take
            more than 2 GiB keep to four.
        sweeps: at most so many with strips of either width; they end once they gain less than a
            thousandth of the gap. One takes 2 ms for 100x100 pixels and four rows, 10 ms for eight.

    Reference:
        Kolmogorov, "Convergent tree-reweighted message passing for energy minimization", PAMI 2006;
        the strips are the larger parts of Sontag et al., "Tightening LP relaxations for MAP using
        message passing", UAI 2008.
    """
    check_no_diagonals(model, "strips")
    unary, right, down, constant = _without_clamps(model)
    clamped_on = model.clamped & (model.unary > 0)
    cost = torch.ones_like(clamped_on, dtype=torch.int64)
    amount, at_most = None, False
    if limit is not None:
        amount = limit.amount.to(model.device) - limit.spent(clamped_on)
        at_most = limit.at_most
        if limit.cost is not None:
            cost = limit.cost
    cost = torch.where(model.clamped, 0, cost)
    turned = model.shape[1] > model.shape[2]
    if turned:
        unary, cost = unary.transpose(1, 2), cost.transpose(1, 2)
        right, down = down.transpose(1, 2), right.transpose(1, 2)
    bound, penalty, fewer, more, advantage, done = ops.strip_dual(
        unary, right, down, model.periodic, cost, amount, at_most, rows, sweeps
    )
    if turned:
        fewer, more, advantage = (t.transpose(1, 2) for t in (fewer, more, advantage))
    return StripDual(
        lower_bound=constant + bound,
        penalty=penalty,
        fewer=torch.where(model.clamped, clamped_on, fewer),
        more=torch.where(model.clamped, clamped_on, more),
        advantage=torch.where(model.clamped, 0.0, advantage),
        sweeps=done,
    )


def sweeps_within(time_limit_s: float | None, model: IsingGrid) -> int:
    """So many sweeps at most, to leave most of a time limit, for all images of the batch."""
    if time_limit_s is None:
        return MOST_SWEEPS
    sweeps = PIXELS_A_SECOND * time_limit_s / max(model.unary.numel(), 1)
    return int(min(max(sweeps, 1), MOST_SWEEPS))


def strip_bound(model: IsingGrid) -> Float[Tensor, " batch"]:
    """The bound of `strip_dual` after a few sweeps, (batch,) float64, for masks found otherwise."""
    return strip_dual(model, rows=FEW_ROWS, sweeps=FEW_SWEEPS).lower_bound


@dataclass(frozen=True, kw_only=True, eq=False)
class Strips(Method):
    """A mask read off the dual of overlapping strips, and its bound; often proven optimal.

    Args:
        rows: of the widest strips, 2 to 12: more take longer and leave smaller gaps. See
            `strip_dual`.
        sweeps: at most so many over each image with strips of either width.

    Example:
        >>> import torch, mrfmask as mm
        >>> square = mm.IsingGrid(torch.ones(1, 2, 2), torch.ones(1, 2, 1),
        ...                       torch.tensor([[[1.0, -1.0]]]))  # not all can be pleased
        >>> result = mm.Strips()(square)
        >>> result.energy, result.status[0].name
        (tensor([-6.], dtype=torch.float64), 'OPTIMAL')

    Reference:
        Kolmogorov, "Convergent tree-reweighted message passing for energy minimization", PAMI 2006.
    """

    rows: int = WIDE_ROWS
    sweeps: int = MOST_SWEEPS

    name: ClassVar = "strips"
    answers: ClassVar = ("map",)
    exact: ClassVar = False
    devices: ClassVar = ("cpu", "cuda")
    needs: ClassVar = "any signs"

    def __post_init__(self) -> None:
        check_count("rows", self.rows, least=2, most=MOST_ROWS)
        check_count("sweeps", self.sweeps, least=1)

    def find_map(self, model: IsingGrid) -> MapResult:
        """The best mask of all sweeps; OPTIMAL where its energy is the bound but for rounding."""
        self.check_model(model)
        dual = strip_dual(model, rows=self.rows, sweeps=self.sweeps)
        energy = model.energy(dual.fewer).detach()
        return MapResult(
            mask=dual.fewer,
            energy=energy,
            lower_bound=dual.lower_bound,
            status=proven_status(model, energy, dual.lower_bound),
            method=self.name,
            stats={"sweeps": dual.sweeps, "advantage": dual.advantage},
        )


def proven_status(
    model: IsingModel, energy: Float[Tensor, " batch"], lower_bound: Float[Tensor, " batch"]
) -> tuple[Status, ...]:
    """OPTIMAL where a bound is as high as the energy but for rounding, else HEURISTIC."""
    finite = torch.where(model.clamped, 0.0, model.unary)
    terms = (finite, *model.couplings.values())
    size = sum(t.detach().abs().double().flatten(1).sum(dim=1) for t in terms)
    proven = energy - lower_bound <= ROUNDING * (size + model.constant.detach().abs())
    return tuple(Status.OPTIMAL if p else Status.HEURISTIC for p in proven.tolist())


def _without_clamps(model: IsingGrid) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Potentials in float64 that clamped pixels have no part in, and what these add to the energy.

    Clamped pixels pull at their neighbours by unaries; their own potentials are 0.
    """
    clamped = model.clamped
    state = torch.where(clamped, model.unary.detach().sign(), 0.0).double()
    unary = torch.where(clamped, 0.0, model.unary.detach()).double()
    constant = model.constant.detach().double()
    size = unary.abs().sum(dim=(1, 2)) + constant.abs()
    couplings = []
    for dim, values in ((2, model.right), (1, model.down)):
        coupling = values.detach().double()
        size = size + coupling.abs().sum(dim=(1, 2))
        # The one and the other end of every coupling.
        one, other = (
            t.narrow(dim, 0, coupling.shape[dim]) for t in (state, state.roll(-1, dims=dim))
        )
        constant = constant - (coupling * one * other).sum(dim=(1, 2))
        pulls = torch.zeros_like(unary)
        pulls.narrow(dim, 0, coupling.shape[dim]).copy_(coupling * one)
        unary = unary + pulls.roll(1, dims=dim)
        unary.narrow(dim, 0, coupling.shape[dim]).add_(coupling * other)
        couplings.append(torch.where((one != 0) | (other != 0), 0.0, coupling))
    # The sums above are rounded, too.
    return unary.masked_fill(clamped, 0.0), *couplings, constant - 1e-15 * size

"""MAP of any model as an integer program: cutting planes, then HiGHS, CBC, ... to the end."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask.checks import check_mask
from mrfmask.graph import IsingGraph
from mrfmask.inference.annealing import Annealing
from mrfmask.inference.budget import Limit
from mrfmask.inference.cut_form import CutForm, FreeForm
from mrfmask.inference.cut_lp import NONE, SideRow
from mrfmask.inference.cut_relax import CLOSED, Relaxed, Tally, relax
from mrfmask.inference.cut_search import Found, minimise
from mrfmask.inference.ilp_highs import DUAL_TOLERANCE
from mrfmask.inference.ilp_program import Program, failure, make_solver, run_highs, run_other
from mrfmask.inference.method import Method, check_count, check_positive
from mrfmask.inference.quick_bound import quick_bound
from mrfmask.inference.roof_dual import roof_dual
from mrfmask.ising import IsingModel
from mrfmask.model import IsingGrid
from mrfmask.result import MapResult, Status

# The first linear program takes about this long to write for each site, and an integer program;
# no limit can stop it then.
LP_SECONDS_A_SITE, WRITING_SECONDS_A_SITE = 1e-5, 1e-4
# Pixel updates of the annealing before a limited run, for each second of its limit.
UPDATES_A_SECOND = 1e8
# A solver drops a branch that could better its mask by less than this (HiGHS 1e-6, CBC 1e-5),
CUTOFF = 1e-5
# and a reduced cost may have the wrong sign by this, in solvers other than HiGHS.
USUAL_DUAL_TOLERANCE = 1e-6
# An integer may be off by this, which moves the objective of the solver's own solution.
INTEGER_TOLERANCE = 1e-6
# Of the time, what the linear programs before a program for another solver may take.
LP_SHARE = 0.5

# What stats tell of each image, beside the solver: sites that roof duality settled, variables and
# constraints of the largest program, inequalities found and linear programs solved. "bound" is who
# proved the lower bound: "solver", "strips" or "terms" (roof duality). "rounding" is what was taken
# off "solver_bound" for tolerances.
FACTS = (
    *("settled", "variables", "constraints", "cuts", "rounds"),
    *("seconds", "bound", "solver_bound", "rounding"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Ilp(Method):
    r"""An integer program, for any signs; proves its mask optimal or says how far it may be off.

    ``min sum_i u_i y_i + sum_ij c_ij z_ij`` over ``y_i`` in {0, 1}, where ``u = -2 unary``,
    ``c = 2 pairwise`` and ``z_ij = |y_i - y_j|``. With a root in state 0 that is joined to every
    site, ``y_i`` is such a z as well, and the z are the edges of a cut: those with

    ``sum_F z - sum_(C without F) z <= |F| - 1`` for all cycles C and odd sets F of their edges.

    Roof duality settles some sites of a frustrated model. Linear programs over ``0 <= z <= 1`` for
    the others start with none of these inequalities and add those that their solutions violate.
    Where no violated one is left and the bound is below the best mask, variables are fixed by their
    reduced costs, sites that follow from each other become one, parts that no coupling joins go
    their own way, and an integer program with all inequalities found is the end of it. Other
    solvers than HiGHS get all of the model as one such program, and so does HiGHS with a limit.
    Clamped sites are no variables.

    Args:
        solver: "HiGHS", "CBC", or the name that PuLP has for another installed solver.
        time_limit_s: seconds for the whole batch; each image gets an even share of what is left.
        rounds: linear programs for each image, at least 1, and no integer program after them: a
            limit of the same effect on every machine. For HiGHS without `limit`. None: no limit.
        start: (batch, height, width) or (batch, nodes) bool, a mask to start from, where the solver
            can; clamped sites in it are ignored. The result is never worse than it. None: annealing
            gives one of a grid if there is a time limit.
        limit: on the pixels of every image of a grid: only masks within it are looked at, and
            `start` must be one. None: any mask.

    Raises:
        ValueError: PuLP knows no such solver.
        RuntimeError: the solver is not installed, or it failed.

    Example:
        >>> import torch, mrfmask as mm
        >>> model = mm.IsingGrid(torch.tensor([[[1.0, 0.5]]]), torch.tensor([[[-2.0]]]),
        ...                      torch.zeros(1, 0, 2))
        >>> mm.Ilp().find_map(model).mask
        tensor([[[ True, False]]])

    Reference:
        Barahona, Groetschel, Juenger and Reinelt, "An application of combinatorial optimization
        to statistical physics and circuit layout design", Operations Research 1988; Liers, Juenger,
        Reinelt and Rinaldi, "Computing exact ground states of hard Ising spin glass problems by
        branch-and-cut", New Optimization Algorithms in Physics 2004.
    """

    solver: str = "HiGHS"
    time_limit_s: float | None = None
    rounds: int | None = None
    start: Bool[Tensor, "batch ..."] | None = None
    limit: Limit | None = None

    name: ClassVar = "ilp"
    answers: ClassVar = ("map",)
    exact: ClassVar = True
    devices: ClassVar = ("cpu", "cuda")
    needs: ClassVar = "any signs"
    graphs: ClassVar = True

    def __post_init__(self) -> None:
        if not isinstance(self.solver, str):
            raise TypeError(
                f"solver must be a str; got {type(self.solver).__name__}. Use 'HiGHS' or 'CBC'."
            )
        if self.time_limit_s is not None:
            check_positive("time_limit_s", self.time_limit_s)
        if self.rounds is not None:
            check_count("rounds", self.rounds, 1)
            if self.solver != "HiGHS" or self.limit is not None:
                raise ValueError(
                    f"rounds must be None for {self.solver} and with a limit; got {self.rounds}. "
                    "Use time_limit_s."
                )

    def find_map(self, model: IsingModel) -> MapResult:
        """A mask of minimum energy, or the best one found in time, with a lower bound."""
        began = time.monotonic()
        self.check_model(model)
        if self.start is not None:
            check_mask("start", self.start, model.shape, model.device)
        make_solver(self.solver, self.time_limit_s)  # Raises before the work if it cannot.
        starts = self.start
        if self.limit is not None:
            self._check_limit()
        elif starts is None and self.time_limit_s is not None and isinstance(model, IsingGrid):
            # Solvers can take long to find any good mask by themselves.
            sweeps = UPDATES_A_SECOND * self.time_limit_s / max(model.unary.numel(), 1)
            starts = Annealing(sweeps=int(min(max(sweeps, 1), 1000))).find_map(model).mask
        host = model.to("cpu")  # where solvers run
        starts = None if starts is None else starts.cpu()
        limits = None if self.limit is None else self.limit.to("cpu")
        answers = []
        for image in range(len(model)):
            seconds = math.inf
            if self.time_limit_s is not None:
                left = self.time_limit_s - (time.monotonic() - began)
                seconds = max(left, 0.0) / (len(model) - image)
            start = None if starts is None else starts[image : image + 1]
            limit = None if limits is None else limits[image : image + 1]
            answers.append(
                _solve_image(host[image], self.solver, seconds, self.rounds, start, limit)
            )
        mask = torch.cat([host.clamped[:0], *(answer.mask for answer in answers)]).to(model.device)
        facts = {key: tuple(answer.facts[key] for answer in answers) for key in FACTS}
        return MapResult(
            mask=mask,
            energy=model.energy(mask).detach(),
            lower_bound=model.constant.new_tensor([answer.lower_bound for answer in answers]),
            status=tuple(answer.status for answer in answers),
            method=self.name,
            stats={"solver": self.solver, **facts},
        )

    def _check_limit(self) -> None:
        if self.start is None or not self.limit.allows(self.start).all():
            spent = None if self.start is None else self.limit.spent(self.start).tolist()
            raise ValueError(
                f"start must keep the limit, {self.limit.amount.tolist()}; got {spent}. Use "
                "find_map(model, budget=..., method='ilp'), which finds a start."
            )


@dataclass(frozen=True, kw_only=True)
class _Answer:
    mask: Bool[Tensor, "1 ..."]
    lower_bound: float
    status: Status
    facts: dict[str, Any]


def _solve_image(
    model: IsingModel,
    solver: str,
    seconds: float,
    rounds: int | None,
    start: Tensor | None,
    limit: Limit | None,
) -> _Answer:
    """Writes, solves and reads the programs of one image (a batch of one) within `seconds`."""
    began = time.monotonic()
    deadline = began + seconds
    form, tally = FreeForm(model), Tally(most_rounds=rounds)
    known = form.cut.linear < 0
    if start is not None:
        own = form.states(start)
        if limit is not None or form.cut.energy(own) <= form.cut.energy(known):
            known = own
    if seconds < LP_SECONDS_A_SITE * form.cut.nodes:
        found, status = Found(y=known, bound=-math.inf, proven=False), Status.TIME_LIMIT
    elif solver == "HiGHS" and limit is None:
        found = minimise(form.cut, known, deadline, _finish, tally)
        status = Status.OPTIMAL
        if not found.proven:
            status = Status.TIME_LIMIT if rounds is None else Status.HEURISTIC
    else:
        side = None if limit is None else _side_row(form, limit)
        found, status = _whole_program(form.cut, known, deadline, solver, side, tally)
    mask = form.mask(found.y)
    energy = float(model.energy(mask).detach())
    quick = None
    if status is not Status.OPTIMAL:
        quick = _quick(model)
        if limit is None and quick.mask is not None:
            other_energy = float(model.energy(quick.mask).detach())
            if other_energy < energy:
                mask, energy = quick.mask, other_energy
    # The bound may be too high by `rounding`; an accepted solution, by `excess`.
    rounding = tally.tolerance / form.scale + form.precision
    excess = rounding + INTEGER_TOLERANCE * form.weight
    solver_bound = form.offset + found.bound / form.scale
    if solver_bound > energy + excess:
        raise failure(solver, f"the bound {solver_bound} for a mask of energy {energy}")
    bound, prover = min(solver_bound, energy) - rounding, "solver"
    if quick is not None:
        bound, prover = max((bound, prover), (quick.bound, quick.prover))
    seconds = time.monotonic() - began
    work = (tally.settled, tally.variables, tally.constraints, tally.cuts, tally.rounds)
    facts = (*work, seconds, prover)
    return _Answer(
        mask=mask,
        lower_bound=bound,
        status=status,
        facts=dict(zip(FACTS, (*facts, solver_bound, rounding), strict=True)),
    )


@dataclass(frozen=True, kw_only=True)
class _Quick:
    bound: float
    prover: str
    mask: Bool[Tensor, "1 ..."] | None


def _quick(model: IsingModel) -> _Quick:
    """What is known without a program: of a graph its roof dual, on 64-bit integers like qpbo's."""
    if isinstance(model, IsingGraph):
        dual = roof_dual(model)
        return _Quick(bound=float(dual.lower_bound), prover="terms", mask=dual.mask)
    return _Quick(bound=float(quick_bound(model)), prover="strips", mask=None)


def _side_row(form: FreeForm, limit: Limit) -> SideRow:
    cost = torch.ones_like(form.base).long() if limit.cost is None else limit.cost
    return SideRow(
        cost=cost.flatten().numpy()[form.free].astype(np.float64),
        amount=float(limit.amount - limit.spent(form.base)),
        at_most=limit.at_most,
    )


def _finish(form: CutForm, relaxed: Relaxed, deadline: float, tally: Tally) -> Found:
    """What linear programs leave open, as an integer program for HiGHS."""
    y, lp = relaxed.y, relaxed.lp
    late = time.monotonic() + WRITING_SECONDS_A_SITE * form.nodes >= deadline
    if late or tally.most_rounds is not None:
        return Found(y=y, bound=lp.bound, proven=False)
    program = Program(form, cuts=lp.cuts)
    if not lp.rooted:  # All states may be turned: one of them is given.
        y = y ^ y[0]
        program.on[0].upBound = 0
    program.begin_at(y)
    gap = max(relaxed.step - 2 * CUTOFF, 0.0)
    bound, status = run_highs(program, deadline, started=True, gap=gap)
    _count(program, DUAL_TOLERANCE, tally)
    found, bound = program.read(form.nodes), max(bound, lp.bound)
    y = found if form.energy(found) < relaxed.value else relaxed.y
    value, proven = form.energy(y), status is Status.OPTIMAL
    if gap and value - bound <= gap:  # No energy lies between the two.
        bound, proven = value, True
    return Found(y=y, bound=bound, proven=proven)


def _whole_program(
    form: CutForm,
    known: Bool[np.ndarray, " nodes"],
    deadline: float,
    solver: str,
    side: SideRow | None,
    tally: Tally,
) -> tuple[Found, Status]:
    """All of a form as one integer program for a solver, with the inequalities of its relaxation.

    With a side row the known states must keep to it.
    """
    y, value, bound, cuts = known, form.energy(known), -math.inf, NONE
    if not form.is_balanced():
        now = time.monotonic()
        relaxed = relax(form, known, now + LP_SHARE * (deadline - now), tally, side)
        y, value, bound, cuts = relaxed.y, relaxed.value, relaxed.lp.bound, relaxed.lp.cuts
        if solver == "HiGHS" and relaxed.closed:
            tally.tolerance += CLOSED
            return Found(y=y, bound=relaxed.bound, proven=True), Status.OPTIMAL
    status = Status.TIME_LIMIT
    if time.monotonic() + WRITING_SECONDS_A_SITE * form.nodes >= deadline:
        return Found(y=y, bound=bound, proven=False), status
    program = Program(form, side, cuts)
    if not program.on:
        return Found(y=y & False, bound=form.offset, proven=True), Status.OPTIMAL
    program.begin_at(y)
    if solver == "HiGHS":
        objective, status = run_highs(program, deadline, started=True)
    else:
        objective, status = run_other(program, solver, deadline, started=True)
    _count(program, DUAL_TOLERANCE if solver == "HiGHS" else USUAL_DUAL_TOLERANCE, tally)
    # Any states are a mask, whether the solver had finished with them or not.
    found = program.read(form.nodes)
    keeps = side is None or side.allows(found)
    if keeps and (status is Status.OPTIMAL or form.energy(found) < value):
        y = found
    return Found(y=y, bound=max(objective, bound), proven=status is Status.OPTIMAL), status


def _count(program: Program, dual_tolerance: float, tally: Tally) -> None:
    tally.variables = max(tally.variables, program.variables)
    tally.constraints = max(tally.constraints, program.problem.numConstraints())
    tally.tolerance += CUTOFF + dual_tolerance * program.variables

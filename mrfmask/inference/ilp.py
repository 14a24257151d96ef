"""MAP of any model as an integer program, written with PuLP and solved by HiGHS, CBC, ..."""

from __future__ import annotations

import inspect
import math
import threading
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask.checks import check_mask
from mrfmask.inference.annealing import Annealing
from mrfmask.inference.budget import Limit
from mrfmask.inference.cut_form import CutForm
from mrfmask.inference.method import Method, check_positive
from mrfmask.inference.strips import strip_bound
from mrfmask.model import IsingGrid
from mrfmask.result import MapResult, Status

# A program takes about this long to write and to hand to the solver; no limit can stop it then.
WRITING_SECONDS_A_PIXEL = 1e-4
# Pixel updates of the annealing before a limited run, for each second of its limit.
UPDATES_A_SECOND = 1e8
# A solver drops a branch that could better its mask by less than this (HiGHS 1e-6, CBC 1e-5),
CUTOFF = 1e-5
# and a reduced cost may have the wrong sign by this: so much for each variable, all in [0, 1].
HIGHS_DUAL_TOLERANCE = 1e-9
USUAL_DUAL_TOLERANCE = 1e-6
# An integer may be off by this, which moves the objective of the solver's own solution.
INTEGER_TOLERANCE = 1e-6

# What stats tell of each image, beside the solver: "bound" is who proved the lower bound, "solver"
# or "strips" (strip_bound); "rounding" is what was taken off "solver_bound" for the tolerances.
FACTS = ("variables", "constraints", "seconds", "bound", "solver_bound", "rounding")


@dataclass(frozen=True, kw_only=True, eq=False)
class Ilp(Method):
    r"""An integer program, for any signs; proves its mask optimal or says how far it may be off.

    ``min sum_i u_i y_i + sum_ij c_ij z_ij`` over ``y_i`` in {0, 1} and ``z_ij`` in [0, 1], where
    ``u = -2 unary``, ``c = 2 pairwise`` and ``z_ij = |y_i - y_j|``: for ``c > 0`` by
    ``z >= y_i - y_j`` and ``z >= y_j - y_i``, for ``c < 0`` by ``z <= y_i + y_j`` and
    ``z <= 2 - y_i - y_j``. Clamped pixels are no variables.

    Around a square of four couplings of which an odd number is repulsive, at least one coupling is
    violated: ``sum_(c<0) z - sum_(c>0) z <= (repulsive couplings) - 1``. These cuts are added too.

    Args:
        solver: "HiGHS", "CBC", or the name that PuLP has for another installed solver.
        time_limit_s: seconds for the whole batch; each image gets an even share of what is left.
        start: (batch, height, width) bool, a mask to start from, where the solver can; clamped
            pixels in it are ignored. The result is never worse than it. None: annealing gives one
            if there is a time limit.
        limit: on the pixels of every image: only masks within it are looked at, and `start` must be
            one. None: any mask.

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
        to statistical physics and circuit layout design", Operations Research 1988.
    """

    solver: str = "HiGHS"
    time_limit_s: float | None = None
    start: Bool[Tensor, "batch height width"] | None = None
    limit: Limit | None = None

    name: ClassVar = "ilp"
    answers: ClassVar = ("map",)
    exact: ClassVar = True
    devices: ClassVar = ("cpu", "cuda")
    needs: ClassVar = "any signs"

    def __post_init__(self) -> None:
        if not isinstance(self.solver, str):
            raise TypeError(
                f"solver must be a str; got {type(self.solver).__name__}. Use 'HiGHS' or 'CBC'."
            )
        if self.time_limit_s is not None:
            check_positive("time_limit_s", self.time_limit_s)

    def find_map(self, model: IsingGrid) -> MapResult:
        """A mask of minimum energy, or the best one found in time, with a lower bound."""
        began = time.monotonic()
        self.check_model(model)
        if self.start is not None:
            check_mask("start", self.start, model.shape, model.device)
        _make_solver(self.solver, self.time_limit_s)  # Raises before the work if it cannot.
        starts = self.start
        if self.limit is not None:
            self._check_limit()
        elif starts is None and self.time_limit_s is not None:
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
            answers.append(_solve_image(host[image], self.solver, seconds, start, limit))
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
    mask: Bool[Tensor, "1 height width"]
    lower_bound: float
    status: Status
    facts: dict[str, Any]


class _Program:
    """The integer program of one image in PuLP: `problem`, and its variables `on` and `differ`."""

    def __init__(self, form: CutForm, limit: Limit | None) -> None:
        import pulp

        self.problem = pulp.LpProblem("mrfmask", pulp.LpMinimize)
        add = self.problem.add_variable
        pixels = sorted({*form.linear, *(pixel for pair in form.pairs for pixel in pair)})
        if limit is not None:
            pixels = form.free.tolist()
        self.on = {p: add(f"y{p}", 0, 1, pulp.LpInteger) for p in pixels}
        self.differ = {pair: add(f"z{pair[0]}_{pair[1]}", 0, 1) for pair in form.pairs}
        # Dictionaries of coefficients: PuLP's operators are ten times slower.
        objective = {self.on[p]: u * form.scale for p, u in form.linear.items()}
        objective |= {self.differ[pair]: c * form.scale for pair, c in form.pairs.items()}
        self.problem += pulp.LpAffineExpression(objective)
        for (i, j), c in form.pairs.items():
            y_i, y_j, z = self.on[i], self.on[j], self.differ[i, j]
            if c > 0:
                self._require({z: 1, y_i: -1, y_j: 1}, pulp.LpConstraintGE, 0)
                self._require({z: 1, y_i: 1, y_j: -1}, pulp.LpConstraintGE, 0)
            else:
                self._require({z: 1, y_i: -1, y_j: -1}, pulp.LpConstraintLE, 0)
                self._require({z: 1, y_i: 1, y_j: 1}, pulp.LpConstraintLE, 2)
        if limit is not None:
            cost = torch.ones_like(form.base).long() if limit.cost is None else limit.cost
            terms = zip(self.on.values(), cost.flatten()[form.free].tolist(), strict=True)
            sense = pulp.LpConstraintLE if limit.at_most else pulp.LpConstraintEQ
            self._require(dict(terms), sense, int(limit.amount - limit.spent(form.base)))
        for signs in form.odd_squares():
            terms = {self.differ[pair]: sign for pair, sign in signs.items()}
            self._require(terms, pulp.LpConstraintLE, sum(s > 0 for s in signs.values()) - 1)

    def _require(self, terms: dict[Any, int], sense: int, right_side: int) -> None:
        import pulp

        constraint = pulp.LpConstraint(pulp.LpAffineExpression(terms), sense, rhs=right_side)
        self.problem.addConstraint(constraint)

    def begin_at(self, mask: Bool[Tensor, "1 height width"]) -> None:
        states = mask.flatten().tolist()
        for pixel, variable in self.on.items():
            variable.setInitialValue(int(states[pixel]))
        for (i, j), variable in self.differ.items():
            variable.setInitialValue(int(states[i] != states[j]))

    def read_mask(self, base: Bool[Tensor, "1 height width"]) -> Bool[Tensor, "1 height width"]:
        """`base`, and on where variables are; pixels that the energy ignores have none."""
        mask = base.clone(memory_format=torch.contiguous_format)
        on = [pixel for pixel, v in self.on.items() if (v.varValue or 0.0) > 0.5]
        mask.view(-1)[on] = True
        return mask


def _solve_image(
    model: IsingGrid, solver: str, seconds: float, start: Tensor | None, limit: Limit | None
) -> _Answer:
    """Writes, solves and reads the program of one image (a batch of one) within `seconds`."""
    began = time.monotonic()
    if seconds < WRITING_SECONDS_A_PIXEL * int((~model.clamped).sum()):
        return _without_solver(model, start, limit, began)
    form = CutForm(model)
    program = _Program(form, limit)
    if start is not None:
        start = torch.where(model.clamped, form.base, start)
        program.begin_at(start)
    if not program.on:
        objective, status = 0.0, Status.OPTIMAL
    elif time.monotonic() >= began + seconds:
        objective, status = -math.inf, Status.TIME_LIMIT
    elif solver == "HiGHS":
        objective, status = _run_highs(program, began + seconds, start is not None)
    else:
        objective, status = _run_other(program, solver, began + seconds, start is not None)
    # Any states are a mask, whether the solver had finished with them or not.
    candidates = [program.read_mask(form.base)]
    if status is not Status.OPTIMAL:
        candidates += [model.unary > 0] if start is None else [start, model.unary > 0]
    if limit is not None:
        candidates = [mask for mask in (*candidates, start) if limit.allows(mask).all()]
    energies = [float(model.energy(mask).detach()) for mask in candidates]
    energy = min(energies)
    # The bound may be too high by `rounding`; an accepted solution, by `excess`.
    dual_tolerance = HIGHS_DUAL_TOLERANCE if solver == "HiGHS" else USUAL_DUAL_TOLERANCE
    variables = len(program.on) + len(program.differ)
    rounding = (CUTOFF + dual_tolerance * variables) / form.scale + form.precision
    excess = rounding + INTEGER_TOLERANCE * form.weight
    solver_bound = form.offset + objective / form.scale
    if solver_bound > energy + excess:
        raise _failure(solver, f"the bound {solver_bound} for a mask of energy {energy}")
    bound, prover = min(solver_bound, energy) - rounding, "solver"
    if status is not Status.OPTIMAL:
        bound, prover = max((bound, prover), (float(strip_bound(model)), "strips"))
    seconds = time.monotonic() - began
    constraints = program.problem.numConstraints()
    facts = (variables, constraints, seconds, prover, solver_bound, rounding)
    return _Answer(
        mask=candidates[energies.index(energy)],
        lower_bound=bound,
        status=status,
        facts=dict(zip(FACTS, facts, strict=True)),
    )


def _without_solver(
    model: IsingGrid, start: Tensor | None, limit: Limit | None, began: float
) -> _Answer:
    """The better of the start and the sign of the unary: there is no time to write the program."""
    mask = model.unary > 0
    if start is not None:
        start = torch.where(model.clamped, mask, start)
        if limit is not None or bool(model.energy(start) < model.energy(mask)):
            mask = start
    seconds = time.monotonic() - began
    facts = (0, 0, seconds, "strips", -math.inf, 0.0)
    return _Answer(
        mask=mask,
        lower_bound=float(strip_bound(model)),
        status=Status.TIME_LIMIT,
        facts=dict(zip(FACTS, facts, strict=True)),
    )


def _run_highs(program: _Program, deadline: float, started: bool) -> tuple[float, Status]:
    """HiGHS, filled by PuLP; run and read here, as PuLP calls a time limit optimal."""
    import highspy
    import pulp

    # One thread: a pool of more hangs in processes forked from this one.
    solver = pulp.HiGHS(msg=False, gapRel=0.0, gapAbs=0.0, threads=1)
    solver.createAndConfigureSolver(program.problem)
    solver.buildSolverModel(program.problem)
    highs = program.problem.solverModel
    # The integer tolerance stays: with a smaller one HiGHS's heuristics find far worse masks.
    highs.setOptionValue("dual_feasibility_tolerance", HIGHS_DUAL_TOLERANCE)
    columns = program.problem.variables()
    if started:  # PuLP does not pass it on.
        solution = highspy.HighsSolution()
        solution.col_value = [variable.varValue for variable in columns]
        highs.setSolution(solution)
    if deadline < math.inf:
        highs.setOptionValue("time_limit", max(deadline - time.monotonic(), 0.0))
    _run_interruptibly(highs)
    known = highspy.HighsModelStatus
    reasons = {known.kOptimal: Status.OPTIMAL, known.kTimeLimit: Status.TIME_LIMIT}
    reason = highs.getModelStatus()
    if reason not in reasons:
        raise _failure("HiGHS", repr(highs.modelStatusToString(reason)))
    # Without a solution the list is empty.
    for variable, value in zip(columns, highs.getSolution().col_value, strict=False):
        variable.varValue = value
    return highs.getInfo().mip_dual_bound, reasons[reason]


def _run_interruptibly(highs: Any) -> None:
    """Runs HiGHS so that Ctrl-C stops it.

    In a thread of its own: the calling thread stays free to take the signal, and the scheduler that
    HiGHS keeps for each thread is neither shared with other users of HiGHS nor left to forks.
    """
    import highspy

    # Not Thread.join: interrupted, it takes a running thread for a finished one (Python 3.11).
    done = threading.Event()

    def run() -> None:
        try:
            highs.run()
            highspy.Highs.resetGlobalScheduler(True)
        finally:
            done.set()

    highs.HandleUserInterrupt = True
    threading.Thread(target=run).start()
    try:
        while not done.wait(timeout=0.1):
            pass
    except KeyboardInterrupt:
        highs.cancelSolve()
        done.wait()
        raise


def _run_other(
    program: _Program, name: str, deadline: float, started: bool
) -> tuple[float, Status]:
    """Any other solver, by what all of PuLP's solvers have in common."""
    import pulp

    limit = None if deadline == math.inf else max(deadline - time.monotonic(), 0.01)
    solver = _make_solver(name, limit, started)
    try:
        program.problem.solve(solver)
    except Exception as error:
        raise _failure(name, f"{type(error).__name__}: {error}") from error
    reason = program.problem.sol_status
    # Some report a reached limit as optimal, some stop at a gap that PuLP cannot set.
    if reason == pulp.LpSolutionOptimal and time.monotonic() < deadline:
        status = Status.OPTIMAL if "gapRel" in _parameters(solver) else Status.HEURISTIC
    elif limit is not None:
        status = Status.TIME_LIMIT
    else:
        raise _failure(name, repr(pulp.LpSolution[reason]))
    # A proven objective is its own bound; PuLP tells no other.
    proven = status is Status.OPTIMAL
    return (pulp.value(program.problem.objective) if proven else -math.inf), status


def _failure(name: str, what: str) -> RuntimeError:
    return RuntimeError(f"solver must solve the program; got {what} from {name}. Try another one.")


def _make_solver(name: str, limit: float | None = None, started: bool = False) -> Any:
    """A quiet solver of PuLP that stops at no gap, with those options that its class has."""
    import pulp

    if name not in ("HiGHS", "CBC", *pulp.listSolvers()):
        installed = ", ".join(map(repr, pulp.listSolvers(onlyAvailable=True)))
        raise ValueError(
            f"solver must be 'HiGHS', 'CBC' or a solver that PuLP knows; got {name!r}. "
            f"Installed are {installed}."
        )
    known = name
    if name == "CBC":
        known = "COIN_CMD" if pulp.COIN_CMD(msg=False).available() else "PULP_CBC_CMD"
    options = {"timeLimit": limit, "gapRel": 0.0, "gapAbs": 0.0, "warmStart": started}
    with warnings.catch_warnings():
        # The CBC that comes with PuLP is to be a package of its own from PuLP 4 on.
        warnings.simplefilter("ignore", DeprecationWarning)
        accepted = _parameters(pulp.getSolver(known, msg=False))
        options = {key: value for key, value in options.items() if key in accepted}
        solver = pulp.getSolver(known, msg=False, **options)
    if limit is not None and "timeLimit" not in accepted:
        raise ValueError(
            f"time_limit_s must be None for {name}; got {limit}. PuLP cannot pass one on to it."
        )
    if not solver.available():
        raise RuntimeError(
            f"solver must be installed; got {name!r}, which is not. Use 'HiGHS', or install it."
        )
    return solver


def _parameters(solver: Any) -> Mapping[str, inspect.Parameter]:
    """The options that a solver's class has by name."""
    return inspect.signature(type(solver).__init__).parameters

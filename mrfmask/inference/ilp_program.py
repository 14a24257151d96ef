"""An integer program written with PuLP, and the solvers that PuLP knows."""

from __future__ import annotations

import inspect
import math
import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool

from mrfmask.inference.cut_form import CutForm
from mrfmask.inference.cut_lp import NONE, Cycles, SideRow
from mrfmask.inference.ilp_highs import DUAL_TOLERANCE, run_interruptibly
from mrfmask.result import Status


class Program:
    """A form as an integer program: `problem`, and its variables `on` and `differ`.

    Only nodes that matter have a variable, unless there is a side row.
    """

    def __init__(self, form: CutForm, side: SideRow | None = None, cuts: Cycles = NONE) -> None:
        import pulp

        self.problem = pulp.LpProblem("mrfmask", pulp.LpMinimize)
        add = self.problem.add_variable
        self.pairs = list(map(tuple, form.pairs.tolist()))
        linear, weight = form.linear.tolist(), form.weight.tolist()
        matters = (form.linear != 0) | (side is not None)
        matters[form.pairs] = True
        self.on = {i: add(f"y{i}", 0, 1, pulp.LpInteger) for i in np.flatnonzero(matters).tolist()}
        self.differ = [add(f"z{i}_{j}", 0, 1) for i, j in self.pairs]
        # Dictionaries of coefficients: PuLP's operators are ten times slower.
        objective = {self.on[i]: u for i, u in enumerate(linear) if u}
        objective |= dict(zip(self.differ, weight, strict=True))
        self.problem += pulp.LpAffineExpression(objective)
        for (i, j), c, z in zip(self.pairs, weight, self.differ, strict=True):
            y_i, y_j = self.on[i], self.on[j]
            if c > 0:
                self._require({z: 1, y_i: -1, y_j: 1}, pulp.LpConstraintGE, 0)
                self._require({z: 1, y_i: 1, y_j: -1}, pulp.LpConstraintGE, 0)
            else:
                self._require({z: 1, y_i: -1, y_j: -1}, pulp.LpConstraintLE, 0)
                self._require({z: 1, y_i: 1, y_j: 1}, pulp.LpConstraintLE, 2)
        if side is not None:
            terms = zip(self.on.values(), map(int, side.cost), strict=True)
            sense = pulp.LpConstraintLE if side.at_most else pulp.LpConstraintEQ
            self._require(dict(terms), sense, int(side.amount))
        columns = [*self.differ, *(self.on.get(i) for i in range(form.nodes))]
        for k, right_side in enumerate(cuts.right_side.tolist()):
            entries = slice(cuts.start[k], cuts.start[k + 1])
            edges, signs = cuts.edge[entries].tolist(), cuts.sign[entries].tolist()
            terms = {columns[e]: int(s) for e, s in zip(edges, signs, strict=True)}
            self._require(terms, pulp.LpConstraintLE, int(right_side))

    def _require(self, terms: dict[Any, int], sense: int, right_side: int) -> None:
        import pulp

        constraint = pulp.LpConstraint(pulp.LpAffineExpression(terms), sense, rhs=right_side)
        self.problem.addConstraint(constraint)

    @property
    def variables(self) -> int:
        """How many it has."""
        return len(self.on) + len(self.differ)

    def begin_at(self, y: Bool[np.ndarray, " nodes"]) -> None:
        """States for the solver to start from."""
        states = y.tolist()
        for i, variable in self.on.items():
            variable.setInitialValue(int(states[i]))
        for (i, j), variable in zip(self.pairs, self.differ, strict=True):
            variable.setInitialValue(int(states[i] != states[j]))

    def read(self, nodes: int) -> Bool[np.ndarray, " nodes"]:
        """The solver's states; nodes that the energy ignores are off."""
        y = np.zeros(nodes, dtype=bool)
        y[[i for i, v in self.on.items() if (v.varValue or 0.0) > 0.5]] = True
        return y


def run_highs(
    program: Program, deadline: float, started: bool, gap: float = 0.0
) -> tuple[float, Status]:
    """HiGHS, filled by PuLP; run and read here, as PuLP calls a time limit optimal.

    Returns:
        A lower bound; OPTIMAL if the program's states are above it by no more than `gap`.
    """
    import highspy
    import pulp

    # One thread: a pool of more hangs in processes forked from this one.
    solver = pulp.HiGHS(msg=False, gapRel=0.0, gapAbs=gap, threads=1)
    solver.createAndConfigureSolver(program.problem)
    solver.buildSolverModel(program.problem)
    highs = program.problem.solverModel
    # The integer tolerance stays: with a smaller one HiGHS's heuristics find far worse masks.
    highs.setOptionValue("dual_feasibility_tolerance", DUAL_TOLERANCE)
    columns = program.problem.variables()
    if started:  # PuLP does not pass it on.
        solution = highspy.HighsSolution()
        solution.col_value = [variable.varValue for variable in columns]
        highs.setSolution(solution)
    if deadline < math.inf:
        highs.setOptionValue("time_limit", max(deadline - time.monotonic(), 0.0))
    run_interruptibly(highs)
    known = highspy.HighsModelStatus
    reasons = {known.kOptimal: Status.OPTIMAL, known.kTimeLimit: Status.TIME_LIMIT}
    reason = highs.getModelStatus()
    if reason not in reasons:
        raise failure("HiGHS", repr(highs.modelStatusToString(reason)))
    # Without a solution the list is empty.
    for variable, value in zip(columns, highs.getSolution().col_value, strict=False):
        variable.varValue = value
    return highs.getInfo().mip_dual_bound, reasons[reason]


def run_other(program: Program, name: str, deadline: float, started: bool) -> tuple[float, Status]:
    """Any other solver, by what all of PuLP's solvers have in common."""
    import pulp

    limit = None if deadline == math.inf else max(deadline - time.monotonic(), 0.01)
    solver = make_solver(name, limit, started)
    try:
        program.problem.solve(solver)
    except Exception as error:
        raise failure(name, f"{type(error).__name__}: {error}") from error
    reason = program.problem.sol_status
    # Some report a reached limit as optimal, some stop at a gap that PuLP cannot set.
    if reason == pulp.LpSolutionOptimal and time.monotonic() < deadline:
        status = Status.OPTIMAL if "gapRel" in _parameters(solver) else Status.HEURISTIC
    elif limit is not None:
        status = Status.TIME_LIMIT
    else:
        raise failure(name, repr(pulp.LpSolution[reason]))
    # A proven objective is its own bound; PuLP tells no other.
    proven = status is Status.OPTIMAL
    return (pulp.value(program.problem.objective) if proven else -math.inf), status


def failure(name: str, what: str) -> RuntimeError:
    """What to raise when a solver fails."""
    return RuntimeError(f"solver must solve the program; got {what} from {name}. Try another one.")


def make_solver(name: str, limit: float | None = None, started: bool = False) -> Any:
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

from __future__ import annotations

import _thread
import math
import re
import signal
import subprocess
import sys
import threading
import time

import highspy
import numpy as np
import pulp
import pytest
import torch
from hypothesis import given
from oracles import energy_of, enumerate_image
from strategies import grids, random_grid

from mrfmask.graph import IsingGraph
from mrfmask.inference.ilp import Ilp
from mrfmask.model import IsingGrid
from mrfmask.result import Status

SOLVERS = ["HiGHS", "CBC"]


def frustrated(side, images=1):
    """Couplings of -1 and +1 at random on a torus: work for seconds if the side is 60."""
    shape = (images, side, side)
    generator = torch.Generator().manual_seed(0)
    right, down = (torch.randint(2, shape, generator=generator) * 2.0 - 1 for _ in range(2))
    field = 0.1 * torch.randn(shape, generator=generator)
    return IsingGrid(field, right, down, periodic=True)


def complete(nodes):
    """Repulsive couplings between all nodes, for which odd cycles leave a gap."""
    generator = torch.Generator().manual_seed(0)
    edges = torch.combinations(torch.arange(nodes))
    pairwise = -1 - 0.2 * torch.rand(1, len(edges), generator=generator, dtype=torch.float64)
    return IsingGraph(torch.zeros(1, nodes, dtype=torch.float64), edges, pairwise)


def descended(model):
    """The energy of a mask that no flip of one pixel betters, by the definition."""
    _, height, width = model.shape
    x = np.where(model.unary[0].numpy() > 0, 1.0, -1.0)
    unary, right, down = (t[0].double().numpy() for t in (model.unary, model.right, model.down))
    changed = True
    while changed:
        changed = False
        for y in range(height):
            for c in range(width):
                pull = unary[y, c] + right[y, c] * x[y, (c + 1) % width]
                pull += right[y, c - 1] * x[y, c - 1] + down[y - 1, c] * x[y - 1, c]
                pull += down[y, c] * x[(y + 1) % height, c]
                if pull * x[y, c] < 0:
                    x[y, c] = -x[y, c]
                    changed = True
    return energy_of(model, 0, x > 0)


@pytest.mark.parametrize("solver", SOLVERS)
@given(model=grids())
def test_ilp_finds_the_minimum_and_bounds_it(solver, model):
    minimum = enumerate_image(model).minimum()
    result = Ilp(solver=solver).find_map(model)
    assert result.status == (Status.OPTIMAL,)
    assert result.energy.item() == pytest.approx(minimum, rel=1e-12, abs=1e-9)
    assert result.energy.item() == pytest.approx(energy_of(model, 0, result.mask[0].numpy()))
    assert result.lower_bound.item() <= minimum
    assert result.gap.item() <= 2 * result.stats["rounding"][0]
    assert result.stats["rounding"][0] <= 1e-4
    assert result.verify(model)


@pytest.mark.parametrize("solver", SOLVERS)
@given(model=grids())
def test_ilp_bound_holds_when_time_is_up(solver, model):
    minimum = enumerate_image(model).minimum()
    result = Ilp(solver=solver, time_limit_s=1e-3).find_map(model)
    assert result.lower_bound.item() <= minimum + 1e-9
    assert result.energy.item() >= minimum - 1e-9
    assert torch.isfinite(result.energy).all()
    assert torch.isfinite(result.lower_bound).all()
    if result.status == (Status.OPTIMAL,):
        assert result.energy.item() == pytest.approx(minimum, abs=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_ilp_is_exact_at_any_magnitude(solver):
    plain = random_grid(1, 4, 4, signs="any", dtype=torch.float64)
    minimum = enumerate_image(plain).minimum()
    for factor in (2.0**-90, 2.0**90):
        scaled = IsingGrid(plain.unary * factor, plain.right * factor, plain.down * factor)
        result = Ilp(solver=solver).find_map(scaled)
        assert result.energy.item() / factor == pytest.approx(minimum, rel=1e-9)
        assert result.lower_bound.item() / factor == pytest.approx(minimum, rel=1e-5)


def test_ilp_adds_up_the_two_couplings_of_a_torus_two_pixels_wide():
    unary = torch.tensor([[[1.0, -1.0]]])
    for first, second, expected in ((3.0, -3.0, -2.0), (3.0, -1.0, -2.0), (3.0, -2.5, -2.0)):
        right = torch.tensor([[[first, second]]])
        result = Ilp().find_map(IsingGrid(unary, right, torch.zeros(1, 0, 2), periodic=True))
        both = first + second
        assert result.energy.item() == pytest.approx(min(-both, expected + both))
        assert result.stats["variables"][0] == (2 if both == 0 else 3)


def test_ilp_needs_no_solver_when_nothing_is_free():
    model = random_grid(1, 3, 3, signs="any")
    state = model.unary > 0
    result = Ilp().find_map(model.clamp(on=state, off=~state))
    assert torch.equal(result.mask, state)
    assert result.status == (Status.OPTIMAL,)
    assert result.stats["variables"] == (0,)
    assert result.gap.item() < 1e-6


def test_ilp_leaves_pixels_off_that_do_not_matter():
    result = Ilp().find_map(IsingGrid(*(torch.zeros(1, *s) for s in ((3, 3), (3, 2), (2, 3)))))
    assert not result.mask.any()
    assert result.energy.item() == 0


def test_ilp_cuts_off_an_odd_square():
    right, down = torch.ones(1, 2, 1), torch.ones(1, 1, 2)
    even = Ilp().find_map(IsingGrid(torch.zeros(1, 2, 2), right, down))
    right[0, 1, 0] = -0.75
    odd = Ilp().find_map(IsingGrid(torch.zeros(1, 2, 2), right, down))
    assert (even.stats["cuts"], odd.stats["cuts"]) == ((0,), (1,))
    assert (even.stats["constraints"], odd.stats["constraints"]) == ((0,), (1,))
    assert (even.energy.item(), odd.energy.item()) == (-4, -2.25)


def test_ilp_solvers_agree_beyond_enumeration():
    model = random_grid(2, 9, 8, signs="any", coupling=1.5, periodic=True)
    first, second = (Ilp(solver=solver).find_map(model) for solver in SOLVERS)
    assert torch.allclose(first.energy, second.energy, rtol=1e-9)
    assert (torch.maximum(first.lower_bound, second.lower_bound) <= first.energy).all()
    assert (first.gap <= 1e-6).all()
    assert first.stats["bound"] == ("solver", "solver")


@pytest.mark.parametrize("solver", SOLVERS)
def test_ilp_stops_in_time(solver):
    model = frustrated(60)
    began = time.monotonic()
    result = Ilp(solver=solver, time_limit_s=0.5).find_map(model)
    assert time.monotonic() - began < 5
    assert result.status == (Status.TIME_LIMIT,)
    assert torch.equal(result.energy, model.energy(result.mask))
    assert result.energy.item() <= model.energy(model.unary > 0).item()
    # Every pixel has a share in four couplings; the trivial bound is about -7490.
    assert -7200 <= result.lower_bound.item() <= descended(model)
    assert result.gap.item() > 0


def test_ilp_stops_another_solver_in_time():
    model = complete(45)
    began = time.monotonic()
    result = Ilp(solver="CBC", time_limit_s=2.0).find_map(model)
    assert time.monotonic() - began < 10
    assert result.status == (Status.TIME_LIMIT,)
    # Its program was written: a linear program has no variables for nodes without a field.
    assert result.stats["variables"] == (45 + 45 * 44 // 2,)
    assert result.energy.item() <= model.energy(model.unary > 0).item()
    assert result.lower_bound.item() < result.energy.item()


def test_ilp_shares_the_time_among_images():
    began = time.monotonic()
    # Shares well above the time that writing a program takes on a busy machine.
    result = Ilp(time_limit_s=3.0).find_map(frustrated(60, images=3))
    assert time.monotonic() - began < 15
    assert result.status == (Status.TIME_LIMIT,) * 3
    assert max(result.stats["seconds"]) < 2.5
    assert min(result.stats["seconds"]) > 0.05


def planted(side):
    """A model without unary terms whose minima are a known random mask and its complement."""
    mask = torch.rand(1, side, side, generator=torch.Generator().manual_seed(1)) > 0.5
    x = mask.float() * 2 - 1
    model = IsingGrid(torch.zeros(x.shape), x[:, :, 1:] * x[:, :, :-1], x[:, 1:] * x[:, :-1])
    return model, mask


@pytest.mark.parametrize("solver", SOLVERS)
def test_ilp_returns_its_start_when_there_is_no_time_for_more(solver):
    model, start = planted(30)
    stopped = Ilp(solver=solver, time_limit_s=1e-4, start=start).find_map(model)
    assert stopped.status == (Status.TIME_LIMIT,)
    assert torch.equal(stopped.mask, start)
    without = Ilp(solver=solver, time_limit_s=1e-4).find_map(model)
    assert without.energy.item() > stopped.energy.item() + 100


def test_ilp_is_never_worse_than_its_start_and_honours_clamps(monkeypatch):
    asked = []

    def find_something_worse(program, deadline, started, **options):
        for variable in program.on.values():
            variable.varValue = 0.0
        asked.append(started)
        return -math.inf, Status.TIME_LIMIT

    monkeypatch.setattr("mrfmask.inference.cut_lp.CutLp.solve", lambda *_: False)
    monkeypatch.setattr("mrfmask.inference.ilp.run_highs", find_something_worse)
    model, start = planted(6)
    clamped = torch.zeros_like(start)
    clamped[0, 1, 2] = True
    contrary = model.clamp(on=clamped & ~start, off=clamped & start)
    result = Ilp(start=start).find_map(contrary)
    assert torch.equal(result.mask, start ^ clamped)
    assert asked == [True]


def test_ilp_believes_no_proof_after_the_time_limit(monkeypatch):
    def overrun(solver, problem):
        time.sleep(0.3)
        problem.assignStatus(pulp.LpStatusOptimal, pulp.LpSolutionOptimal)

    monkeypatch.setattr(pulp.COIN_CMD, "actualSolve", overrun)
    result = Ilp(solver="CBC", time_limit_s=0.2).find_map(random_grid(1, 3, 3))
    assert result.status == (Status.TIME_LIMIT,)
    assert result.stats["bound"] == ("strips",)


def test_ilp_gives_its_start_to_highs_as_a_feasible_solution(monkeypatch):
    model = complete(7)
    # The minimum: so much better than others that nothing else is made of the linear programs.
    table = enumerate_image(model)
    start = torch.from_numpy(table.masks[table.energies.argmin()])[None]
    given_starts = []
    original = highspy.Highs.setSolution

    def spy(highs, solution):
        x, lp = np.array(solution.col_value), highs.getLp()
        rows = np.array([np.dot(*_row(highs, r, x)) for r in range(lp.num_row_)])
        feasible = (rows >= np.array(lp.row_lower_)).all() and (
            rows <= np.array(lp.row_upper_)
        ).all()
        given_starts.append((feasible, float(np.dot(lp.col_cost_, x))))
        return original(highs, solution)

    monkeypatch.setattr(highspy.Highs, "setSolution", spy)
    result = Ilp(start=start).find_map(model)
    ((feasible, objective),) = given_starts
    assert feasible
    # The objective is 0 for the mask with all nodes off, and in units of a power of two.
    rise = (model.energy(start) - model.energy(torch.zeros_like(start))).item()
    assert math.log2(objective / rise) == pytest.approx(
        round(math.log2(objective / rise)), abs=1e-9
    )
    assert result.energy.item() == pytest.approx(table.minimum(), abs=1e-9)
    assert result.status == (Status.OPTIMAL,)


def _row(highs, row, x):
    _, columns, values = highs.getRowEntries(row)
    return np.array(values), x[np.array(columns)]


@pytest.mark.parametrize("solver", SOLVERS)
def test_ilp_is_quiet(solver, capfd):
    Ilp(solver=solver, start=torch.ones(1, 4, 4).bool()).find_map(random_grid(1, 4, 4))
    assert capfd.readouterr() == ("", "")


def test_ilp_stops_on_ctrl_c(monkeypatch):
    original, running, began = highspy.Highs.run, [], []

    def interrupted(highs):
        if not began:
            threading.Timer(0.3, _thread.interrupt_main).start()
            began.append(time.monotonic())
        running.append(highs)
        status = original(highs)
        running.remove(highs)
        return status

    monkeypatch.setattr(highspy.Highs, "run", interrupted)
    # A shell that runs a command in the background lets it ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            Ilp(time_limit_s=30).find_map(complete(150))
    finally:
        signal.signal(signal.SIGINT, before)
    # It has returned from HiGHS when it raises, and long before the time limit.
    assert not running
    assert time.monotonic() - began[0] < 10


def test_ilp_is_imported_without_pulp():
    code = "import sys, mrfmask; print(sorted({'pulp', 'highspy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


MISSING = sorted(set(pulp.listSolvers()) - set(pulp.listSolvers(onlyAvailable=True)))[0]
START = torch.zeros(1, 2, 2, dtype=torch.bool)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            {"solver": "highs"},
            ValueError,
            "solver must be 'HiGHS', 'CBC' or a solver that PuLP knows; got 'highs'. Installed are",
        ),
        ({"solver": MISSING}, RuntimeError, f"solver must be installed; got {MISSING!r}"),
        ({"solver": None}, TypeError, "solver must be a str; got NoneType. Use 'HiGHS' or 'CBC'."),
        ({"time_limit_s": 0}, ValueError, "time_limit_s must be positive and finite; got 0"),
        ({"time_limit_s": "1"}, TypeError, "time_limit_s must be a number; got str"),
        ({"rounds": 0}, ValueError, "rounds must lie in 1..2147483647; got 0"),
        (
            {"rounds": 5, "solver": "CBC"},
            ValueError,
            "rounds must be None for CBC and with a limit; got 5. Use time_limit_s.",
        ),
        ({"start": START.float()}, TypeError, "start must be a bool tensor; got torch.float32"),
        ({"start": START[0]}, ValueError, "start must have shape (1, 2, 2); got (2, 2)"),
        (
            {"solver": "COPT_CMD", "time_limit_s": 1.0},
            ValueError,
            "time_limit_s must be None for COPT_CMD; got 1.0",
        ),
    ],
)
def test_ilp_says_what_is_wrong(options, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        Ilp(**options).find_map(random_grid(1, 2, 2))


def test_ilp_says_when_a_solver_fails(monkeypatch):
    model = random_grid(1, 3, 3)
    monkeypatch.setattr(highspy.Highs, "run", lambda highs: None)
    with pytest.raises(RuntimeError, match="must solve the program; got 'Not Set' from HiGHS"):
        Ilp().find_map(model)

    def crash(solver, problem):
        raise pulp.PulpSolverError("killed")

    monkeypatch.setattr(pulp.COIN_CMD, "actualSolve", crash)
    with pytest.raises(RuntimeError, match="got PulpSolverError: killed from CBC") as caught:
        Ilp(solver="CBC").find_map(model)
    assert isinstance(caught.value.__cause__, pulp.PulpSolverError)


def test_ilp_claims_no_proof_for_a_solver_whose_gap_pulp_cannot_set(monkeypatch):
    monkeypatch.setattr("mrfmask.inference.ilp_program._parameters", lambda solver: {})
    model = random_grid(1, 4, 4, signs="any")
    result = Ilp(solver="CBC").find_map(model)
    assert result.status == (Status.HEURISTIC,)
    assert result.stats["bound"] == ("strips",)
    assert result.lower_bound.item() <= enumerate_image(model).minimum()


def test_ilp_trusts_no_bound_that_its_mask_disproves(monkeypatch):
    monkeypatch.setattr(
        "mrfmask.inference.ilp.run_other", lambda *_, **options: (1e6, Status.TIME_LIMIT)
    )
    with pytest.raises(RuntimeError, match="must solve the program; got the bound"):
        Ilp(solver="CBC").find_map(random_grid(1, 4, 4).clamp(on=torch.eye(4).bool()[None]))

"""What a run is measured by, in this process."""

from __future__ import annotations

import dataclasses
import time
from typing import ClassVar

import numpy as np
import pytest
import torch
from measured import answer, instance_of, run_of
from strategies import random_grid

import mrfmask as mm
from mrfmask.bench import worker
from mrfmask.inference import METHODS, mean_field
from mrfmask.inference.method import Method

PINS = []


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Greedy(Method):
    """Allocates, then takes the signs of the unary."""

    mebibytes: int = 0
    error: str = ""

    name: ClassVar = "greedy"
    answers: ClassVar = ("map",)
    exact: ClassVar = False
    devices: ClassVar = ("cpu",)
    needs: ClassVar = "any signs"

    def find_map(self, model):
        if self.error:
            raise RuntimeError(self.error)
        # In pieces, and one kept at the end: the allocator cannot give them back by itself.
        pieces = [np.ones(2**10) for _ in range(self.mebibytes * 2**7 + 1)]
        PINS.append(pieces.pop())
        mask = model.unary > 0
        energy = model.energy(mask)
        return mm.MapResult(
            mask=mask,
            energy=energy,
            lower_bound=torch.full_like(energy, -torch.inf),
            status=(mm.Status.HEURISTIC,),
            method=self.name,
        )


@pytest.fixture
def greedy(monkeypatch):
    monkeypatch.setitem(METHODS, "greedy", Greedy)


@pytest.mark.parametrize(
    "method",
    [
        "exact",
        "graph_cut",
        "strips",
        "qpbo",
        "ilp",
        "mean_field",
        "belief_propagation",
        "annealing",
    ],
)
def test_answer_has_what_the_method_found(tmp_path, method):
    model = random_grid(1, 5, 7)
    run = run_of(instance_of(model), method, tmp_path)
    expected = mm.find_map(model, method=method)
    assert run.answer["energy"] == expected.energy.item()
    assert run.answer["lower_bound"] == expected.lower_bound.item()
    assert run.answer["status"] == expected.status[0].name.lower()
    assert np.array_equal(run.mask, expected.mask.flatten().numpy())
    assert run.answer["seconds"] > 0
    assert 1 <= run.answer["runs"] <= worker.MOST_RUNS


def test_answer_keeps_the_time_of_a_bound_apart(tmp_path, monkeypatch):
    bound = mean_field.quick_bound

    def slow_bound(model):
        time.sleep(0.05)
        return bound(model)

    monkeypatch.setattr(mean_field, "quick_bound", slow_bound)
    instance = instance_of(random_grid(1, 5, 7))
    found = answer(instance, "mean_field", {}, tmp_path)
    assert found["seconds"] < 0.05 <= found["bound_seconds"]
    assert mean_field.quick_bound is slow_bound
    assert answer(instance, "graph_cut", {}, tmp_path)["bound_seconds"] == 0


@pytest.mark.usefixtures("greedy")
def test_peak_memory_is_that_of_the_run_every_time(tmp_path):
    instance = instance_of(random_grid(1, 5, 7))
    for mebibytes in (200, 40, 40, 0):
        found = answer(instance, "greedy", {"mebibytes": mebibytes}, tmp_path)
        assert mebibytes - 1 <= found["peak_bytes"] / 2**20 <= mebibytes + 8


@pytest.mark.usefixtures("greedy")
def test_answer_writes_no_infinity(tmp_path):
    assert answer(instance_of(random_grid(1, 2, 2)), "greedy", {}, tmp_path)["lower_bound"] is None


@pytest.mark.usefixtures("greedy")
def test_answer_of_a_method_that_breaks_is_failed(tmp_path):
    found = answer(instance_of(random_grid(1, 2, 2)), "greedy", {"error": "why"}, tmp_path)
    assert found == {"status": "failed", "reason": "RuntimeError: why", "finished": True}


def test_answer_of_a_method_that_cannot_take_the_model_says_why(tmp_path):
    found = answer(instance_of(random_grid(1, 5, 7, signs="any")), "graph_cut", {}, tmp_path)
    assert found["status"] == "cannot"
    assert found["reason"].startswith("model must have couplings of one sign for graph_cut; got ")


@pytest.mark.parametrize(
    ("method", "options", "finished"),
    [
        ("mean_field", {"max_sweeps": 1}, False),
        ("mean_field", {"max_sweeps": 1000}, True),
        ("annealing", {"sweeps": 1000}, False),
        ("graph_cut", {}, True),
        ("ilp", {"time_limit_s": 1e-4}, False),
        ("ilp", {"time_limit_s": 60.0}, True),
    ],
)
def test_answer_tells_whether_more_effort_can_help(tmp_path, method, options, finished):
    instance = instance_of(random_grid(1, 5, 7))
    assert answer(instance, method, options, tmp_path)["finished"] is finished


def test_time_limited_run_is_not_repeated(tmp_path):
    instance = instance_of(random_grid(1, 5, 7))
    assert answer(instance, "ilp", {"time_limit_s": 1e-4}, tmp_path)["runs"] == 1

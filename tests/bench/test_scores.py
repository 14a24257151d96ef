"""Gaps and shares against enumeration."""

from __future__ import annotations

import base64
import dataclasses

import numpy as np
import pytest
import torch
from measured import instance_of, run_of
from oracles import energy_of, enumerate_image
from strategies import random_grid

import mrfmask as mm
from mrfmask.bench.scores import Run, score

MAP_METHODS = [name for name, method in mm.METHODS.items() if "map" in method.answers]


def made_up(instance, method, mask, status="heuristic", lower_bound=None, options=None):
    """A run that ended with this mask."""
    mask = np.asarray(mask, dtype=bool).reshape(instance.size)
    energy = energy_of(instance.model, 0, mask)
    answer = {
        "status": status,
        "energy": energy,
        "lower_bound": energy if status == "optimal" and lower_bound is None else lower_bound,
        "seconds": 0.5,
        "bound_seconds": 0.25,
        "runs": 1,
        "peak_bytes": 3 * 2**20,
        "mask": base64.b64encode(np.packbits(mask.reshape(-1)).tobytes()).decode(),
    }
    return Run(instance=instance, method=method, options=options or {}, answer=answer)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("signs", ["associative", "repulsive", "any"])
def test_gaps_and_shares_are_those_of_enumeration(tmp_path, signs, seed):
    instance = instance_of(random_grid(1, 4, 4, coupling=1.5, signs=signs, seed=seed))
    options = {"mean_field": {"max_sweeps": 1}, "annealing": {"sweeps": 1}}
    runs = [run_of(instance, m, tmp_path, **options.get(m, {})) for m in MAP_METHODS]
    result = score(runs)
    truth = enumerate_image(instance.model)
    best = truth.masks[truth.energies.argmin()]
    assert result.proven
    assert result.energy == pytest.approx(truth.minimum(), abs=1e-9)
    assert not result.contradiction
    for run in runs:
        scored = result.final(run.method)
        if scored.energy is None:
            assert (run.method, signs) == ("graph_cut", "any")
            assert scored.status == "cannot"
            continue
        energy = energy_of(instance.model, 0, run.mask.reshape(4, 4))
        assert scored.energy == pytest.approx(energy, abs=1e-9)
        assert scored.gap == pytest.approx(energy - truth.minimum(), abs=1e-6)
        expected = 100 * (energy - truth.minimum()) / abs(truth.minimum())
        assert scored.gap_percent == pytest.approx(expected, abs=1e-5)
        same = 100 * (run.mask.reshape(4, 4) == best).mean()
        assert scored.same_percent == pytest.approx(same)
    gaps = {run.method: result.final(run.method).gap for run in runs}
    assert gaps["exact"] == gaps["ilp"] == 0


def test_gap_in_percent_does_not_depend_on_the_constant():
    model = random_grid(1, 3, 3)
    shifted = dataclasses.replace(model, constant=torch.tensor([1e4]))
    percents = []
    for instance in (instance_of(model), instance_of(shifted)):
        truth = enumerate_image(instance.model)
        best = made_up(instance, "exact", truth.masks[truth.energies.argmin()], "optimal")
        worse = made_up(instance, "mean_field", ~best.mask)
        percents.append(score([best, worse]).final("mean_field").gap_percent)
    assert percents[0] == pytest.approx(percents[1], rel=1e-6)
    assert percents[0] > 1


def test_tie_is_an_optimal_mask_that_differs():
    model = mm.IsingGrid(torch.zeros(1, 1, 2), torch.ones(1, 1, 1), torch.zeros(1, 0, 2))
    instance = instance_of(model)
    runs = [
        made_up(instance, "exact", [0, 0], "optimal"),
        made_up(instance, "mean_field", [1, 1]),
        made_up(instance, "annealing", [0, 0]),
        made_up(instance, "ilp", [0, 1], "time_limit", lower_bound=-1.0),
    ]
    result = score(runs)
    found = {m: (result.final(m).tie, result.final(m).same_percent) for m in result.scores}
    assert found == {
        "exact": (False, 100),
        "mean_field": (True, 0),
        "annealing": (False, 100),
        "ilp": (False, 50),
    }


def test_gap_within_the_rounding_of_the_proof_is_none():
    instance = instance_of(random_grid(1, 3, 3))
    truth = enumerate_image(instance.model)
    order = truth.energies.argsort()
    best, second = truth.masks[order[0]], truth.masks[order[1]]
    apart = truth.energies[order[1]] - truth.energies[order[0]]
    for rounding, gap in ((1.01 * apart, 0.0), (0.99 * apart, apart)):
        bound = truth.minimum() - rounding
        runs = [
            made_up(instance, "graph_cut", best, "optimal", lower_bound=bound),
            made_up(instance, "mean_field", second, lower_bound=bound - 5),
        ]
        assert score(runs).final("mean_field").gap == pytest.approx(gap)


def test_unproven_optimum_leaves_a_gap_to_the_best_bound_and_no_share():
    instance = instance_of(random_grid(1, 3, 3))
    truth = enumerate_image(instance.model)
    best, worst = truth.energies.argmin(), truth.energies.argmax()
    runs = [
        made_up(instance, "ilp", truth.masks[best], "time_limit", truth.minimum() - 1),
        made_up(instance, "mean_field", truth.masks[worst], lower_bound=truth.minimum() - 3),
    ]
    result = score(runs)
    assert not result.proven
    assert result.lower_bound == pytest.approx(truth.minimum() - 1)
    assert result.final("ilp").gap == pytest.approx(1)
    assert result.final("mean_field").gap == pytest.approx(np.ptp(truth.energies) + 1)
    assert result.final("ilp").same_percent is result.final("mean_field").same_percent is None


@pytest.mark.parametrize("other", [False, True])
def test_bound_that_meets_the_energy_is_a_proof_whoever_has_it(other):
    instance = instance_of(random_grid(1, 3, 3))
    truth = enumerate_image(instance.model)
    best, second = truth.masks[truth.energies.argsort()[:2]]
    bound = truth.minimum() - 1e-9
    runs = [
        made_up(instance, "ilp", second if other else best, "time_limit", bound),
        made_up(instance, "annealing", best, lower_bound=truth.minimum() - 5),
        made_up(instance, "mean_field", second),
    ]
    result = score(runs)
    assert result.proven
    assert result.final("annealing").gap == 0
    assert result.final("annealing").same_percent == 100
    assert result.final("mean_field").gap == pytest.approx(np.sort(truth.energies)[1] - bound)
    proofs = [result.final(m).proof for m in ("ilp", "annealing", "mean_field")]
    assert proofs == [not other, False, False]


def test_bound_that_is_near_the_energy_is_no_proof():
    instance = instance_of(random_grid(1, 3, 3))
    truth = enumerate_image(instance.model)
    best = truth.masks[truth.energies.argmin()]
    result = score([made_up(instance, "ilp", best, "time_limit", truth.minimum() - 1e-4)])
    assert not result.proven
    assert result.final("ilp").gap > 0


def test_bound_above_an_energy_is_told():
    instance = instance_of(random_grid(1, 3, 3))
    truth = enumerate_image(instance.model)
    best = truth.masks[truth.energies.argmin()]
    runs = [
        made_up(instance, "ilp", best, "optimal", lower_bound=truth.minimum() + 0.1),
        made_up(instance, "annealing", best, lower_bound=truth.minimum() - 5),
    ]
    told = score(runs).contradiction
    assert told.startswith("lower_bound must not exceed energy; got ")
    assert "from ilp" in told
    assert told.endswith("Please report this as a bug.")


def test_final_is_the_last_effort_that_has_a_mask():
    instance = instance_of(random_grid(1, 2, 2))
    first = made_up(instance, "annealing", [0, 0, 0, 0], options={"sweeps": 1})
    second = made_up(instance, "annealing", [1, 0, 0, 0], options={"sweeps": 3})
    killed = Run(
        instance=instance,
        method="annealing",
        options={"sweeps": 10},
        answer={"status": "killed", "reason": "no answer within 30 s"},
    )
    assert score([first, second, killed]).final("annealing").options == {"sweeps": 3}
    alone = score([killed])
    assert alone.final("annealing").reason == "no answer within 30 s"
    assert alone.energy is alone.lower_bound is None
    assert not alone.proven


def test_score_keeps_what_was_measured():
    instance = instance_of(random_grid(1, 2, 2))
    scored = score([made_up(instance, "exact", [0, 1, 1, 0], "optimal")]).final("exact")
    measured = (scored.seconds, scored.bound_seconds, scored.runs, scored.peak_mib)
    assert measured == (0.5, 0.25, 1, 3.0)

"""log Z of grids without fields: enumeration, elimination, Onsager, and what it refuses."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from oracles import enumerate_image
from strategies import grids, random_grid

import mrfmask as mm
from mrfmask import IsingGrid


def without_fields(model):
    return IsingGrid(torch.zeros_like(model.unary), model.right, model.down, model.constant)


def uniform(height, width, coupling):
    zeros, right, down = (
        torch.full((1, h, w), v, dtype=torch.float64)
        for h, w, v in (
            (height, width, 0),
            (height, width - 1, coupling),
            (height - 1, width, coupling),
        )
    )
    return IsingGrid(zeros, right, down)


@given(grids(periodic=False))
def test_planar_log_partition_is_that_of_enumeration(model):
    model = without_fields(model)
    for beta in (0.4, 1.0):
        expected = enumerate_image(model).probabilities(beta)[1]
        assert mm.planar_log_partition(model, beta).item() == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize(("signs", "beta"), [("any", 1), ("any", 4), ("associative", 50)])
def test_planar_log_partition_is_that_of_elimination(signs, beta):
    model = without_fields(random_grid(2, 8, 40, signs=signs, dtype=torch.float64))
    expected = mm.Exact(beta=beta).marginals(model).log_partition
    size = beta * model.pairwise.abs().sum(dim=1)
    assert ((mm.planar_log_partition(model, beta) - expected).abs() <= 1e-10 * size).all()


@pytest.mark.parametrize("temperature", ["1.5", "3.0"])
def test_bulk_is_onsagers(shared_data, temperature):
    answers = json.loads((shared_data / "instances/analytic/ising2d_exact.json").read_text())
    published = next(a for a in answers["infinite"] if float(a["T"]) == float(temperature))
    size = 48  # far beyond the correlation length, so that borders and corners cancel
    values = {
        (h, w): mm.planar_log_partition(uniform(h, w, 1 / float(temperature))).item()
        for h in (size, size + 1)
        for w in (size, size + 1)
    }
    bulk = sum(v * (-1) ** (h + w) for (h, w), v in values.items())
    assert bulk == pytest.approx(float(published["lnZ_per_spin"]), abs=1e-9)


def test_published_spin_glasses_come_down_to_their_minimum(shared_data):
    folder = shared_data / "instances/spinglass/ea"
    with (folder / "certified.csv").open() as file:
        published = {
            row["file"]: float(row["E_min_of_minus_sum_Jss"]) for row in csv.DictReader(file)
        }
    models, beta = [], 8.0
    for name in published:
        right, down = np.zeros((10, 9)), np.zeros((9, 10))
        for line in (folder / name).read_text().splitlines()[1:]:
            one, two, value = line.split()
            low, high = sorted((int(one) - 1, int(two) - 1))
            (right if high == low + 1 else down)[divmod(low, 10)] = float(value)
        models.append((right, down))
    right, down = (torch.tensor(np.stack(part)) for part in zip(*models, strict=True))
    model = IsingGrid(torch.zeros(len(models), 10, 10).double(), right, down)
    lowest = torch.tensor([*published.values()], dtype=torch.float64)
    above = mm.planar_log_partition(model, beta) + beta * lowest
    # Two states at least are there; at twice the temperature so are more.
    assert (above > np.log(2) - 1e-6).all()
    assert (above < mm.planar_log_partition(model, beta / 2) + beta / 2 * lowest).all()
    assert (above < 5).all()


def test_flips_of_pixels_change_nothing():
    model = without_fields(random_grid(1, 20, 30, signs="any", dtype=torch.float64))
    sign = torch.randn(1, 20, 30, generator=torch.Generator().manual_seed(2)).sign()
    right, down = sign[:, :, 1:] * sign[:, :, :-1], sign[:, 1:] * sign[:, :-1]
    flipped = IsingGrid(model.unary, model.right * right, model.down * down)
    first, second = mm.planar_log_partition(model), mm.planar_log_partition(flipped)
    assert first.item() == pytest.approx(second.item(), rel=1e-12)


def test_lost_digits_are_told():
    model = without_fields(random_grid(1, 8, 24, signs="any", dtype=torch.float64))
    model = IsingGrid(model.unary, model.right.sign(), model.down.sign())
    with pytest.raises(ValueError, match="beta must be so low that float64 keeps its digits"):
        mm.planar_log_partition(model, beta=20.0)


def test_planar_log_partition_brackets():
    model = without_fields(random_grid(1, 24, 24, signs="any", coupling=0.6))
    bounds, value = mm.log_partition_bounds(model, max_sweeps=500), mm.planar_log_partition(model)
    assert bounds.lower < value < bounds.upper


@pytest.mark.parametrize(
    ("model", "beta", "error", "message"),
    [
        (random_grid(1, 3, 3), 1.0, ValueError, "model must have unaries of 0 and no clamps; got"),
        (random_grid(1, 3, 3, periodic=True), 1.0, ValueError, "model must have open boundaries"),
        (random_grid(1, 3, 3).as_graph(), 1.0, TypeError, "model must be an IsingGrid; got Ising"),
        (uniform(2, 2, 1.0), -1.0, ValueError, "beta must be positive and finite; got -1.0"),
    ],
)
def test_message_names_the_argument_the_rule_and_the_value(model, beta, error, message):
    with pytest.raises(error, match=re.escape(message)):
        mm.planar_log_partition(model, beta)

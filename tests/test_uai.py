"""UAI-2014 binary grids of 10x10 with mixed signs: published log Z, marginals, certified MAP."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from mrfmask import Exact, Ilp, IsingGrid, MeanField, Status

GRIDS = ("Grids_11", "Grids_12", "Grids_13", "Grids_14")  # all but the second are tori
OPEN = "Grids_12"
SIDE = 10


def read_uai(path):
    """The model of a 10x10 grid, open or periodic, with pixels numbered row by row."""
    words = path.read_text().split()
    count = int(words[1])
    assert count == SIDE * SIDE
    at = 2 + count
    factors = int(words[at])
    at += 1
    scopes = []
    for _ in range(factors):
        size = int(words[at])
        scopes.append([int(w) for w in words[at + 1 : at + 1 + size]])
        at += 1 + size
    unary = torch.zeros(1, SIDE, SIDE, 2, dtype=torch.float64)
    right, down = torch.zeros(2, 1, SIDE, SIDE, 2, 2, dtype=torch.float64)
    periodic = False
    for scope in scopes:
        size = int(words[at])
        costs = -np.log(np.array([float(w) for w in words[at + 1 : at + 1 + size]]))
        at += 1 + size
        table = torch.from_numpy(costs.reshape((2,) * len(scope)))
        y, x = divmod(scope[0], SIDE)
        if len(scope) == 1:
            unary[0, y, x] += table
            continue
        for (one, other), costs in ((scope, table), (scope[::-1], table.T)):
            y, x = divmod(one, SIDE)
            beside, below = y * SIDE + (x + 1) % SIDE, (y + 1) % SIDE * SIDE + x
            if other in (beside, below):
                (right if other == beside else down)[0, y, x] += costs
                periodic |= other < one
                break
        else:
            raise AssertionError(f"{scope} is no edge of the grid")
    if not periodic:
        right, down = right[:, :, :-1], down[:, :-1]
    return IsingGrid.from_costs(unary, right, down, periodic)


@pytest.fixture(scope="module")
def certified(shared_data):
    answers = json.loads((shared_data / "instances/uai/certified.json").read_text())
    return {a["file"].split("/")[-1].removesuffix(".uai"): a for a in answers}


@pytest.mark.parametrize("name", GRIDS)
def test_certified_map(shared_data, certified, name):
    model = read_uai(shared_data / f"instances/uai/PR/{name}.uai")
    assert model.periodic == (name != OPEN)
    for method in (Ilp(), Exact()) if name == OPEN else (Ilp(),):
        best = method.find_map(model)
        assert best.status == (Status.OPTIMAL,)
        assert -best.energy.item() == pytest.approx(certified[name]["map_logscore"], abs=1e-6)


@pytest.mark.parametrize("name", GRIDS)
def test_mean_field_is_below_the_published_log_partition(shared_data, certified, name):
    model = read_uai(shared_data / f"instances/uai/PR/{name}.uai")
    assert MeanField().marginals(model).log_partition.item() < certified[name]["lnZ"]


def test_published_log_partition_and_marginals(shared_data, certified):
    folder = shared_data / "instances/uai"
    result = Exact().marginals(read_uai(folder / f"PR/{OPEN}.uai"))
    published = float((folder / f"PR/{OPEN}.uai.PR").read_text().split()[1])
    assert result.log_partition.item() / math.log(10) == pytest.approx(published, abs=1e-3)
    assert result.log_partition.item() == pytest.approx(certified[OPEN]["lnZ"], abs=1e-5)
    words = (folder / f"MAR/{OPEN}.uai.MAR").read_text().split()
    marginals = np.array([float(w) for w in words[2:]]).reshape(SIDE, SIDE, 3)[:, :, 2]
    np.testing.assert_allclose(result.probability[0].numpy(), marginals, atol=2e-6)

"""UAI-2014 binary networks: published log Z and marginals, certified MAP.

Grids of 10x10 with mixed signs, three of them tori, and associative segmentations of superpixels.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

import mrfmask as mm
from mrfmask import METHODS, Exact, Ilp, IsingGrid, MeanField, Status
from mrfmask.inference.exact import solvable_images

GRIDS = ("Grids_11", "Grids_12", "Grids_13", "Grids_14")  # all but the second are tori
OPEN = "Grids_12"
SEGMENTATIONS = ("Segmentation_11", "Segmentation_12", "Segmentation_13")
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


def published(shared_data, kind, name):
    """A network with its evidence (none is observed in these)."""
    path = shared_data / f"instances/uai/{kind}/{name}.uai"
    return mm.load_model(path, evidence=path.with_name(f"{name}.uai.evid"))


@pytest.mark.parametrize("name", GRIDS + SEGMENTATIONS)
def test_certified_map_is_found_by_every_exact_method_for_graphs(shared_data, certified, name):
    model = published(shared_data, "PR", name)
    answer = certified[name]
    assert model.is_associative == answer["J_nonneg"]
    assert solvable_images(model).all()
    tried = []
    for method in METHODS.values():
        if "map" not in method.answers or not (method.exact and method.graphs):
            continue
        if hasattr(method, "accepts") and not method.accepts(model):
            continue
        tried.append(method)
        best = method().find_map(model)
        assert best.status == (Status.OPTIMAL,)
        assert -best.energy.item() == pytest.approx(answer["map_logscore"], abs=1e-6)
        assert "".join("01"[on] for on in best.mask[0].int().tolist()) == answer["map_x"]
    assert Exact in tried


@pytest.mark.parametrize("name", GRIDS + SEGMENTATIONS)
def test_published_log_partition_and_marginals_of_networks(shared_data, certified, name):
    folder = shared_data / "instances/uai"
    result = Exact().marginals(published(shared_data, "PR", name))
    decimal = float((folder / f"PR/{name}.uai.PR").read_text().split()[1])
    assert result.log_partition.item() / math.log(10) == pytest.approx(decimal, abs=5.1e-4)
    assert result.log_partition.item() == pytest.approx(certified[name]["lnZ"], abs=5.1e-7)
    words = (folder / f"MAR/{name}.uai.MAR").read_text().split()
    printed = np.array([float(w) for w in words[2:]]).reshape(-1, 3)[:, 2]
    result = Exact().marginals(published(shared_data, "MAR", name))
    np.testing.assert_allclose(result.probability[0].numpy(), printed, atol=5.1e-7)


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

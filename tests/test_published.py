"""Instances made and solved by others, kept in the shared data folder."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch

from mrfmask import (
    METHODS,
    Annealing,
    Exact,
    Gibbs,
    GraphCut,
    Ilp,
    IsingGraph,
    IsingGrid,
    MeanField,
    Qpbo,
    Status,
    Strips,
)

# Where the nodes of a case stand on a grid. Paths run along a row; two paths are two rows; a
# triangle is a ring of three; sixteen nodes are 4x4, row by row.
LAYOUTS = {
    "lpmp_qpbo_flow": [[0, 1, 5], [3, 4, 2]],
    "dwave_tree_q4": [[0, 1, 2]],
    "dwave_planar_triangle": [[0, 1, 2]],
}
RINGS = {"dwave_tree_q4", "dwave_planar_triangle"}
FRUSTRATED = {"dwave_tree_q4", "dwave_planar_triangle", "pgmpy_grid4x4", "libdai_testfast"}
CASES = [
    *("pymaxflow_simple", "thinqpbo_example", "roofdual_3path", "roofdual_simple"),
    *("roofdual_sapi1311", "lpmp_graphcut", "lpmp_qpbo_flow", "dwave_tree_i1", "dwave_tree_i2"),
    *("dwave_tree_q1", "dwave_tree_q2", "dwave_tree_i3", "dwave_tree_q3", "dwave_tree_i4"),
    *("dwave_tree_q4", "dwave_planar_triangle", "dwave_tabu2", "pgmax_lp_ising_0"),
    *("pgmax_lp_ising_1", "pgmax_lp_ising_2", "pgmax_lp_ising_3", "pgmax_lp_ising_4"),
    *("pgmpy_grid4x4", "libdai_testfast"),
]


@pytest.fixture(scope="session")
def cases(shared_data):
    path = shared_data / "instances/blackbox/cases.json"
    return {case["id"]: case for case in json.loads(path.read_text())}


def grid_of(case):
    n = case["n"]
    default = np.arange(16).reshape(4, 4) if n == 16 else np.arange(n).reshape(1, n)
    layout = np.array(LAYOUTS.get(case["id"], default))
    height, width = layout.shape
    ring = case["id"] in RINGS
    place = {int(node): at for at, node in np.ndenumerate(layout)}
    unary = torch.tensor(case["unary"], dtype=torch.float64)[torch.from_numpy(layout)][None]
    right = torch.zeros(1, height, width if ring else width - 1, 2, 2, dtype=torch.float64)
    down = torch.zeros(1, height - 1, width, 2, 2, dtype=torch.float64)
    for i, j, *table in case["pair"]:
        table = torch.tensor(table, dtype=torch.float64).reshape(2, 2)
        (yi, xi), (yj, xj) = place[i], place[j]
        for (y, x), (yn, xn), t in (((yi, xi), (yj, xj), table), ((yj, xj), (yi, xi), table.T)):
            if y == yn and (x + 1 == xn or (ring and x + 1 == width and xn == 0)):
                right[0, y, x] += t
            elif (y + 1, x) == (yn, xn):
                down[0, y, x] += t
    model = IsingGrid.from_costs(unary, right, down, periodic=ring)
    offset = torch.tensor([float(case["const"])], dtype=torch.float64)
    return IsingGrid(model.unary, model.right, model.down, model.constant + offset, ring), layout


def graph_of(case):
    """Costs of a pair: the part by each node goes to its unary, the rest is the coupling."""
    unary = torch.tensor(case["unary"], dtype=torch.float64)
    field, constant = (unary[:, 0] - unary[:, 1]) / 2, case["const"] + unary.sum().item() / 2
    edges, pairwise = [], []
    for i, j, *table in case["pair"]:
        t = torch.tensor(table, dtype=torch.float64).reshape(2, 2)
        field[i] += (t[0].sum() - t[1].sum()) / 4
        field[j] += (t[:, 0].sum() - t[:, 1].sum()) / 4
        constant += t.sum().item() / 4
        edges.append((i, j))
        pairwise.append(((t[0, 1] + t[1, 0] - t[0, 0] - t[1, 1]) / 4).item())
    return IsingGraph(
        field[None],
        torch.tensor(edges, dtype=torch.int64).reshape(-1, 2),
        torch.tensor([pairwise], dtype=torch.float64).reshape(1, len(edges)),
        torch.tensor([constant], dtype=torch.float64),
    )


def test_every_published_case_is_tested(cases):
    assert sorted(CASES) == sorted(cases)


@pytest.mark.parametrize("name", CASES)
def test_published_minimum_is_found_by_every_method_that_can(cases, name):
    case = cases[name]
    model, layout = grid_of(case)
    answer = case["verified_bruteforce"][0]["min_energy"]
    listed = {tuple(m) for m in case["verified_bruteforce"][0]["minimisers"]}
    complete = len(listed) == case["verified_bruteforce"][0]["n_minimisers"]
    tried = 0
    for method in METHODS.values():
        if "map" not in method.answers or (method is GraphCut and not GraphCut.accepts(model)):
            continue
        result = method().find_map(model)
        assert result.lower_bound.item() <= answer + 1e-6
        assert result.energy.item() >= answer - 1e-6
        assert result.verify(model)
        if method not in (MeanField, Qpbo) or result.status == (Status.OPTIMAL,):
            assert result.energy.item() == pytest.approx(answer, abs=1e-5)
            nodes = np.empty(case["n"], dtype=int)
            nodes[layout.flatten()] = result.mask.flatten().int().numpy()
            assert not complete or tuple(nodes.tolist()) in listed
        if method.exact:
            assert result.status == (Status.OPTIMAL,)
            tried += 1
    assert tried >= 2


@pytest.mark.parametrize("name", CASES)
def test_published_minimum_is_found_by_a_cut_of_the_graph(cases, name):
    """All cases of balanced signs; nodes in the published order, couplings between any."""
    case = cases[name]
    model = graph_of(case)
    balanced = GraphCut.accepts(model)
    assert balanced == (name not in FRUSTRATED)
    if not balanced:
        return
    answer = case["verified_bruteforce"][0]["min_energy"]
    result = GraphCut(lossless=True).find_map(model)
    assert result.energy.item() == pytest.approx(answer, abs=1e-9)
    assert result.lower_bound.item() == pytest.approx(answer, abs=1e-9)
    assert result.verify(model)


@pytest.mark.parametrize("name", CASES)
def test_published_log_partition_and_marginals(cases, name):
    case = cases[name]
    model, layout = grid_of(case)
    for answer in case["verified_bruteforce"]:
        result = Exact(beta=answer["beta"]).marginals(model)
        of_graph = Exact(beta=answer["beta"]).marginals(model.as_graph())
        for found in (result, of_graph):
            assert found.log_partition.item() == pytest.approx(answer["lnZ"], abs=1e-8)
            expected = np.array(answer["marg1"])[layout].flatten()
            np.testing.assert_allclose(found.probability[0].flatten(), expected, atol=1e-8)
        bound = MeanField(beta=answer["beta"]).marginals(model).log_partition.item()
        assert bound <= answer["lnZ"] + 1e-9
    if "exact_p1" in case["published"]:
        printed = np.array(case["published"]["exact_p1"])[layout]
        for found in (result, of_graph):
            np.testing.assert_allclose(
                found.probability[0].flatten(), printed.flatten(), atol=5.1e-5
            )


PRINTED = {
    "pymaxflow_simple": ("flow", 1),
    "thinqpbo_example": ("twice_energy", 0.5),
    "roofdual_3path": ("roof_dual_lower_bound", 1),
    "roofdual_simple": ("roof_dual_lower_bound", 1),
    "dwave_tabu2": ("energy", 1),
    **{f"pgmax_lp_ising_{i}": ("objective", -1) for i in range(5)},
}


@pytest.mark.parametrize("name", PRINTED)
def test_printed_values_are_the_minimum(cases, name):
    key, factor = PRINTED[name]
    model, _ = grid_of(cases[name])
    published = cases[name]["published"][key] * factor
    assert Exact().find_map(model).energy.item() == pytest.approx(published, abs=1e-6)


ROOF_DUALS = {
    "thinqpbo_example": ("twice_energy", 0.5, "labels"),
    "roofdual_3path": ("roof_dual_lower_bound", 1, "fixed"),
    "roofdual_simple": ("roof_dual_lower_bound", 1, "fixed"),
    "roofdual_sapi1311": ("roof_dual_lower_bound", 1, "fixed"),
}


@pytest.mark.parametrize("name", ROOF_DUALS)
def test_roof_duals_and_persistent_states(cases, name):
    key, factor, states = ROOF_DUALS[name]
    model, layout = grid_of(cases[name])
    published = cases[name]["published"]
    result = Qpbo().find_map(model)
    assert result.lower_bound.item() == pytest.approx(published[key] * factor, abs=1e-9)
    assert bool(result.stats["persistent"].all())
    listed = published[states]
    on = [(listed[v] if states == "labels" else listed[str(v)]) > 0 for v in layout.flatten()]
    assert result.mask.flatten().tolist() == on
    if "strict" in cases[name]["note"]:
        assert bool(result.stats["strong"].all())


def test_flower_minimum_cut(shared_data):
    """A real segmentation of 600x450 pixels; the published maximum flow is 1208089."""
    data = np.load(shared_data / "instances/maxflow/flower.npz")
    shape = data["excess"].shape
    excess = torch.from_numpy(data["excess"].astype(np.float64))[None]
    right, down = (torch.from_numpy(data[k].astype(np.float64))[None] for k in ("hcap", "vcap"))
    # Costs: a source pixel that is off pays its excess, a sink pixel that is on pays its deficit.
    model = IsingGrid(excess / 2, right / 2, down / 2)
    constant = excess.abs().sum() / 2 + (right.sum() + down.sum()) / 2
    result = GraphCut(tie="min").find_map(model)
    assert result.mask.shape == (1, *shape)
    assert (result.energy + constant).item() == 1208089
    assert result.gap.item() == 0
    assert result.verify(model)
    most = GraphCut(tie="max").find_map(model)
    assert (most.energy + constant).item() == 1208089
    assert bool((result.mask <= most.mask).all())


def spin_glass(path):
    rows = [line.split() for line in path.read_text().split("\n") if line.strip()]
    side = int(np.sqrt(int(rows[0][0])))
    right = torch.zeros(1, side, side - 1, dtype=torch.float64)
    down = torch.zeros(1, side - 1, side, dtype=torch.float64)
    nodes = [(int(a), int(b), float(j)) for a, b, j in rows[1:]]
    first = min(min(a, b) for a, b, _ in nodes)
    for a, b, j in nodes:
        low, high = sorted((a - first, b - first))
        y, x = divmod(low, side)
        (right if high == low + 1 else down)[0, y, x] = j
    return IsingGrid(torch.zeros(1, side, side, dtype=torch.float64), right, down)


@pytest.mark.parametrize("seed", range(1, 6))
def test_spin_glass_ground_states(shared_data, seed):
    folder = shared_data / "instances/spinglass/ea"
    name = f"10x10_uniform_seed{seed}.txt"
    rows = csv.DictReader((folder / "certified.csv").read_text().splitlines())
    answer = {row["file"]: float(row["E_min_of_minus_sum_Jss"]) for row in rows}[name]
    model = spin_glass(folder / name)
    proven = Ilp().find_map(model)
    assert proven.status == (Status.OPTIMAL,)
    assert proven.energy.item() == pytest.approx(answer, abs=1e-6)
    assert proven.gap.item() < 1e-4
    for form in (model, model.as_graph()):
        assert Exact().find_map(form).energy.item() == pytest.approx(answer, abs=1e-6)
    found = Annealing(sweeps=1000, chains=100).find_map(model)
    assert found.energy.item() == pytest.approx(answer, abs=1e-4)
    for result in (found, Strips().find_map(model)):  # published to nine digits
        assert (
            answer - 2.0 <= result.lower_bound.item() <= answer + 1e-8
        )  # published to nine digits


@pytest.mark.parametrize("temperature", [2.0, 2.6, 3.5])
def test_gibbs_energy_of_the_ising_torus(shared_data, temperature):
    """16x16 torus, J = 1, against the exact density of states."""
    path = shared_data / "instances/analytic/ising_logdos_16x16.csv"
    table = np.loadtxt(path, delimiter=",", comments="#", skiprows=1)
    energies, log_states = table[:, 0], table[:, 1]
    weights = log_states - energies / temperature
    weights = np.exp(weights - weights.max())
    weights /= weights.sum()
    expected = (weights * energies).sum()
    deviation = np.sqrt((weights * energies**2).sum() - expected**2)
    model = IsingGrid(
        torch.zeros(1, 16, 16), torch.ones(1, 16, 16), torch.ones(1, 16, 16), periodic=True
    )
    samples = Gibbs(beta=1 / temperature, sweeps=2000, burn_in=500, chains=8, seed=1).sample(model)
    tolerance = 7 * deviation / np.sqrt(samples.effective_sample_size.item())
    assert abs(samples.energies.mean().item() - expected) < tolerance

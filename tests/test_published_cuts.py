"""Maximum cuts and binary quadratic programs with published optima, proven anew."""

from __future__ import annotations

import pytest
import torch

from mrfmask import Ilp, IsingGraph, Status

BQP50 = [-2098, -3702, -4626, -3544, -4012, -3693, -4520, -4216, -3780, -3507]
TORUS = {5555: 6049461, 6666: 5757868, 7777: 6509837}


def entries(path):
    """Number of nodes, and (i, j, value) of every line that follows, nodes from 0."""
    (nodes, _), *lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    return int(nodes), [(int(i) - 1, int(j) - 1, float(value)) for i, j, value in lines]


def quadratic(nodes, listed):
    """x'Qx of x in {0, 1} with x = (s + 1) / 2; entries off the diagonal count twice."""
    unary, constant = torch.zeros(1, nodes, dtype=torch.float64), 0.0
    edges, pairwise = [], []
    for i, j, q in listed:
        if i == j:
            unary[0, i] -= q / 2
            constant += q / 2
        else:  # 2 q x_i x_j = q (1 + s_i + s_j + s_i s_j) / 2
            unary[0, [i, j]] -= q / 2
            edges.append((i, j))
            pairwise.append(-q / 2)
            constant += q / 2
    return IsingGraph(
        unary,
        torch.tensor(edges),
        torch.tensor([pairwise], dtype=torch.float64),
        torch.tensor([constant]),
    )


@pytest.mark.parametrize("number", range(1, 11))
def test_bqp50_is_proven(shared_data, number):
    nodes, listed = entries(shared_data / f"instances/maxcut/bqp50-{number}.sparse")
    model = quadratic(nodes, listed)
    result = Ilp().find_map(model)
    x = result.mask[0].long().tolist()
    value = sum((1 if i == j else 2) * q * x[i] * x[j] for i, j, q in listed)
    assert value == BQP50[number - 1]
    assert result.energy.item() == pytest.approx(value, abs=1e-9)
    assert result.status == (Status.OPTIMAL,)
    assert value - 1e-4 <= result.lower_bound.item() <= value


@pytest.mark.parametrize("seed", TORUS)
def test_cut_of_a_gaussian_torus_is_proven(shared_data, seed):
    nodes, listed = entries(shared_data / f"instances/maxcut/t2g10_{seed}")
    edges = torch.tensor([(i, j) for i, j, _ in listed])
    weight = torch.tensor([[w for *_, w in listed]], dtype=torch.float64)
    # A pair adds w / 2 to the energy if equal and -w / 2 if cut: the cut is (sum w) / 2 - E.
    model = IsingGraph(torch.zeros(1, nodes, dtype=torch.float64), edges, -weight / 2)
    result = Ilp().find_map(model)
    x = result.mask[0].tolist()
    assert sum(w for i, j, w in listed if x[i] != x[j]) == TORUS[seed]
    assert result.status == (Status.OPTIMAL,)
    most = weight.sum().item() / 2 - result.lower_bound.item()
    assert TORUS[seed] <= most <= TORUS[seed] + 0.5

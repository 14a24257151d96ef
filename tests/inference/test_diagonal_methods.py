"""Every method and every public function takes diagonals into account, or says that it does not."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import couplings, energy_of, enumerate_image
from strategies import grids, random_grid

import mrfmask as mm
from mrfmask import Annealing, Gibbs, IsingGrid, MeanField, Status
from mrfmask.inference.mean_field import evidence_lower_bound
from mrfmask.inference.method import FUNCTIONS
from mrfmask.inference.neighbours import neighbour_sum
from mrfmask.inference.quick_bound import quick_bound
from mrfmask.inference.strips import strip_bound
from mrfmask.nn import MaskLayer, losses
from mrfmask.nn.estimators import ESTIMATORS
from mrfmask.nn.estimators.tv_prox import entry_map
from mrfmask.nn.mean_field import mean_field_logits

SIGMAS = 7.0  # as in test_gibbs.py
BY_ANSWER = [(name, answer) for name, method in mm.METHODS.items() for answer in method.answers]
MISSING = {"strips", "kawasaki"}  # methods that cannot take diagonals


def decided_by_diagonals():
    """All pixels are on because of the diagonals; without them all but two would be off."""
    unary = torch.full((1, 3, 3), -0.1)
    unary[0, 1, 1] = unary[0, 0, 1] = 2.0
    ones = torch.ones(1, 2, 2)
    zeros = torch.zeros(1, 3, 2), torch.zeros(1, 2, 3)
    return IsingGrid(unary, *zeros, down_right=1.5 * ones, down_left=1.5 * ones)


@pytest.mark.parametrize(("name", "answer"), BY_ANSWER)
def test_method_takes_diagonals_or_says_that_it_does_not(name, answer):
    model = decided_by_diagonals()
    kind = mm.METHODS[name]
    options = {"budget": 3} if name == "kawasaki" else {}
    function = getattr(kind(**options), FUNCTIONS[answer])
    if not (kind.graphs or kind.diagonals):
        with pytest.raises(ValueError, match=f"model must have no diagonals for {name}; got Ising"):
            function(model)
        return
    assert name not in MISSING
    result = function(model)
    assert len(result.status) == 1
    if answer == "map":
        assert result.mask.all()
        assert result.energy.item() == pytest.approx(energy_of(model, 0, np.ones((3, 3))))
        assert result.lower_bound.item() <= result.energy.item()
        assert result.verify(model)
    else:
        probability = result.probability if answer == "marginals" else result.mean
        assert probability.shape == model.shape
        assert probability.mean() > 0.8  # 0.5 would be that without diagonals
    if answer == "marginals":
        assert result.down_right.shape == result.down_left.shape == (1, 2, 2)
        assert result.pairwise is None
        assert result.down_left.mean() > 0.6


@pytest.mark.parametrize("name", [n for n, m in mm.METHODS.items() if hasattr(m, "accepts")])
def test_a_negative_diagonal_is_seen_by_accepts(name):
    plain = random_grid(1, 30, 30)
    model = IsingGrid(plain.unary, plain.right, plain.down, down_left=-torch.ones(1, 29, 29))
    assert not mm.METHODS[name].accepts(model)


TARGET = torch.ones(1, 3, 3, dtype=torch.bool)
REFUSING = {
    "sample": lambda m: mm.sample(m, budget=3),
    "budget_path": mm.budget_path,
    "logits": mean_field_logits,
    "entry map": entry_map,
    "strip_bound": strip_bound,
    **{
        f"layer {name} {training}": lambda m, name=name, training=training: MaskLayer(
            estimator=name
        ).train(training)(m)
        for name in ESTIMATORS
        for training in (False, True)
    },
    **{
        f"loss {name}": lambda m, name=name: getattr(losses, name)()(m, TARGET)
        for name in losses.__all__
        if name not in ("Loss", "LossDetails", "PersistentLikelihood")
    },
    "loss PersistentLikelihood": lambda m: losses.PersistentLikelihood(images=1, shape=(3, 3))(
        m, TARGET, index=torch.tensor([0])
    ),
}


@pytest.mark.parametrize("name", REFUSING)
def test_what_cannot_take_diagonals_says_so(name):
    with pytest.raises(ValueError, match="model must have no diagonals for "):
        REFUSING[name](decided_by_diagonals())


def scaled(model):
    """The model with couplings of at most 1, which mix quickly."""
    scale = max([1.0] + [t.abs().max().item() for t in model.couplings.values() if t.numel()])
    unary = torch.where(model.clamped, model.unary, model.unary / scale)
    tensors = {name: t / scale for name, t in model.couplings.items()}
    return IsingGrid(unary, constant=model.constant, periodic=model.periodic, **tensors)


@settings(max_examples=30)
@given(grids(diagonals=True), st.sampled_from([0.2, 0.6]), st.integers(0, 2**63 - 1))
def test_gibbs_marginals_equal_enumeration(model, beta, seed):
    model, chains = scaled(model), 1500
    table = enumerate_image(model)
    weights, _ = table.probabilities(beta)
    p = (weights[:, None, None] * table.masks).sum(axis=0).clip(0, 1)
    samples = Gibbs(beta=beta, sweeps=1, burn_in=60, chains=chains, seed=seed).sample(model)
    got = samples.masks[0].double().mean(dim=0).numpy()
    assert (np.abs(got - p) <= SIGMAS * np.sqrt(p * (1 - p) / chains) + 2 / chains).all()


@pytest.mark.parametrize(("height", "width", "periodic"), [(2, 3, False), (2, 3, True)])
def test_gibbs_visits_states_as_often_as_they_are_probable(height, width, periodic):
    model = random_grid(
        1, height, width, coupling=0.3, signs="any", periodic=periodic, diagonals=True
    )
    table = enumerate_image(model)
    weights, _ = table.probabilities(1.0)
    chains = 20_000
    masks = Gibbs(sweeps=1, burn_in=50, chains=chains, seed=3).sample(model).masks
    powers = 2 ** np.arange(6)
    expected = np.zeros(64)
    expected[(table.masks.reshape(-1, 6) * powers).sum(axis=1)] = weights * chains
    numbers = (masks[0].reshape(chains, 6).numpy() * powers).sum(axis=1)
    chi_square = ((np.bincount(numbers, minlength=64) - expected) ** 2 / expected).sum()
    assert chi_square < 150  # 63 degrees of freedom: beyond once in 10^8


@pytest.mark.parametrize(("size", "periodic"), [((3, 4), False), ((3, 4), True), ((3, 3), True)])
def test_gibbs_pair_marginals_equal_enumeration(size, periodic):
    model = random_grid(
        1, *size, coupling=0.25, signs="any", periodic=periodic, diagonals=True, seed=2
    )
    weights, _ = enumerate_image(model).probabilities(1.0)
    x = torch.from_numpy(np.where(enumerate_image(model).masks, 1.0, -1.0))
    result = Gibbs(sweeps=400, burn_in=50, chains=200, seed=1).marginals(model)
    tolerance = SIGMAS / math.sqrt(200 * 400 / 4)  # integrated autocorrelation below 4 sweeps here
    for name, (one, other) in model.pairs(x).items():
        expected = torch.einsum("s,syx->yx", torch.from_numpy(weights), one * other)
        assert (getattr(result, name)[0] - expected).abs().max() < tolerance


def test_zero_diagonals_change_no_distribution():
    plain = random_grid(1, 3, 4, coupling=0.5, signs="any")
    zeros = torch.zeros(1, 2, 3)
    model = IsingGrid(plain.unary, plain.right, plain.down, down_right=zeros, down_left=zeros)
    weights, _ = enumerate_image(plain).probabilities(1.0)
    p = (weights[:, None, None] * enumerate_image(plain).masks).sum(axis=0)
    chains = 4000
    got = Gibbs(sweeps=1, burn_in=60, chains=chains).sample(model).masks[0].double().mean(dim=0)
    assert (np.abs(got.numpy() - p) <= SIGMAS * np.sqrt(p * (1 - p) / chains)).all()
    first, second = (MeanField(tolerance=1e-7).marginals(m) for m in (plain, model))
    torch.testing.assert_close(first.probability, second.probability, rtol=0, atol=1e-5)
    torch.testing.assert_close(first.log_partition, second.log_partition, rtol=0, atol=1e-4)


@given(grids(diagonals=True, most_pixels=12))
def test_gibbs_energies_are_those_of_the_model(model):
    samples = Gibbs(sweeps=3, burn_in=0, chains=2, seed=1).sample(model)
    finite = torch.where(model.clamped, 0.0, model.unary)
    size = sum(float(t.abs().double().sum()) for t in (finite, *model.couplings.values()))
    expected = energy_of(model, 0, samples.masks[0, 1].numpy())
    assert samples.energies[0, 1, -1].item() == pytest.approx(expected, abs=2e-6 * size + 1e-12)


@given(grids(diagonals=True), st.data())
def test_neighbour_sum_adds_every_coupling(model, data):
    values = model.unary.double().nan_to_num(posinf=1.5, neginf=-2.5)
    expected = np.zeros(model.shape[1:])
    for i, j, value in couplings(model, 0):
        expected[i] += value * values[0][j]
        expected[j] += value * values[0][i]
    found = neighbour_sum(values=values, **{n: t.double() for n, t in model.couplings.items()})
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(data=st.data(), beta=st.sampled_from([0.3, 1.0, 2.5]))
def test_mean_field_is_a_fixed_point_below_log_partition(dtype, data, beta):
    model = data.draw(grids(dtype=dtype, diagonals=True))
    result = MeanField(beta=beta, tolerance=1e-6).marginals(model)
    m = (2 * result.probability - 1).double()
    field = torch.where(model.clamped, 0.0, model.unary).double()[0].numpy().copy()
    for i, j, value in couplings(model, 0):
        field[i] += value * m[0][j]
        field[j] += value * m[0][i]
    expected = torch.tanh(beta * torch.from_numpy(field))
    expected = torch.where(model.clamped[0], model.unary[0].double().sign(), expected)
    if result.status == (Status.CONVERGED,):
        # One more sweep moves a mean by at most the tolerance times the pull of eight neighbours.
        assert (m[0] - expected).abs().max().item() < 1e-6 * (1 + 48 * beta) + 1e-6
    _, log_partition = enumerate_image(model).probabilities(beta)
    assert result.log_partition.item() <= log_partition + 1e-9 * (1 + abs(log_partition))
    for name, (one, other) in model.pairs(m.to(dtype)).items():
        torch.testing.assert_close(getattr(result, name), one * other, rtol=1e-5, atol=1e-6)


@settings(max_examples=30)
@given(grids(diagonals=True, dtype=torch.float64, most_pixels=12))
def test_mean_field_bound_never_falls(model):
    mean, values = None, []
    for _ in range(8):
        result = MeanField(max_sweeps=1, start=mean).marginals(model)
        mean = 2 * result.probability - 1
        values.append(result.log_partition.item())
    slack = 1e-9 * (1 + max(map(abs, values)))
    assert all(b >= a - slack for a, b in itertools.pairwise(values))


@pytest.mark.parametrize("periodic", [False, True])
def test_mean_field_kernels_agree_with_float64(periodic):
    model = random_grid(2, 5, 7, coupling=0.3, signs="any", periodic=periodic, diagonals=True)
    options = {"max_sweeps": 6, "tolerance": 1e-30}
    first = MeanField(**options).marginals(model)
    second = MeanField(**options).marginals(model.to(torch.float64))
    assert (first.probability - second.probability).abs().max() < 1e-5
    expected = evidence_lower_bound(model, 2 * first.probability - 1, 1.0)
    torch.testing.assert_close(first.log_partition, expected, rtol=1e-5, atol=1e-4)


@given(grids(diagonals=True))
def test_quick_bound_is_below_the_minimum(model):
    least = enumerate_image(model).minimum()
    assert quick_bound(model).item() <= least + 1e-9 * (1 + abs(least))


@given(grids(diagonals=True))
def test_annealing_finds_the_minimum_of_small_grids(model):
    result = Annealing(sweeps=200, chains=4).find_map(model)
    least = enumerate_image(model).minimum()
    assert result.energy.item() == pytest.approx(least, abs=1e-5 * (1 + abs(least)))
    assert result.verify(model)


@pytest.mark.parametrize("signs", ["associative", "repulsive", "any"])
@pytest.mark.parametrize("periodic", [False, True])
def test_auto_finds_the_minimum(signs, periodic):
    model = random_grid(2, 3, 4, signs=signs, periodic=periodic, diagonals=True)
    result = mm.find_map(model)
    least = [enumerate_image(model, b).minimum() for b in range(2)]
    assert result.energy.tolist() == pytest.approx(least, abs=1e-5)
    assert result.status == (Status.OPTIMAL,) * 2
    assert result.verify(model)
    # A cut proves associative ones of any size.
    assert (result.method == "graph_cut") == (signs == "associative")


def test_bounds_and_min_marginals_see_diagonals():
    model = random_grid(1, 3, 3, coupling=0.4, diagonals=True)
    table = enumerate_image(model)
    _, log_partition = table.probabilities(1.0)
    bounds = mm.log_partition_bounds(model)
    assert bounds.lower.item() <= log_partition <= bounds.upper.item()
    assert bounds.upper.item() - bounds.lower.item() < 0.5
    found = mm.min_marginals(model).energies[0]
    states = table.masks.reshape(len(table.masks), -1)
    for site, (off, on) in enumerate(found.tolist()):
        assert off == pytest.approx(table.energies[~states[:, site]].min(), abs=1e-5)
        assert on == pytest.approx(table.energies[states[:, site]].min(), abs=1e-5)

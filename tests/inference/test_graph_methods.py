"""What every method that takes graphs promises for them, whatever it does inside."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from graph_models import random_graph
from oracles import enumerate_image

import mrfmask as mm
from mrfmask.inference.method import FUNCTIONS

SMALL = {
    "annealing": {"sweeps": 30},
    "gibbs": {"sweeps": 8, "burn_in": 2},
}
# Cuts and monotone coupling need couplings of one sign.
SIGNS = {"graph_cut": "associative", "cftp": "associative"}
BY_ANSWER = [
    (name, answer)
    for name, method in mm.METHODS.items()
    if method.graphs
    for answer in method.answers
]
STATES = {"map": "mask", "marginals": "probability", "sample": "masks"}


def run(name, answer, model, **options):
    method = mm.METHODS[name](**SMALL.get(name, {}), **options)
    return getattr(method, FUNCTIONS[answer])(model)


def graph(name, *size, **options):
    return random_graph(*size, signs=SIGNS.get(name, "any"), **options)


def tensors(result):
    fields = {f.name: getattr(result, f.name) for f in dataclasses.fields(result)}
    return {k: v for k, v in fields.items() if isinstance(v, torch.Tensor)}


@pytest.mark.parametrize(("name", "answer"), BY_ANSWER)
def test_method_treats_a_batch_of_graphs_as_its_models(name, answer):
    model = graph(name, 3, 9, 14, coupling=0.6)
    seeded = "seed" in {f.name for f in dataclasses.fields(mm.METHODS[name])}
    whole = tensors(run(name, answer, model, **({"seed": (11, 12, 13)} if seeded else {})))
    for b in range(3):
        alone = tensors(run(name, answer, model[b], **({"seed": (11 + b,)} if seeded else {})))
        for key, value in alone.items():
            assert torch.allclose(whole[key][b].double(), value[0].double(), rtol=1e-12), key


@pytest.mark.parametrize(("name", "answer"), BY_ANSWER)
@pytest.mark.parametrize("size", [(1, 0), (3, 0), (2, 1), (12, 18)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_method_takes_every_graph(name, answer, size, dtype):
    model = graph(name, 2, *size, dtype=dtype)
    result = run(name, answer, model)
    if answer == "map":
        assert result.mask.dtype == torch.bool
        assert torch.equal(result.energy, model.energy(result.mask))
        assert (result.gap >= 0).all()
        assert result.verify(model)
        for b in range(2):
            minimum = enumerate_image(model, b).minimum()
            assert result.lower_bound[b] <= minimum + 1e-9 <= result.energy[b] + 2e-9
    elif answer == "marginals":
        assert result.probability.dtype == dtype
        assert result.pairwise.shape == model.pairwise.shape
        assert result.right is None
        assert ((result.probability >= 0) & (result.probability <= 1)).all()
        assert (result.pairwise.abs() <= 1).all()
    else:
        assert result.mean.shape == model.shape
    states = getattr(result, STATES[answer])
    assert (states[:, 0] if answer == "sample" else states).shape == model.shape
    assert len(result.status) == 2
    assert result.method == name


@pytest.mark.parametrize(("name", "answer"), BY_ANSWER)
def test_method_takes_an_empty_batch_of_graphs(name, answer):
    result = run(name, answer, graph(name, 0, 5, 6))
    assert result.status == ()
    for key, value in tensors(result).items():
        assert value.shape[0] == 0, key


@pytest.mark.parametrize(("name", "answer"), BY_ANSWER)
def test_method_honours_clamps_of_nodes(name, answer):
    model = graph(name, 2, 10, 15, coupling=2.0)
    on = torch.zeros(2, 10, dtype=torch.bool)
    on[0, :2] = on[1, 3] = True
    off = on.flip(1)
    states = getattr(run(name, answer, model.clamp(on=on, off=off)), STATES[answer])
    states = states.double().mean(dim=1) if answer == "sample" else states
    assert (states[on] == 1).all()
    assert (states[off] == 0).all()


@pytest.mark.parametrize(("name", "answer"), BY_ANSWER)
def test_method_adds_up_parallel_edges(name, answer):
    model = graph(name, 1, 6, 8, coupling=0.5)
    doubled = mm.IsingGraph(
        model.unary,
        torch.cat([model.edges, model.edges.flip(1)]),
        torch.cat([0.25 * model.pairwise, 0.75 * model.pairwise], dim=1),
    )
    first, second = run(name, answer, model), run(name, answer, doubled)
    if answer == "map":
        assert torch.equal(first.mask, second.mask)
    elif answer == "marginals" and mm.METHODS[name].exact:
        assert torch.allclose(first.probability, second.probability)
        assert torch.allclose(first.pairwise, second.pairwise[:, :8])
        assert torch.allclose(first.pairwise, second.pairwise[:, 8:])


@pytest.mark.parametrize(("name", "answer"), BY_ANSWER)
def test_method_takes_graphs_that_require_gradients(name, answer):
    model = graph(name, 2, 7, 9, dtype=torch.float32)  # float64 mean field is differentiable
    wanting = mm.IsingGraph(
        model.unary.requires_grad_(), model.edges, model.pairwise.requires_grad_()
    )
    assert not any(v.requires_grad for v in tensors(run(name, answer, wanting)).values())


@pytest.mark.parametrize(("name", "answer"), BY_ANSWER)
def test_answer_of_a_graph_does_not_depend_on_threads(name, answer):
    model = graph(name, 4, 12, 20)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        first = tensors(run(name, answer, model))
        torch.set_num_threads(3)
        second = tensors(run(name, answer, model))
    finally:
        torch.set_num_threads(before)
    # Where there is no diagnostic it is NaN.
    assert all(torch.equal(first[k].nan_to_num(), second[k].nan_to_num()) for k in first)


def test_auto_takes_what_is_exact_for_a_graph():
    for model, method in (
        (random_graph(1, 300, 900, signs="associative"), "graph_cut"),
        (random_graph(1, 40, 45), "exact"),
        (random_graph(1, 400, 500, coupling=0.2), "qpbo"),
    ):
        result = mm.find_map(model)
        assert result.method == method
        assert result.gap.item() <= 1e-4  # rounding to integers
        assert result.verify(model)


def test_auto_bounds_a_frustrated_graph_and_proves_it_in_time():
    model = random_graph(1, 150, 375, seed=4)
    result = mm.find_map(model)
    assert result.lower_bound < result.energy
    proven = mm.find_map(model, time_limit_s=60)
    assert proven.status == (mm.Status.OPTIMAL,)
    assert result.lower_bound <= proven.energy <= result.energy

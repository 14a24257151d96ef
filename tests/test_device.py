"""CUDA models through all of Python, on a device that is not there: see device_tracker.py."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

import pytest
import torch
from device_tracker import Card, OnCard
from golden import GOLDEN, answers
from random_models import random_grid
from shim import ShimLauncher

import mrfmask as mm
from mrfmask import cuda, ops
from mrfmask.inference.method import FUNCTIONS
from mrfmask.nn import losses
from mrfmask.select import SELECTORS

OPTIONS = {
    "exact": {"chains": 3},
    "mean_field": {"max_sweeps": 30},
    "gibbs": {"sweeps": 7, "burn_in": 3, "chains": 2},
    "annealing": {"sweeps": 20, "chains": 2},
    "kawasaki": {"budget": 0.3, "sweeps": 7, "burn_in": 3, "chains": 2},
}
CALLS = [
    (name, answer)
    for name, method in mm.METHODS.items()
    if "cuda" in method.devices
    for answer in method.answers
]


@pytest.fixture
def card(monkeypatch):
    card = Card()
    shim = ShimLauncher(20, 101376)
    shim.capturing = lambda: card.capturing
    monkeypatch.setattr(cuda, "launcher", lambda index: shim)
    monkeypatch.setattr(torch.cuda, "current_stream", card.current_stream)
    with card:
        yield card


def model_for(name, dtype=torch.float32):
    signs = "associative" if name in ("graph_cut", "cftp") else "any"
    model = random_grid(3, 4, 9, coupling=0.6, signs=signs, seed=3, dtype=dtype)
    unary = model.unary.clone()
    unary[0, 1, 2], unary[2, 0, 0] = torch.inf, -torch.inf
    constant = torch.tensor([0.3, -1.0, 7.0], dtype=torch.float64)
    return mm.IsingGrid(unary, model.right, model.down, constant)


def tensors_of(value):
    """All tensors in a result, by where they are in it."""
    if isinstance(value, torch.Tensor):
        yield "", value
    elif is_dataclass(value):
        for f in fields(value):
            yield from ((f".{f.name}{k}", v) for k, v in tensors_of(getattr(value, f.name)))
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from ((f".{key}{k}", v) for k, v in tensors_of(one))
    elif isinstance(value, list | tuple):
        for i, one in enumerate(value):
            yield from ((f"[{i}]{k}", v) for k, v in tensors_of(one))


def assert_same(here, there, same_bits=True):
    """All tensors are on the device, and equal: bit for bit but for energies and statistics."""
    first, second = dict(tensors_of(here)), dict(tensors_of(there))
    assert first.keys() == second.keys()
    for name, want in first.items():
        assert isinstance(second[name], OnCard), name
        got = second[name].cpu()
        exact = same_bits and name in (".mask", ".masks", ".counts", ".mean", ".probability")
        exact |= same_bits and name in (".right", ".down", ".order", ".block", ".entry")
        if exact or not want.is_floating_point():
            assert torch.equal(got, want), name
        else:
            torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "answer"), CALLS)
def test_method_keeps_to_the_device(card, name, answer, dtype):
    model = model_for(name, dtype)
    method = mm.METHODS[name](**OPTIONS.get(name, {}))
    here = getattr(method, FUNCTIONS[answer])(model)
    there = getattr(method, FUNCTIONS[answer])(model.to("cuda"))
    # What needs exp and log in float64 rounds otherwise on CUDA.
    free = name == "exact" or (name == "mean_field" and dtype == torch.float64)
    assert_same(here, there, same_bits=not free)
    if answer == "map":
        assert there.verify(model.to("cuda"))


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize(
    ("name", "answer"), [call for call in CALLS if mm.METHODS[call[0]].diagonals]
)
def test_method_keeps_to_the_device_with_diagonals(card, name, answer, periodic):
    signs = "associative" if name == "cftp" else "any"
    options = {"signs": signs, "periodic": periodic, "diagonals": True}
    model = random_grid(3, 5, 8, coupling=0.2, seed=3, **options)
    method = mm.METHODS[name](**OPTIONS.get(name, {}))
    here = getattr(method, FUNCTIONS[answer])(model)
    there = getattr(method, FUNCTIONS[answer])(model.to("cuda"))
    assert_same(here, there)


@pytest.mark.parametrize("name", ["gibbs", "mean_field", "graph_cut", "kawasaki"])
def test_answers_on_the_device_are_the_golden_bits(card, name):
    assert answers(name, "cuda") == GOLDEN[name]


def test_annealing_has_one_schedule_on_all_devices(card):
    model = random_grid(8, 37, 41, signs="any", dtype=torch.float64)
    schedule = mm.Annealing(sweeps=50)._schedule
    assert torch.equal(schedule(model), schedule(model.to("cuda")).cpu())


@pytest.mark.parametrize("signs", ["associative", "repulsive", "any"])
@pytest.mark.parametrize(
    "options", [{"budget": 7}, {"budget_new": 0.2}, {"budget": [3, 9, 30], "at_most": True}]
)
def test_budgets_keep_to_the_device(card, signs, options):
    model = random_grid(3, 5, 7, signs=signs, seed=2)
    unary = model.unary.clone()
    unary[0, 1, 2], unary[2, 0, 0] = torch.inf, -torch.inf
    model = mm.IsingGrid(unary, model.right, model.down)
    here, there = (mm.find_map(m, **options) for m in (model, model.to("cuda")))
    if signs == "any":
        # Golden sections stop anywhere on a plateau.
        assert all(isinstance(tensor, OnCard) for _, tensor in tensors_of(there))
        assert torch.equal(here.mask, there.mask.cpu())
        torch.testing.assert_close(there.lower_bound.cpu(), here.lower_bound, rtol=1e-3, atol=0)
    else:
        assert_same(here, there)
    assert there.verify(model.to("cuda"))


@pytest.mark.parametrize("options", [{"method": "ilp"}, {"time_limit_s": 20.0}])
def test_programs_keep_to_the_device(card, options):
    model = random_grid(2, 4, 5, signs="any", seed=2)
    here, there = (mm.find_map(m, budget=8, **options) for m in (model, model.to("cuda")))
    assert isinstance(there.mask, OnCard)
    assert isinstance(there.lower_bound, OnCard)
    assert torch.equal(here.mask, there.mask.cpu())


def test_images_of_several_methods_keep_to_the_device(card):
    cut, other = (random_grid(1, 15, 16, signs=s) for s in ("associative", "any"))
    model = mm.IsingGrid(
        *(torch.cat([getattr(m, n) for m in (cut, other)]) for n in ("unary", "right", "down"))
    )
    there = mm.find_map(model.to("cuda"))
    assert_same(mm.find_map(model), there)
    assert there.verify(model.to("cuda"))


def test_paths_keep_to_the_device(card):
    model = model_for("graph_cut")
    here, there = mm.budget_path(model), mm.budget_path(model.to("cuda"))
    assert_same(here, there)
    assert there.verify(model.to("cuda"))
    for penalty in (0.3, torch.tensor([0.1, -0.2, 0.4])):
        on_card = penalty if isinstance(penalty, float) else penalty.to("cuda")
        assert torch.equal(here.mask_at(penalty), there.mask_at(on_card).cpu())
    assert_same(here.around(9), there.around(9))
    assert_same(here.bound(9), there.bound(9))


@pytest.mark.parametrize("name", SELECTORS)
def test_selectors_answer_on_the_device(card, name):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 9, 11, generator=generator)
    scores[0, :3] = -torch.inf
    taken = torch.rand(2, 9, 11, generator=generator) < 0.1
    here = mm.select(scores, name, budget_new=8, taken=taken)
    there = mm.select(scores.to("cuda"), name, budget_new=8, taken=taken.to("cuda"))
    assert_same(here, there)


def test_costs_and_features_of_selectors_come_from_the_device(card):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 9, 11, generator=generator)
    for name, budget, extra in (
        ("random", 30, {"cost": torch.randint(1, 5, scores.shape, generator=generator)}),
        ("k_center", 9, {"features": torch.rand(2, 3, 9, 11, generator=generator)}),
    ):
        there = {key: value.to("cuda") for key, value in extra.items()}
        assert_same(
            mm.select(scores, name, budget=budget, **extra),
            mm.select(scores.to("cuda"), name, budget=budget, **there),
        )


def test_long_range_search_answers_on_the_device(card):
    scores = torch.randn(2, 9, 11, generator=torch.Generator().manual_seed(0))
    search = mm.LongRange()
    here, there = (search.search(s, budget=9) for s in (scores, scores.to("cuda")))
    assert_same(here, there)
    assert_same(
        search.log_energy(scores, here.mask), search.log_energy(scores.to("cuda"), there.mask)
    )


def test_models_answer_on_the_device(card, tmp_path):
    model = model_for("gibbs")
    there = model.to("cuda")
    masks = torch.rand(3, 2, 4, 9, generator=torch.Generator().manual_seed(0)) < 0.5
    assert_same(model.energy(masks), there.energy(masks.to("cuda")))
    log_partition = torch.zeros(3)
    assert_same(
        model.log_prob(masks, log_partition),
        there.log_prob(masks.to("cuda"), log_partition.to("cuda")),
    )
    assert_same((model.edges, model.pairwise), (there.edges, there.pairwise))
    assert_same(
        model.clamp(on=masks[:, 0] & ~model.clamped),
        there.clamp(on=(masks[:, 0] & ~model.clamped).to("cuda")),
    )
    tables = torch.rand(2, 4, 5, 2), torch.rand(2, 4, 4, 2, 2), torch.rand(2, 3, 5, 2, 2)
    assert_same(
        mm.IsingGrid.from_costs(*tables), mm.IsingGrid.from_costs(*(t.to("cuda") for t in tables))
    )
    mm.save_model(there, tmp_path / "model.safetensors")
    assert torch.equal(mm.load_model(tmp_path / "model.safetensors").unary, model.unary)


LOSSES = [
    losses.StructuredHinge(balance="image"),
    losses.Perceptron(),
    losses.PseudoLikelihood(),
    losses.MeanFieldLikelihood(),
    losses.ExactLikelihood(),
    losses.ExactLikelihood(crop=(3, 5)),
    losses.PersistentLikelihood(images=3, shape=(4, 9)),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_losses_keep_to_the_device(card, loss):
    model = random_grid(3, 4, 9, signs="any", dtype=torch.float64)
    target = torch.rand(3, 4, 9, generator=torch.Generator().manual_seed(0)) < 0.5
    values, gradients = [], []
    for device in ("cpu", "cuda"):
        one = copy.deepcopy(loss)
        for name, buffer in one.named_buffers():
            setattr(one, name, buffer.to(device))
        leaves = [t.clone().requires_grad_() for t in (model.unary, model.right, model.down)]
        there = mm.IsingGrid(*(leaf.to(device) for leaf in leaves))
        result = one(there, target.to(device))
        # The tracker cannot follow an autograd function of our own.
        if not isinstance(one, losses.MeanFieldLikelihood):
            result.backward()
            gradients.append([leaf.grad for leaf in leaves])
        values.append(result)
    assert isinstance(values[1], OnCard)
    torch.testing.assert_close(values[1].detach().cpu(), values[0].detach())
    for here, there in zip(*gradients, strict=True):
        torch.testing.assert_close(there, here)


@pytest.mark.parametrize("name", ["long_range", "exact_uniforms"])
def test_operators_without_a_kernel_run_on_the_host(card, name):
    state = torch.zeros(1, 2, 4, dtype=torch.uint8)
    arguments = {
        "long_range": (torch.ones(1, 2, 4).double(), torch.tensor([2]), state, 8, 9),
        "exact_uniforms": (torch.tensor([1, 0]), 4, 3),
    }[name]
    operator = getattr(torch.ops.mrfmask, name)
    there = [a.to("cuda") if torch.is_tensor(a) else a for a in arguments]
    assert_same(operator(*arguments), operator(*there))


SIZES = [(5, 7), (33, 50), (200, 30)]


def gibbs_arguments(model, chains, beta):
    seed = torch.tensor([[5, 0], [5, 1]])
    potentials = (model.unary, model.right, model.down, model.periodic)
    return (*potentials, beta, seed.to(model.device), None, chains, 4, 5)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("chains", [1, 33])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_gibbs_can_be_captured(card, height, width, chains, keep):
    model = random_grid(2, height, width, signs="any")
    there = model.to("cuda")
    beta, offset = torch.ones(2, 1, dtype=torch.float64), torch.tensor([11])
    arguments = gibbs_arguments(there, chains, beta.to("cuda"))
    offset_there = offset.to("cuda")
    card.capturing = True
    results = ops.gibbs(*arguments, offset_there, keep, keep)
    card.capturing = False
    expected = ops.gibbs(*gibbs_arguments(model, chains, beta), offset, keep, keep)
    for got, want in zip(results, expected, strict=True):
        assert torch.equal(got.cpu(), want)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_mean_field_can_be_captured(card, height, width):
    model = random_grid(2, height, width, coupling=0.4, signs="any")
    there = model.to("cuda")
    beta = torch.tensor([0.5, 1.0], dtype=torch.float64)
    beta_there = beta.to("cuda")
    potentials = (model.unary, model.right, model.down, False, beta, None)
    on_card = (there.unary, there.right, there.down, False, beta_there, None)
    converged = int(ops.mean_field(*potentials, 100, 1e-3)[1].max())
    assert converged < 40
    # With just enough sweeps the last launch of tiles is done again.
    for most in (converged - 1, converged, converged + 1, 40):
        card.capturing = True
        results = ops.mean_field(*on_card, most, 1e-3)
        card.capturing = False
        expected = ops.mean_field(*potentials, most, 1e-3)
        for got, want in zip(results, expected, strict=True):
            assert torch.equal(got.cpu(), want)


def test_operators_refuse_tensors_of_two_devices(card):
    model = random_grid(2, 5, 7).to("cuda")
    beta = torch.ones(2, 1, dtype=torch.float64)
    arguments = gibbs_arguments(model, 1, beta)
    with pytest.raises(ValueError, match=r"beta must be on the device of unary, cuda:0; got cpu\."):
        ops.gibbs(*arguments, torch.tensor([0]).to("cuda"), False, False)


def test_tracker_notices_what_a_device_refuses(card):
    there = torch.ones(3).to("cuda")
    for mistake in (
        lambda: there + torch.ones(3),
        lambda: torch.cat([there, torch.ones(3)]),
        lambda: there[torch.tensor([0, 2])],
        lambda: there.numpy(),
        lambda: torch.ldexp(there, torch.tensor(2)),
    ):
        with pytest.raises((RuntimeError, TypeError), match=r"cpu|CUDA"):
            mistake()
    # A number of the CPU may take part; a quotient by one is a product.
    assert torch.equal((there * torch.tensor(5.0) / 3).cpu(), torch.ones(3) * 5 * (1 / 3))
    card.capturing = True
    for mistake in (there.sum().item, lambda: bool(there.any()), lambda: torch.ones(3).to("cuda")):
        with pytest.raises(RuntimeError, match="during a capture"):
            mistake()

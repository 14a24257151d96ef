"""What every method in METHODS promises, whatever it does inside."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch
from strategies import random_grid

import mrfmask as mm
from mrfmask.inference.method import FUNCTIONS

SMALL = {
    "annealing": {"sweeps": 30},
    "gibbs": {"sweeps": 8, "burn_in": 2},
    "kawasaki": {"sweeps": 8, "burn_in": 2, "budget": 0.5},
}
BY_ANSWER = [(name, answer) for name, method in mm.METHODS.items() for answer in method.answers]
MAP_METHODS = [name for name, answer in BY_ANSWER if answer == "map"]


def run(name, answer, model, **options):
    method = mm.METHODS[name](**SMALL.get(name, {}), **options)
    return getattr(method, FUNCTIONS[answer])(model)


def tensors(result):
    fields = {f.name: getattr(result, f.name) for f in dataclasses.fields(result)}
    return {k: v for k, v in fields.items() if isinstance(v, torch.Tensor)}


@pytest.mark.parametrize(("name", "answer"), BY_ANSWER)
def test_method_treats_a_batch_as_its_images(name, answer):
    model = random_grid(3, 3, 4, coupling=0.6)
    seeds = {"seed": (11, 12, 13)} if "seed" in field_names(name) else {}
    whole = tensors(run(name, answer, model, **seeds))
    for b in range(3):
        seed = {"seed": (seeds["seed"][b],)} if seeds else {}
        alone = tensors(run(name, answer, model[b], **seed))
        for key, value in alone.items():
            assert torch.allclose(whole[key][b].double(), value[0].double(), rtol=1e-12), key


def field_names(name):
    return {f.name for f in dataclasses.fields(mm.METHODS[name])}


@pytest.mark.parametrize(("name", "answer"), BY_ANSWER)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (3, 4)])
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_method_takes_every_shape(name, answer, size, periodic, dtype):
    one_sign = name in ("graph_cut", "cftp")
    signs = "repulsive" if size == (3, 4) and not one_sign else "associative"
    model = random_grid(2, *size, signs=signs, periodic=periodic, dtype=dtype)
    result = run(name, answer, model)
    height, width = size
    if answer == "map":
        assert result.mask.shape == (2, height, width)
        assert result.mask.dtype == torch.bool
        assert torch.equal(result.energy, model.energy(result.mask))
        assert (result.gap >= 0).all()
        assert result.verify(model)
    elif answer == "marginals":
        assert result.probability.shape == (2, height, width)
        assert result.probability.dtype == dtype
        assert result.right.shape == model.right.shape
        assert result.down.shape == model.down.shape
        assert ((result.probability >= 0) & (result.probability <= 1)).all()
        assert ((result.entropy >= 0) & (result.margin <= 1)).all()
    else:
        assert result.masks.shape[:1] + result.masks.shape[2:] == (2, height, width)
        assert result.mean.shape == (2, height, width)
    assert len(result.status) == 2
    assert result.method == name


@pytest.mark.parametrize(("name", "answer"), BY_ANSWER)
def test_method_takes_an_empty_batch(name, answer):
    result = run(name, answer, random_grid(0, 3, 4))
    assert result.status == ()
    for key, value in tensors(result).items():
        assert value.shape[0] == 0, key


@pytest.mark.parametrize(("name", "answer"), BY_ANSWER)
def test_method_honours_clamps(name, answer):
    model = random_grid(1, 3, 4, coupling=2.0)
    on = torch.zeros(1, 3, 4, dtype=torch.bool)
    on[0, 0, :2] = True
    off = on.flip(1, 2)
    result = run(name, answer, model.clamp(on=on, off=off))
    states = {"map": "mask", "marginals": "probability", "sample": "mean"}[answer]
    value = getattr(result, states)
    assert (value[on] == 1).all()
    assert (value[off] == 0).all()


@pytest.mark.parametrize(("name", "answer"), BY_ANSWER)
def test_method_leaves_its_input_alone(name, answer):
    model = random_grid(2, 3, 4)
    before = [t.clone() for t in (model.unary, model.right, model.down, model.constant)]
    run(name, answer, model)
    after = (model.unary, model.right, model.down, model.constant)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(("name", "answer"), BY_ANSWER)
def test_method_takes_potentials_that_require_gradients_and_strides(name, answer):
    plain = random_grid(2, 3, 4)
    strided = mm.IsingGrid(
        plain.unary.transpose(1, 2).contiguous().transpose(1, 2).requires_grad_(),
        plain.right.repeat_interleave(2, dim=2)[:, :, ::2],
        plain.down.repeat_interleave(2, dim=1)[:, ::2],
    )
    first, second = tensors(run(name, answer, plain)), tensors(run(name, answer, strided))
    assert all(torch.allclose(first[k].double(), second[k].double()) for k in first)
    assert not any(v.requires_grad for v in second.values())


@pytest.mark.parametrize("name", MAP_METHODS)
def test_an_added_constant_moves_energy_and_bound_alike(name):
    model = random_grid(2, 3, 4)
    moved = mm.IsingGrid(model.unary, model.right, model.down, torch.tensor([5.0, -7.0]).double())
    first, second = run(name, "map", model), run(name, "map", moved)
    assert torch.equal(first.mask, second.mask)
    shift = torch.tensor([5.0, -7.0]).double()
    assert torch.allclose(second.energy, first.energy + shift)
    assert torch.allclose(second.lower_bound, first.lower_bound + shift)


@pytest.mark.parametrize("name", mm.METHODS)
def test_method_says_what_it_is(name):
    method = mm.METHODS[name]
    assert method.name == name
    assert set(method.answers) <= set(FUNCTIONS)
    assert method.needs
    assert all(hasattr(method, FUNCTIONS[answer]) for answer in method.answers)
    called = method(**SMALL.get(name, {}))(random_grid(1, 2, 2))
    expected = {"map": mm.MapResult, "marginals": mm.Marginals, "sample": mm.Samples}
    assert isinstance(called, expected[method.answers[0]])
    with pytest.raises(dataclasses.FrozenInstanceError):
        method().answers = ()


def test_auto_takes_what_is_exact():
    for model, method, reason in (
        (random_grid(1, 30, 30), "graph_cut", "one sign"),
        (random_grid(1, 30, 30, signs="repulsive"), "graph_cut", "one sign"),
        (random_grid(1, 4, 50, signs="any"), "exact", "narrow"),
        (random_grid(1, 16, 17, signs="any"), "exact", "narrow"),
        (random_grid(1, 9, 9, signs="any", periodic=True), "exact", "narrow"),
        (random_grid(1, 20, 20, signs="any"), "strips", "both signs"),
        (random_grid(1, 13, 13, signs="repulsive", periodic=True), "strips", "both signs"),
    ):
        result = mm.find_map(model)
        assert result.method == method
        assert reason in result.reason
        assert result.gap.item() <= 1e-6 or model.periodic


def test_auto_and_graph_cut_treat_every_image_by_itself():
    kinds = [("associative", False), ("repulsive", False), ("any", True), ("associative", False)]
    images = [random_grid(1, 20, 21, signs=s, seed=i) for i, (s, _) in enumerate(kinds)]

    def batch(part):
        names = ("unary", "right", "down", "constant")
        return mm.IsingGrid(*(torch.cat([getattr(m, n) for m in part]) for n in names))

    result = mm.find_map(batch(images))
    assert result.method == "graph_cut, strips"
    assert result.stats["methods"] == ("graph_cut", "graph_cut", "strips", "graph_cut")
    assert result.verify(batch(images))
    for b, (image, (_, mixed)) in enumerate(zip(images, kinds, strict=True)):
        alone = mm.find_map(image)
        assert result.status[b] == alone.status[0]
        assert torch.equal(result.mask[b], alone.mask[0]) or mixed
        assert torch.equal(result.lower_bound[b], alone.lower_bound[0]) or mixed
    cut = mm.GraphCut().find_map(batch([images[0], images[1]]))
    assert cut.verify(batch([images[0], images[1]]))
    assert (cut.gap < 1e-4).all()
    with pytest.raises(ValueError, match="of image 2, and positive ones elsewhere in it"):
        mm.GraphCut().find_map(batch(images))


def test_auto_takes_ilp_within_a_time_limit():
    model = random_grid(1, 12, 12, signs="any", periodic=True, seed=3)
    model = mm.IsingGrid(0.05 * model.unary, model.right, model.down, periodic=True)
    assert mm.find_map(model).gap.item() > 0.01
    result = mm.find_map(model, time_limit_s=60)
    assert result.method == "ilp"
    assert result.status == (mm.Status.OPTIMAL,)
    assert result.gap.item() <= 1e-4


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda m: mm.find_map(m, time_limit_s=-3),
            ValueError,
            "time_limit_s must be positive and finite; got -3",
        ),
        (lambda m: mm.GraphCut(lossless="no"), TypeError, "lossless must be a bool; got str"),
        (lambda m: mm.find_map(m, method="graphcut"), ValueError, "must be one of auto, exact"),
        (
            lambda m: mm.find_map(m, method="gibbs"),
            ValueError,
            "method must be one that answers 'map'; got 'gibbs'",
        ),
        (
            lambda m: mm.marginals(m, method="ilp"),
            ValueError,
            "method must be one that answers 'marginals'; got 'ilp'",
        ),
        (
            lambda m: mm.find_map(m, method="graph_cut", sweeps=3),
            TypeError,
            "options must be ones that graph_cut has; got 'sweeps'. It has: lossless, start, tie.",
        ),
        (
            lambda m: mm.find_map(m, method="graph_cut", time_limit_s=1.0),
            TypeError,
            "options must be ones that graph_cut has; got 'time_limit_s'",
        ),
        (
            lambda m: mm.find_map(m, tie="max"),
            TypeError,
            "method must be named when options are given; got method='auto' with ['tie']",
        ),
        (
            lambda m: mm.GraphCut(tie="any"),
            ValueError,
            "tie must be one of 'min', 'max'; got 'any'",
        ),
        (
            lambda m: mm.GraphCut()(m.unary),
            TypeError,
            "model must be an IsingGrid or",
        ),
        (lambda m: mm.MeanField(beta=0), ValueError, "beta must be positive and finite; got 0"),
        (lambda m: mm.MeanField(beta="1"), TypeError, "beta must be a number; got str"),
        (lambda m: mm.MeanField(tolerance=-1), ValueError, "tolerance must be positive"),
        (lambda m: mm.MeanField(max_sweeps=0), ValueError, "max_sweeps must lie in 1..2147483647"),
        (
            lambda m: mm.MeanField(start=m.unary.bool())(m),
            TypeError,
            "start must be a floating-point tensor; got torch.bool",
        ),
        (
            lambda m: mm.MeanField(start=m.unary[:1])(m),
            ValueError,
            "start must have shape (2, 3, 4); got (1, 3, 4)",
        ),
        (
            lambda m: mm.MeanField(start=m.unary * 100)(m),
            ValueError,
            "start must lie in [-1, 1]",
        ),
        (lambda m: mm.Gibbs(sweeps=0), ValueError, "sweeps must lie in 1..2147483647; got 0"),
        (lambda m: mm.Gibbs(sweeps=1.0), TypeError, "sweeps must be an int; got float"),
        (lambda m: mm.Gibbs(burn_in=-1), ValueError, "burn_in must lie in 0..2147483647; got -1"),
        (
            lambda m: mm.Gibbs(sweep_offset=2**31 - 5),
            ValueError,
            "sweep_offset + burn_in + sweeps must lie in 1..2147483647",
        ),
        (lambda m: mm.sample(m, chains=0), ValueError, "chains must lie in 1..536870911; got 0"),
        (
            lambda m: mm.sample(m, start=m.unary > 0),
            ValueError,
            "start must have shape (2, 1, 3, 4); got (2, 3, 4)",
        ),
        (lambda m: mm.sample(m, seed=-1), ValueError, "seed must lie in 0..2^63-1; got -1"),
        (lambda m: mm.sample(m, seed=1.5), TypeError, "seed must be an int or one int an image"),
        (lambda m: mm.sample(m, seed=[1]), ValueError, "one int for each of 2 images; got 1"),
        (lambda m: mm.sample(m, seed=[1, 2.0]), TypeError, "seed must hold ints; got float"),
        (
            lambda m: mm.Annealing(beta_start=2, beta_end=1),
            ValueError,
            "beta_end must be at least beta_start, 2; got 1",
        ),
        (lambda m: mm.Kawasaki(sweeps=0), ValueError, "sweeps must lie in 1..2147483647; got 0"),
        (lambda m: mm.Kawasaki(beta=-1.0), ValueError, "beta must be positive and finite; got -1"),
        (
            lambda m: mm.Kawasaki()(m),
            TypeError,
            "budget must be given without budget_new, or the other way round; got neither",
        ),
        (
            lambda m: mm.sample(m, budget=3, budget_new=3),
            TypeError,
            "budget must be given without budget_new, or the other way round; got both",
        ),
        (
            lambda m: mm.sample(m, budget=13),
            ValueError,
            "budget must leave a mask between the 0 pixels clamped on and the 12 not clamped off; "
            "got 13 pixels for image 0",
        ),
        (lambda m: mm.sample(m, budget="2%"), TypeError, "budget must be an int, or a fraction"),
        (
            lambda m: mm.marginals(m, method="kawasaki", budget=(1, 2, 3)),
            ValueError,
            "budget must be one number or one an image; got 3 for 2 images",
        ),
        (
            lambda m: mm.sample(m, budget=3, start=m.unary > 0),
            ValueError,
            "start must have shape (2, 1, 3, 4); got (2, 3, 4)",
        ),
        (
            lambda m: mm.sample(m, budget=(0, 3), start=torch.zeros(2, 1, 3, 4).bool()),
            ValueError,
            "start must have as many pixels on as the budget says, 3 in image 1; got 0 in chain 0",
        ),
        (lambda m: mm.Strips(rows=13), ValueError, "rows must lie in 2..12; got 13"),
        (lambda m: mm.Strips(sweeps=0), ValueError, "sweeps must lie in 1..2147483647; got 0"),
        (lambda m: mm.Cftp(max_sweeps=0), ValueError, "max_sweeps must lie in 1..1048576; got 0"),
        (lambda m: mm.Exact(chains=0), ValueError, "chains must lie in 1..2147483647; got 0"),
    ],
)
def test_message_names_the_argument_the_rule_and_the_value(call, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        call(random_grid(2, 3, 4))


def test_method_on_a_device_it_does_not_run_on_says_so():
    model = random_grid(1, 2, 2)
    meta = mm.IsingGrid.__new__(mm.IsingGrid)  # meta tensors cannot pass the checks of values
    for name in ("unary", "right", "down", "constant"):
        object.__setattr__(meta, name, getattr(model, name).to("meta"))
    object.__setattr__(meta, "periodic", False)
    for name in mm.METHODS:
        with pytest.raises(RuntimeError, match=f"model must be on cpu.* for {name}; got meta"):
            mm.METHODS[name]()(meta)

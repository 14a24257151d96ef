"""What all losses have in common, and what they say to wrong arguments."""

from __future__ import annotations

import re

import pytest
import torch
from loss_oracles import with_gradients
from strategies import random_grid

from mrfmask import IsingGrid
from mrfmask.nn import losses
from mrfmask.nn.losses import (
    ExactLikelihood,
    MeanFieldLikelihood,
    Perceptron,
    PersistentLikelihood,
    PseudoLikelihood,
    StructuredHinge,
)

SHAPE = (4, 5)
PERSISTENT = {"images": 3, "shape": SHAPE}
MAKERS = {
    "hinge": lambda **o: StructuredHinge(balance="image", **o),
    "perceptron": Perceptron,
    "pseudo": PseudoLikelihood,
    "mean_field": MeanFieldLikelihood,
    "exact": ExactLikelihood,
    "persistent": lambda **o: PersistentLikelihood(**PERSISTENT, **o),
}
ALL = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def clamped(dtype=torch.float32):
    model = random_grid(3, *SHAPE, coupling=0.4, seed=1, dtype=dtype)
    generator = torch.Generator().manual_seed(4)
    target = torch.rand(3, *SHAPE, generator=generator) < 0.4
    fixed = torch.rand(3, *SHAPE, generator=generator) < 0.2
    return model.clamp(on=fixed & target, off=fixed & ~target), target


def test_losses_are_all_tested():
    kinds = {type(make()).__name__ for make in MAKERS.values()}
    assert kinds | {"Loss", "LossDetails"} == set(losses.__all__)


@ALL
def test_loss_is_the_mean_of_its_images(make):
    model, target = clamped()
    values = make(reduction="none")(model, target)
    assert values.shape == (3,)
    assert values.dtype == torch.float64
    assert torch.equal(make()(model, target), values.mean())
    assert torch.equal(make().details(model, target).value, values)


@ALL
def test_loss_of_a_batch_is_that_of_its_images(make):
    model, target = clamped()
    values = make(reduction="none")(model, target)
    for b in range(3):
        index = (torch.tensor([b]),) if isinstance(make(), PersistentLikelihood) else ()
        alone = make()(model[b], target[b : b + 1], None, *index)
        assert alone.item() == pytest.approx(values[b].item(), abs=1e-9)


@ALL
def test_loss_gradient_is_finite_and_leaves_clamps_alone(make):
    plain, target = clamped()
    model, leaves = with_gradients(plain)
    make()(model, target).backward()
    assert all(bool(t.grad.isfinite().all()) for t in leaves)
    assert all(t.grad.dtype == torch.float32 for t in leaves)
    assert bool((leaves[0].grad[model.clamped] == 0).all())
    assert any(bool((t.grad != 0).any()) for t in leaves)


@ALL
def test_loss_does_not_see_an_added_constant(make):
    model, target = clamped(torch.float64)
    shifted = IsingGrid(model.unary, model.right, model.down, torch.tensor([1e3, 0.0, -7.0]))
    assert make()(shifted, target).item() == pytest.approx(make()(model, target).item(), abs=1e-9)


@ALL
def test_loss_is_the_same_under_autocast(make):
    plain, target = clamped()
    grads = []
    for enabled in (False, True):
        model, leaves = with_gradients(plain)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            value = make()(model, target)
        value.backward()
        grads.append([value, *(t.grad for t in leaves)])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


@ALL
def test_loss_of_mirrored_images_is_the_same(make):
    if isinstance(make(), PersistentLikelihood):
        return  # draws belong to pixels
    model, target = clamped(torch.float64)
    mirrored = IsingGrid(model.unary.flip(2), model.right.flip(2), model.down.flip(2))
    assert make()(mirrored, target.flip(2)).item() == pytest.approx(
        make()(model, target).item(), abs=1e-6
    )


IGNORING = ("hinge", "perceptron", "mean_field", "exact")


@pytest.mark.parametrize("make", [MAKERS[n] for n in IGNORING], ids=IGNORING)
def test_loss_does_not_look_at_pixels_of_weight_zero(make):
    plain, target = clamped()
    ignored = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(9)) < 0.3
    results = []
    for masks in (target, target ^ ignored):
        model, leaves = with_gradients(plain)
        value = make()(model, masks, (~ignored).float())
        value.backward()
        results.append([value, *(t.grad for t in leaves)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


MODEL = random_grid(3, *SHAPE)
TARGET = torch.zeros(3, *SHAPE, dtype=torch.bool)
ONES = torch.ones(3, *SHAPE)
BAD_EXAMPLES = [
    ((ONES, TARGET), TypeError, "model must be an IsingGrid; got Tensor"),
    ((MODEL, ONES), TypeError, "target must be a bool tensor; got torch.float32"),
    ((MODEL, TARGET[0]), ValueError, "target must have shape (3, 4, 5); got (4, 5)"),
    ((MODEL, TARGET.to("meta")), ValueError, "target must be on the model's device cpu; got meta"),
    ((MODEL, TARGET, TARGET), TypeError, "weights must be a floating-point tensor; got torch.bool"),
    ((MODEL, TARGET, 1.0), TypeError, "weights must be a floating-point tensor; got float"),
    ((MODEL, TARGET, ONES[:1]), ValueError, "weights must have shape (3, 4, 5); got (1, 4, 5)"),
    (
        (MODEL, TARGET, ONES.to("meta")),
        ValueError,
        "weights must be on the model's device cpu; got meta",
    ),
    (
        (MODEL, TARGET, -ONES),
        ValueError,
        "weights must be at least 0 and finite; got -1.0 at (0, 0, 0)",
    ),
    (
        (MODEL, TARGET, ONES * torch.nan),
        ValueError,
        "weights must be at least 0 and finite; got nan at (0, 0, 0)",
    ),
    (
        (MODEL.clamp(on=~TARGET), TARGET),
        ValueError,
        "target must honour the clamps; got pixel (0, 0) of image 0 off, clamped on in the model",
    ),
]


@ALL
@pytest.mark.parametrize(("arguments", "kind", "message"), BAD_EXAMPLES)
def test_loss_says_what_is_wrong(make, arguments, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        make()(*arguments)


BAD_CALLS = [
    (
        lambda: Perceptron(reduction="sum"),
        ValueError,
        "reduction must be one of 'mean', 'none'; got 'sum'",
    ),
    (
        lambda: StructuredHinge(balance="pixel"),
        ValueError,
        "balance must be one of 'none', 'image', 'batch'; got 'pixel'",
    ),
    (
        lambda: StructuredHinge(false_positive=-1.0),
        ValueError,
        "false_positive must be at least 0 and finite; got -1.0",
    ),
    (
        lambda: StructuredHinge(false_negative="1"),
        TypeError,
        "false_negative must be a number; got str",
    ),
    (lambda: PseudoLikelihood(beta=0), ValueError, "beta must be positive and finite; got 0"),
    (lambda: MeanFieldLikelihood(max_sweeps=0), ValueError, "max_sweeps must lie in 1.."),
    (lambda: ExactLikelihood(crop=5), TypeError, "crop must be (height, width); got 5"),
    (lambda: ExactLikelihood(crop=(5, 0)), ValueError, "crop width must lie in 1.."),
    (
        lambda: ExactLikelihood(crop=(5, 5))(MODEL, TARGET),
        ValueError,
        "crop must fit the images of 4x5; got (5, 5)",
    ),
    (
        lambda: ExactLikelihood()(random_grid(1, 40, 50), torch.ones(1, 40, 50).bool()),
        ValueError,
        "for ExactLikelihood; got 40x50. Give crop=(height, width) with a narrow side",
    ),
    (
        lambda: ExactLikelihood()(MODEL, TARGET, ONES / 2),
        ValueError,
        "weights must be 0 or 1 for ExactLikelihood; got 0.5 at (0, 0, 0)",
    ),
    (
        lambda: Perceptron()(MODEL, TARGET, ONES / 2),
        ValueError,
        "weights must be 0 or 1 for Perceptron; got 0.5 at (0, 0, 0)",
    ),
    (
        lambda: PersistentLikelihood(images=0, shape=SHAPE),
        ValueError,
        "images must lie in 1..2147483647; got 0",
    ),
    (lambda: PersistentLikelihood(images=1, shape=[4, 5]), TypeError, "shape must be (height, wid"),
    (
        lambda: PersistentLikelihood(**PERSISTENT)(MODEL, TARGET, 0 * ONES),
        ValueError,
        "weights must be 1 for PersistentLikelihood; got other values",
    ),
    (
        lambda: PersistentLikelihood(images=3, shape=(5, 4))(MODEL, TARGET),
        ValueError,
        "model must have images of 5x4; got 4x5",
    ),
    (
        lambda: PersistentLikelihood(**PERSISTENT).to("meta")(MODEL, TARGET),
        ValueError,
        "model must be on the device of the chains, meta; got cpu",
    ),
    (
        lambda: PersistentLikelihood(images=2, shape=SHAPE)(MODEL, TARGET),
        ValueError,
        "index must hold different numbers in 0..1; got [0, 1, 2]",
    ),
    (
        lambda: PersistentLikelihood(**PERSISTENT)(MODEL, TARGET, None, torch.tensor([0, 1, 1])),
        ValueError,
        "index must hold different numbers in 0..2; got [0, 1, 1]",
    ),
    (
        lambda: PersistentLikelihood(**PERSISTENT)(MODEL, TARGET, None, [0, 1, 2]),
        TypeError,
        "index must be an int64 tensor; got list",
    ),
    (
        lambda: PersistentLikelihood(**PERSISTENT)(MODEL, TARGET, None, torch.zeros(2).long()),
        ValueError,
        "index must have shape (3,); got (2,)",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), BAD_CALLS)
def test_losses_say_what_is_wrong(call, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        call()

"""The head: signs, symmetries, the rate it starts at, gradients, dtypes."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch
from oracles import couplings
from torch.nn.functional import gelu, linear

import mrfmask as mm
from mrfmask.nn import IsingHead
from mrfmask.nn.losses import PseudoLikelihood

COUPLINGS = ("associative", "repulsive", "free")


def head_and_features(coupling="associative", shape=(2, 6, 5, 7), seed=0, **options):
    """A head with weights large enough to matter, in float64, and random features."""
    torch.manual_seed(seed)
    head = IsingHead(shape[1], coupling, hidden=8, **options).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return head, torch.randn(shape, dtype=torch.float64)


def assert_same(got, expected):
    for name in ("unary", "right", "down"):
        torch.testing.assert_close(getattr(got, name), expected[name], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("coupling", COUPLINGS)
def test_head_computes_its_formula_pixel_by_pixel(coupling):
    head, features = head_and_features(coupling, shape=(1, 3, 2, 4))
    model = head(features)
    weights = {
        n: v.detach().flatten(1) if v.dim() > 1 else v.detach() for n, v in head.named_parameters()
    }
    scale = weights["log_scale"].exp()

    def layer(name, x):
        return linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    for y, x in itertools.product(range(2), range(4)):
        hidden = gelu(layer("unary.0", features[0, :, y, x]))
        expected = scale * layer("unary.2", hidden)
        assert model.unary[0, y, x].item() == pytest.approx(expected.item(), rel=1e-10)
    sign = {"associative": 1, "repulsive": -1, "free": None}[coupling]
    for (y, x), (v, u), value in couplings(model, 0):
        a, b = features[0, :, y, x], features[0, :, v, u]
        apart = (layer("differences", a) - layer("differences", b)).abs()
        raw = layer("pairwise.1", gelu(layer("sums", a) + layer("sums", b) - apart)).item()
        expected = raw if sign is None else sign * np.logaddexp(0, raw)
        assert value == pytest.approx(scale.item() * expected, rel=1e-10)


@pytest.mark.parametrize("coupling", COUPLINGS)
def test_head_mirrors_couplings_with_the_features(coupling):
    head, features = head_and_features(coupling)
    model = head(features)
    flipped = {name: getattr(model, name).flip(2) for name in ("unary", "right", "down")}
    assert_same(head(features.flip(3)), flipped)
    flipped = {name: getattr(model, name).flip(1) for name in ("unary", "right", "down")}
    assert_same(head(features.flip(2)), flipped)


def test_head_transposes_couplings_with_the_features():
    head, features = head_and_features("free")
    model = head(features)
    transposed = {"unary": model.unary.mT, "right": model.down.mT, "down": model.right.mT}
    assert_same(head(features.mT), transposed)


@pytest.mark.parametrize("seed", range(3))
def test_head_keeps_the_signs_it_promises(seed):
    assert head_and_features("associative", seed=seed)[0](torch.randn(2, 6, 9, 9)).is_associative
    assert head_and_features("repulsive", seed=seed)[0](torch.randn(2, 6, 9, 9)).is_repulsive
    free = head_and_features("free", seed=seed)[0](torch.randn(2, 6, 9, 9))
    assert not free.is_associative
    assert not free.is_repulsive


@pytest.mark.parametrize("coupling", COUPLINGS)
@pytest.mark.parametrize("rate", [0.02, 0.2, 0.5, 0.9])
def test_head_starts_at_its_rate(coupling, rate):
    torch.manual_seed(1)
    model = IsingHead(24, coupling, rate=rate)(torch.randn(4, 24, 64, 64))
    # 1.5 million draws, correlated over few sweeps and pixels: seven standard errors of half as
    # many are 0.008 sqrt(rate (1 - rate)). The spread of the first weights accounts for the rest.
    drawn = mm.sample(model, sweeps=100, burn_in=20).mean[:, 1:-1, 1:-1]
    variance = rate * (1 - rate)
    assert drawn.mean().item() == pytest.approx(rate, abs=0.008 * variance**0.5 + 0.03 * variance)
    found = mm.marginals(model).probability[:, 1:-1, 1:-1]
    assert found.mean().item() == pytest.approx(rate, abs=0.03 * variance)
    strength = {"associative": 0.05, "repulsive": -0.05, "free": 0.0}[coupling]
    for name in ("right", "down"):
        assert (getattr(model, name) - strength).abs().max() < 0.01


def test_head_without_couplings_is_a_pixel_classifier():
    """Its pseudo-likelihood is the cross entropy with logits of twice the unary."""
    head = IsingHead(4, "none", rate=0.2)
    model = head(torch.randn(2, 4, 6, 5))
    assert not model.right.any()
    assert not model.down.any()
    assert set(dict(head.named_children())) == {"unary"}
    target = torch.rand(2, 6, 5) < 0.4
    loss = PseudoLikelihood()(model, target)
    logits = 2 * model.unary.double()
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, target.double(), reduction="sum"
    )
    assert loss.item() == pytest.approx(entropy.item() / 2, rel=1e-6)
    loss.backward()


@pytest.mark.parametrize("coupling", COUPLINGS)
def test_head_passes_gradients_on_exactly(coupling):
    head, features = head_and_features(coupling, shape=(1, 2, 2, 3))
    features.requires_grad_(True)
    assert torch.autograd.gradcheck(head.potentials, features)
    names, values = zip(*head.named_parameters(), strict=True)

    def potentials(*values):
        new = dict(zip(names, values, strict=True))
        return torch.func.functional_call(_Potentials(head), prefixed(new), (features.detach(),))

    def prefixed(new):
        return {f"head.{name}": value for name, value in new.items()}

    assert torch.autograd.gradcheck(potentials, values)


class _Potentials(torch.nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, features):
        return self.head.potentials(features)


@pytest.mark.parametrize("name", ["unary", "right", "down"])
def test_head_gives_features_a_gradient_from_the_start_through(name):
    torch.manual_seed(0)
    features = torch.randn(1, 4, 6, 6, requires_grad=True)
    getattr(IsingHead(4)(features), name).sum().backward()
    touched = features.grad.abs().sum(dim=1)
    assert (touched > 0).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (5, 1), (2, 2)])
def test_head_takes_sides_of_one_pixel(height, width):
    head, _ = head_and_features()
    features = torch.randn(3, 6, height, width, dtype=torch.float64, requires_grad=True)
    model = head(features)
    assert model.right.shape == (3, height, width - 1)
    assert model.down.shape == (3, height - 1, width)
    sum(t.sum() for t in (model.unary, model.right, model.down)).backward()
    assert features.grad.isfinite().all()


def test_head_makes_a_model_of_no_images_from_no_images():
    head, _ = head_and_features()
    assert head(torch.randn(0, 6, 4, 5)).shape == (0, 4, 5)


def test_head_treats_every_image_of_a_batch_as_if_alone():
    head, features = head_and_features("free", shape=(3, 6, 5, 4))
    together = head(features)
    for image in range(3):
        alone = head(features[image : image + 1])
        assert_same(together[image], {n: getattr(alone, n) for n in ("unary", "right", "down")})


def test_head_gives_float32_under_autocast_from_bfloat16_features():
    torch.manual_seed(0)
    head = IsingHead(6)
    features = torch.randn(2, 6, 5, 5).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = head(features)
    assert under.dtype == torch.float32
    outside = head(features.float())
    for name in ("unary", "right", "down"):
        assert torch.equal(getattr(under, name), getattr(outside, name))


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.float32),
    ],
)
def test_head_gives_models_in_the_dtype_of_its_parameters_but_at_least_float32(module, expected):
    assert IsingHead(3).to(module)(torch.randn(1, 3, 4, 4)).dtype == expected


def test_head_is_decided_by_the_seed_of_torch():
    first, second = [], []
    for states in (first, second):
        torch.manual_seed(3)
        states.extend(IsingHead(5).state_dict().values())
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("learn_scale", [True, False])
def test_head_scales_all_potentials_by_a_factor_that_is_learned_on_request(learn_scale):
    torch.manual_seed(0)
    head = IsingHead(4, learn_scale=learn_scale)
    features = torch.randn(1, 4, 3, 3)
    before = head(features)
    head.log_scale.data.fill_(np.log(3.0))
    after = head(features)
    for name in ("unary", "right", "down"):
        torch.testing.assert_close(getattr(after, name), 3 * getattr(before, name))
    assert ("log_scale" in dict(head.named_parameters())) is learn_scale
    assert "log_scale" in head.state_dict()


def test_head_loads_only_the_state_of_its_own_shape():
    head, features = head_and_features("repulsive")
    other = IsingHead(6, "repulsive", hidden=8).double()
    other.load_state_dict(head.state_dict())
    assert torch.equal(other(features).right, head(features).right)
    with pytest.raises(RuntimeError, match="size mismatch"):
        IsingHead(6, hidden=9).load_state_dict(head.state_dict())


@pytest.mark.parametrize("coupling", COUPLINGS)
def test_head_potentials_compile_as_one_graph(coupling):
    head, features = head_and_features(coupling)
    features.requires_grad_(True)
    compiled = torch.compile(head.potentials, fullgraph=True, backend="aot_eager")
    for got, expected in zip(compiled(features), head.potentials(features), strict=True):
        torch.testing.assert_close(got, expected)
    grads = [
        torch.autograd.grad(sum(t.square().sum() for t in f(features)), features)[0]
        for f in (compiled, head.potentials)
    ]
    torch.testing.assert_close(*grads)


FEATURES = torch.zeros(1, 4, 3, 3)
WRONG = [
    (lambda: IsingHead(0), ValueError, "in_channels must lie in 1..2147483647; got 0."),
    (lambda: IsingHead(4.0), TypeError, "in_channels must be an int; got float."),
    (lambda: IsingHead(4, "any"), ValueError, "coupling must be one of 'associative', 'repulsive'"),
    (lambda: IsingHead(4, rate=0.0), ValueError, "rate must lie strictly between 0 and 1; got 0.0"),
    (lambda: IsingHead(4, rate=1), ValueError, "rate must lie strictly between 0 and 1; got 1."),
    (lambda: IsingHead(4, rate=float("nan")), ValueError, "rate must lie strictly between 0 and 1"),
    (lambda: IsingHead(4, rate="5%"), TypeError, "rate must be a number; got str."),
    (lambda: IsingHead(4, hidden=0), ValueError, "hidden must lie in 1..2147483647; got 0."),
    (lambda: IsingHead(4, learn_scale=1), TypeError, "learn_scale must be a bool; got int."),
    (
        lambda: IsingHead(4)(FEATURES.int()),
        TypeError,
        "features must be a floating-point tensor; got torch.int32.",
    ),
    (
        lambda: IsingHead(4)(FEATURES.numpy()),
        TypeError,
        "features must be a floating-point tensor; got ndarray.",
    ),
    (
        lambda: IsingHead(4)(FEATURES[0]),
        ValueError,
        "features must have shape (batch, 4, height, width) with at least one pixel; got (4, 3, 3)."
        " For one image pass it with [None].",
    ),
    (lambda: IsingHead(4)(FEATURES[:, :3]), ValueError, "got (1, 3, 3, 3). Check its layout."),
    (lambda: IsingHead(4)(FEATURES[..., :0]), ValueError, "got (1, 4, 3, 0). Check its layout."),
    (lambda: IsingHead(4)(FEATURES * torch.nan), ValueError, "unary must not contain NaN"),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_head_says_what_is_wrong(call, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        call()

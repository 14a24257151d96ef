"""The predictor: starts at the linear fill, keeps to its unit, learns, comes back from a folder."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from mrfmask.depth.losses import Relative
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.reconstruct import fill, linear


def frame(batch=2, height=24, width=20, share=0.1, seed=0):
    """Random depths and measured pixels, the first among them."""
    rng = torch.Generator().manual_seed(seed)
    depth = 2 + 10 * torch.rand(batch, height, width, generator=rng)
    mask = torch.rand(batch, height, width, generator=rng) < share
    mask[:, 0, 0] = True
    return depth, mask


def trained_like(**options):
    """A network with corrections that differ visibly from pixel to pixel."""
    torch.manual_seed(0)
    net = Predictor(**options)
    nn.init.normal_(net.net.head[-1].weight, std=0.2)
    return net.eval()


def picture_of(depth, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(len(depth), 3, *depth.shape[1:], generator=rng)


def test_predictor_has_a_quarter_of_a_million_parameters():
    for options in ({}, {"picture": True}):
        assert 200_000 <= sum(p.numel() for p in Predictor(**options).parameters()) <= 250_000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_predictor_starts_at_the_linear_fill(dtype):
    depth, mask = frame()
    depth = depth.to(dtype)
    assert torch.equal(Predictor()(depth, mask), linear(depth, mask))


def test_predictor_in_another_unit_predicts_the_same_depths():
    net, (depth, mask) = trained_like(), frame()
    predicted = net(depth, mask)
    # It does differ from where it started.
    assert ((predicted / linear(depth, mask)).log().std()) > 0.05
    # A power of two leaves every quotient as it was, bit for bit.
    assert torch.equal(net(2 * depth, mask), 2 * predicted)
    torch.testing.assert_close(net(1000 * depth, mask), 1000 * predicted, rtol=1e-4, atol=0)


def test_predictor_does_not_read_depths_that_were_not_measured():
    net, (depth, mask) = trained_like(), frame()
    hidden = torch.where(mask, depth, torch.nan)
    assert torch.equal(net(hidden, mask), net(depth, mask))


def test_predictor_takes_fills_that_were_kept():
    net, (depth, mask) = trained_like(), frame()
    fills = fill(depth, mask)
    assert torch.equal(net(depth, mask, fills=fills), net(depth, mask))
    # They are what is used: other ones give another prediction.
    for name in ("nearest", "linear", "distance"):
        changed = replace(fills, **{name: 2 * getattr(fills, name)})
        assert not torch.equal(net(depth, mask, fills=changed), net(depth, mask))


def test_predictor_sees_mask_and_measured_depths_beside_the_fills():
    net, (depth, mask) = trained_like(), frame()
    fills = fill(depth, mask)
    other = mask.clone()
    other[:, 5:, 5:] = False
    # Of equal depths, nothing but the mask says which were measured.
    flat = torch.full_like(depth, 4.0)
    assert not torch.equal(net(flat, other, fills=fills), net(flat, mask, fills=fills))
    # With their order changed, only the measured depths differ: whole ones have the same mean.
    depth = depth.round()
    turned = depth.clone()
    for image, measured in zip(turned, mask, strict=True):
        image[measured] = image[measured].flip(0)
    assert not torch.equal(net(turned, mask, fills=fills), net(depth, mask, fills=fills))


def test_predictor_bounds_its_correction():
    net, (depth, mask) = trained_like(), frame()
    nn.init.constant_(net.net.head[-1].bias, 1e4)
    ratio = net(depth, mask) / linear(depth, mask)
    torch.testing.assert_close(ratio, torch.full_like(ratio, math.exp(2)), rtol=1e-5, atol=0)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (7, 2), (17, 33)])
def test_predictor_takes_any_size(size):
    depth, mask = frame(height=size[0], width=size[1])
    predicted = trained_like()(depth, mask)
    assert predicted.shape == (2, *size)
    assert (predicted > 0).all()


def test_predictor_treats_images_of_a_batch_alone():
    net, (depth, mask) = trained_like().train(), frame(batch=3)
    depth *= torch.tensor([0.1, 1.0, 50.0])[:, None, None]
    together = net(depth, mask)
    for b in range(3):
        alone = net(depth[b : b + 1], mask[b : b + 1])
        torch.testing.assert_close(together[b : b + 1], alone, rtol=1e-4, atol=0)


def test_predictor_looks_at_a_picture_if_asked_to():
    net, (depth, mask) = trained_like(picture=True), frame()
    predicted = net(depth, mask, picture_of(depth))
    assert not torch.equal(predicted, net(depth, mask, picture_of(depth, seed=1)))


def test_predictor_passes_gradients_to_every_weight_and_measured_depth():
    net, (depth, mask) = trained_like(), frame()
    depth.requires_grad_()
    (net(depth, mask) * torch.randn(depth.shape, generator=torch.manual_seed(1))).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.abs().max() > 0, name
    assert (depth.grad[mask] != 0).all()
    assert (depth.grad[~mask] == 0).all()


def test_predictor_under_autocast_starts_at_the_linear_fill_and_stays_close():
    depth, mask = frame()
    net = trained_like()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        start, under = Predictor()(depth, mask), net(depth, mask)
    assert under.dtype == torch.float32
    assert torch.equal(start, linear(depth, mask))
    torch.testing.assert_close(under, net(depth, mask), rtol=0.1, atol=0)


def test_predictor_learns_one_frame_by_heart():
    """A wall before a plane that falls away: the fill blurs its border, 50 steps sharpen it."""
    ys, xs = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    depth = torch.where((xs > 9) & (xs < 21) & (ys > 7), 3.0, 6 + 0.2 * ys)[None]
    valid = ys[None] > 1
    mask = valid & (torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0)) < 0.05)
    torch.manual_seed(0)
    net, loss, fills = Predictor(), Relative(), fill(depth, mask)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    values = []
    for _ in range(50):
        optimizer.zero_grad()
        value = loss(net(depth, mask, fills=fills), depth, valid, fills.linear)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[0] == pytest.approx(1.3, rel=1e-6)
    assert values[-1] < 0.9


def test_predictor_comes_back_from_a_folder_as_it_was(tmp_path):
    net, (depth, mask) = trained_like(width=8, picture=True), frame()
    net.save_pretrained(tmp_path / "net")
    loaded = Predictor.from_pretrained(tmp_path / "net")
    assert loaded.config == {"width": 8, "picture": True}
    assert not loaded.training
    picture = picture_of(depth)
    assert torch.equal(loaded(depth, mask, picture), net(depth, mask, picture))


def test_predictor_is_decided_by_the_seed_of_torch():
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(Predictor().state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


DEPTH, MASK = frame()
FILLS = fill(DEPTH, MASK)
PICTURE = picture_of(DEPTH)
WRONG = [
    (lambda: Predictor(width=12), ValueError, "width must be a multiple of 8; got 12. Use 16"),
    (lambda: Predictor(width=0), ValueError, "width must lie in 8..4096; got 0."),
    (lambda: Predictor(picture=1), TypeError, "picture must be a bool; got int."),
    (
        lambda: Predictor()(DEPTH, MASK, PICTURE),
        ValueError,
        "picture must be None for a predictor made with picture=False; got one. What it sees is",
    ),
    (
        lambda: Predictor(picture=True)(DEPTH, MASK),
        ValueError,
        "picture must be given to a predictor made with picture=True; got None.",
    ),
    (
        lambda: Predictor(picture=True)(DEPTH, MASK, PICTURE[:, :, 1:]),
        ValueError,
        "picture must have shape (2, 3, 24, 20) on cpu; got (2, 3, 23, 20) on cpu.",
    ),
    (
        lambda: Predictor(picture=True)(DEPTH, MASK, PICTURE.byte()),
        TypeError,
        "picture must be a floating-point tensor; got torch.uint8.",
    ),
    (
        lambda: Predictor()(DEPTH, MASK, fills=DEPTH),
        TypeError,
        "fills must be what fill(depth, mask) gives; got Tensor.",
    ),
    (
        lambda: Predictor()(DEPTH[:1], MASK[:1], fills=FILLS),
        ValueError,
        "fills.nearest must have shape (1, 24, 20) on cpu; got (2, 24, 20) on cpu.",
    ),
    (
        lambda: Predictor()(DEPTH, MASK & False),
        ValueError,
        "mask must have a pixel in every image; got none in image 0.",
    ),
    (lambda: Predictor()(0 * DEPTH, MASK), ValueError, "depth must be positive and finite"),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_predictor_says_what_is_wrong(call, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        call()

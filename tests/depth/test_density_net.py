"""Maps of log-densities: any size, bounded, between two shares; saved and loaded."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch.nn.functional import interpolate

from mrfmask.depth.density_net import BOUND, SHARES, DensityNet, PositionPrior


def learned(width: int = 8, **options) -> DensityNet:
    """A network whose last layer is random and large."""
    torch.manual_seed(3)
    net = DensityNet(width, **options)
    torch.nn.init.normal_(net.net.head[-1].weight, std=3.0)
    return net.eval()


def prior(height: int = 6, width: int = 9) -> PositionPrior:
    net = PositionPrior(height, width)
    net.maps.copy_(torch.randn(net.maps.shape, generator=torch.Generator().manual_seed(4)))
    return net.eval()


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (31, 1), (48, 65), (9, 8)])
def test_maps_have_the_size_of_any_picture(size):
    picture = torch.rand(2, 3, *size)
    for net in (learned(), prior()):
        maps = net(picture)
        assert maps.shape == (2, len(SHARES), *size)
        assert maps.isfinite().all()


def test_log_densities_are_bounded():
    net = learned()
    picture = torch.rand(2, 3, 32, 32)
    inner = net.net(torch.cat([2 * picture - 1, places(32, 32).expand(2, -1, -1, -1)], dim=1))
    assert inner.abs().max() > 2 * BOUND
    assert net(picture).abs().max() <= BOUND
    assert torch.allclose(net(picture), 4 * torch.tanh(inner / 4), atol=1e-4)


def places(height: int, width: int) -> torch.Tensor:
    """Row and column from -1 to 1."""
    rows = torch.tensor([2 * i / (height - 1) - 1 for i in range(height)])[:, None]
    columns = torch.tensor([2 * i / (width - 1) - 1 for i in range(width)])[None]
    return torch.stack([rows.expand(height, width), columns.expand(height, width)])


def test_before_training_no_place_is_preferred():
    picture = torch.rand(1, 3, 20, 30)
    for net in (DensityNet(8), PositionPrior(5, 5)):
        assert (net(picture) == 0).all()


@pytest.mark.parametrize("make", [learned, prior])
def test_shares_between_are_interpolated_in_their_logarithm(make):
    net, picture = make(), torch.rand(2, 3, 16, 20)
    low, high = net(picture).unbind(dim=1)
    assert torch.equal(net.log_density(picture, SHARES[0]), low)
    assert torch.allclose(net.log_density(picture, SHARES[1]), high)
    middle = math.sqrt(SHARES[0] * SHARES[1])
    assert torch.allclose(net.log_density(picture, middle), (low + high) / 2, atol=1e-5)
    quarter = SHARES[0] ** 0.75 * SHARES[1] ** 0.25
    expected = 0.75 * low + 0.25 * high
    assert torch.allclose(net.log_density(picture, quarter), expected, atol=1e-5)
    # Beyond both, the nearest.
    assert torch.equal(net.log_density(picture, 0.001), low)
    assert torch.allclose(net.log_density(picture, 1.0), high)


def test_prior_ignores_the_picture():
    net = prior()
    one, other = net(torch.rand(2, 3, 24, 36)), net(torch.zeros(1, 3, 24, 36))
    assert torch.equal(one[0], one[1])
    assert torch.equal(one[0], other[0])
    assert torch.allclose(other[0], interpolate(net.maps[None], (24, 36), mode="bilinear")[0])
    assert torch.equal(net(torch.rand(1, 3, 6, 9))[0], net.maps)


def test_network_looks_at_the_picture_and_at_places():
    net = learned()
    picture = torch.rand(1, 3, 24, 36)
    assert not torch.allclose(net(picture), net(1 - picture), atol=0.1)
    flat = net(torch.full((1, 3, 24, 36), 0.5))[0, 0]
    # Far from the border a convolution alone would give equal values.
    assert flat[10:14, 10:26].std() > 0.01


def test_dropout_is_of_training_alone():
    net, picture = learned(dropout=0.6), torch.rand(1, 3, 16, 16)
    assert torch.equal(net(picture), net(picture))
    net.train()
    torch.manual_seed(0)
    assert len({net(picture).sum().item() for _ in range(8)}) > 4
    steady = learned(dropout=0.0).train()
    assert torch.equal(steady(picture), steady(picture))


def test_picture_may_have_another_precision():
    picture = torch.rand(1, 3, 12, 14)
    for net in (learned(), prior()):
        maps = net(picture.double())
        assert maps.dtype == torch.float32
        assert torch.equal(maps, net(picture))


@pytest.mark.parametrize("make", [learned, prior])
def test_saved_network_is_loaded_as_it_was(make, tmp_path):
    net, picture = make(), torch.rand(1, 3, 17, 23)
    net.save_pretrained(tmp_path)
    again = type(net).from_pretrained(tmp_path)
    assert not again.training
    assert torch.equal(again(picture), net(picture))
    card = (tmp_path / "README.md").read_text()
    assert "mrfmask.depth.density_net" in card


def test_folder_of_the_other_network_is_refused(tmp_path):
    prior().save_pretrained(tmp_path / "prior")
    learned().save_pretrained(tmp_path / "net")
    for kind, folder in ((DensityNet, "prior"), (PositionPrior, "net")):
        with pytest.raises((TypeError, ValueError)):
            kind.from_pretrained(tmp_path / folder)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: DensityNet(12), ValueError, "width must be a multiple of 8; got 12"),
        (lambda: DensityNet(0), ValueError, "width must lie in 8.."),
        (lambda: DensityNet(16.0), TypeError, "width must be an int; got float"),
        (lambda: DensityNet(8, dropout=1), ValueError, "dropout must be below 1; got 1"),
        (lambda: DensityNet(8, dropout="no"), TypeError, "dropout must be a number; got str"),
        (lambda: PositionPrior(0, 5), ValueError, "height must lie in 1.."),
        (lambda: PositionPrior(5, True), TypeError, "width must be an int; got bool"),
    ],
)
def test_arguments_are_checked(make, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make()


@pytest.mark.parametrize("make", [learned, prior])
def test_pictures_and_shares_are_checked(make):
    net, picture = make(), torch.rand(1, 3, 8, 8)
    with pytest.raises(ValueError, match=re.escape("picture must have shape (batch, 3, height")):
        net(picture[:, :2])
    with pytest.raises(TypeError, match="picture must be a floating-point tensor"):
        net((255 * picture).to(torch.uint8))
    with pytest.raises(ValueError, match="share must be above 0; got 0"):
        net.log_density(picture, 0)
    with pytest.raises(ValueError, match=re.escape("share must lie in [0, 1]; got 5")):
        net.log_density(picture, 5)

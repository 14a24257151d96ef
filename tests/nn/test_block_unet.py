"""The U-Net on blocks: any size, sharp to the pixel, 0 before training."""

from __future__ import annotations

import pytest
import torch

from mrfmask.nn.block_unet import BlockUNet


def made(in_channels: int = 5, out_channels: int = 2, width: int = 8) -> BlockUNet:
    """With random weights in the last layer, too."""
    torch.manual_seed(0)
    net = BlockUNet(in_channels, out_channels, width)
    torch.nn.init.normal_(net.head[-1].weight)
    return net.eval()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (16, 16), (33, 46), (48, 65)])
def test_maps_have_the_size_of_the_image(size):
    x = torch.rand(2, 5, *size)
    maps = made()(x)
    assert maps.shape == (2, 2, *size)
    assert maps.isfinite().all()


def test_maps_are_0_before_training_and_weights_learn_from_there():
    net = BlockUNet(3, 4, 8)
    x = torch.rand(2, 3, 20, 25)
    assert (net(x) == 0).all()
    net(x).sum().backward()
    assert net.head[-1].weight.grad.abs().sum() > 0


def test_odd_sides_are_continued_by_their_last_pixel():
    net, x = made(), torch.rand(1, 5, 15, 21)
    whole = torch.cat([x, x[:, :, -1:]], dim=2)
    whole = torch.cat([whole, whole[..., -1:]], dim=3)
    features = net.body(torch.nn.functional.pixel_unshuffle(whole, 2))
    spread = torch.nn.functional.pixel_shuffle(net.spread(features), 2)[..., :15, :21]
    assert torch.allclose(net(x), net.head(torch.cat([spread, x], dim=1)), atol=1e-5)


def test_every_pixel_has_a_value_of_its_own():
    """Within a block of 2x2 pixels, too: a change of one shows at that one most."""
    net, x = made(), torch.rand(1, 5, 24, 24)
    for row, column in ((10, 10), (10, 11), (11, 10), (11, 11)):
        changed = x.clone()
        changed[..., row, column] += 0.01
        moved = (net(changed) - net(x)).abs().sum(dim=1)[0]
        near = torch.zeros_like(moved, dtype=torch.bool)
        near[row - 2 : row + 3, column - 2 : column + 3] = True
        assert moved.argmax() in near.flatten().nonzero()


def test_images_of_a_batch_do_not_meet():
    net, x = made().double(), torch.rand(3, 5, 18, 27, dtype=torch.float64)
    together = net(x)
    for index in range(3):
        assert torch.allclose(net(x[index : index + 1])[0], together[index], atol=1e-10)


def test_gradients_are_those_of_differences():
    net = made(in_channels=2, out_channels=1).double()
    x = torch.rand(1, 2, 5, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(net, x, fast_mode=True)


def test_maps_keep_the_dtype_under_autocast():
    net, x = made(), torch.rand(1, 5, 16, 16)
    with torch.no_grad():
        exact = net(x)
        with torch.autocast("cpu", torch.bfloat16):
            maps = net(x)
    assert maps.dtype == torch.float32
    assert not torch.equal(maps, exact)
    assert (maps - exact).abs().max() < 0.1 * exact.abs().max()

"""The network: any size, no lattice, any extractor, images of a batch on their own."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, pad

import mrfmask as mm
from mrfmask.nn import MaskNet
from mrfmask.nn.pyramid import FeaturePyramid

POTENTIALS = ("unary", "right", "down")


class Extractor(nn.Module):
    """Gives what the features_only models of timm give: a list of maps, finest first."""

    def __init__(self, channels=(4, 6, 5), one=False):
        super().__init__()
        sizes = (3, *channels)
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(sizes, channels, strict=False)
        )
        self.one = one

    def forward(self, image):
        maps = [image]
        for layer in self.layers:
            maps.append(layer(maps[-1]).relu())
        return maps[-1] if self.one else maps[1:]


def net_with_large_weights(**options):
    """A network whose potentials differ visibly from pixel to pixel."""
    torch.manual_seed(0)
    net = MaskNet(**options)
    for layer in (net.head.unary[-1], net.head.pairwise[-1]):
        nn.init.normal_(layer.weight)
    return net.eval()


def with_extractor(one=False):
    channels = (5,) if one else (4, 6, 5)
    return net_with_large_weights(features=Extractor(one=one), feature_channels=channels)


MAKERS = {
    "unet": net_with_large_weights,
    "maps": with_extractor,
    "one map": lambda: with_extractor(one=True),
}


@pytest.fixture(params=MAKERS)
def net(request):
    return MAKERS[request.param]()


def test_masknet_has_half_a_million_parameters():
    assert 400_000 <= sum(p.numel() for p in MaskNet().parameters()) <= 600_000


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (9, 13), (33, 24)])
def test_masknet_takes_any_size(net, size):
    model = net(torch.rand(2, 3, *size))
    assert model.shape == (2, *size)
    assert model.dtype == torch.float32


def test_masknet_passes_gradients_to_the_image_and_every_weight(net):
    image = torch.rand(1, 3, 13, 18, requires_grad=True)
    weights = torch.Generator().manual_seed(1)
    loss = sum(
        (getattr(net(image), name) * torch.randn(shape, generator=weights)).sum()
        for name, shape in (("unary", (13, 18)), ("right", (13, 17)), ("down", (12, 18)))
    )
    loss.backward()
    for name, parameter in [("image", image), *net.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_masknet_draws_no_lattice_on_a_constant_image(net):
    # 65 pixels see the border: by convolutions, averages and interpolation at four resolutions.
    model = net(torch.full((1, 3, 160, 160), 0.7))
    for name in POTENTIALS:
        values = getattr(model, name)
        inner = values[:, 65:-65, 65:-65]
        assert inner.max() - inner.min() < 1e-5
        # It could show one: at the border the values do differ.
        assert values.max() - values.min() > 1e-3


def test_masknet_shifts_potentials_with_the_image():
    net = net_with_large_weights()
    torch.manual_seed(3)
    image = torch.full((2, 3, 224, 224), 0.5)
    image[:1, :, 88:120, 88:120] = torch.rand(3, 32, 32)
    # By whole pixels of the coarsest resolution; the border stays out of sight.
    image[1] = image[0].roll((8, 16), (1, 2))
    unary = net(image).unary
    here, there = unary[0, 80:128, 80:128], unary[1, 88:136, 96:144]
    assert here.std() > 0.01
    torch.testing.assert_close(here, there, atol=1e-4, rtol=1e-4)


def test_masknet_continues_sides_that_eight_does_not_divide_by_their_last_pixel():
    net = net_with_large_weights()
    image = torch.rand(1, 3, 13, 18)
    continued = net(pad(image, (0, 6, 0, 3), mode="replicate")).unary[:, :13, :18]
    torch.testing.assert_close(net(image).unary, continued)


def test_pyramid_interpolates_maps_linearly():
    pyramid = FeaturePyramid(3, (1,), 8)
    nn.init.ones_(pyramid.lateral[0].weight)
    joined = []
    pyramid.join.register_forward_pre_hook(lambda _, inputs: joined.extend(inputs))
    pyramid(torch.zeros(1, 3, 1, 24), torch.arange(6.0).reshape(1, 1, 1, 6))
    steps = joined[0][0, 0, 0].diff()
    torch.testing.assert_close(steps[2:-2], torch.full((19,), 0.25))


def test_masknet_treats_every_image_of_a_batch_as_if_alone_while_training(net):
    net.train()
    images = torch.rand(3, 3, 20, 17) * torch.tensor([0.1, 1.0, 5.0])[:, None, None, None]
    together = net(images)
    for i in range(3):
        alone = net(images[i : i + 1])
        for name in POTENTIALS:
            torch.testing.assert_close(
                getattr(together, name)[i : i + 1], getattr(alone, name), rtol=1e-4, atol=1e-5
            )


@pytest.mark.parametrize("coupling", ["associative", "repulsive", "free"])
def test_masknet_starts_at_its_rate_with_the_signs_of_its_couplings(coupling):
    torch.manual_seed(0)
    model = MaskNet(coupling=coupling, rate=0.1)(torch.rand(4, 3, 40, 40))
    inside = mm.marginals(model).probability[:, 1:-1, 1:-1]
    assert inside.mean().item() == pytest.approx(0.1, abs=0.005)
    assert model.is_associative is (coupling == "associative")
    assert model.is_repulsive is (coupling == "repulsive")


def test_masknet_learns_to_find_what_is_bright():
    torch.manual_seed(0)
    image = torch.rand(4, 3, 16, 16)
    target = (avg_pool2d(image.mean(dim=1), 3, 1, 1) > 0.5).float()
    net = MaskNet(width=8)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        # 2 unary is the logit of a pixel without couplings.
        loss = binary_cross_entropy_with_logits(2 * net(image).unary, target)
        loss.backward()
        optimizer.step()
    assert loss < 0.1


def test_masknet_under_autocast_gives_float32_close_to_full_precision():
    net = net_with_large_weights()
    image = torch.rand(2, 3, 24, 24)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = net(image)
    outside = net(image)
    for name in POTENTIALS:
        got, expected = getattr(under, name), getattr(outside, name)
        assert got.dtype == torch.float32
        # bfloat16 has 3 digits; a dozen layers lose some.
        assert (got - expected).abs().max() < 0.1 * expected.std() + 0.05


def test_masknet_in_float64_makes_models_in_float64():
    assert MaskNet(width=8).double()(torch.rand(1, 3, 8, 8)).dtype == torch.float64


def test_masknet_potentials_compile_as_one_graph():
    net = with_extractor()
    image = torch.rand(1, 3, 17, 24)
    compiled = torch.compile(net.potentials, fullgraph=True, backend="aot_eager")
    for got, expected in zip(compiled(image), net.potentials(image), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_masknet_is_decided_by_the_seed_of_torch():
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(MaskNet(width=8).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


IMAGE = torch.rand(2, 3, 16, 16)


def extracted(maps, channels=(4, 6)):
    """A network whose extractor gives these maps."""
    extractor = nn.Identity()
    extractor.forward = lambda image: maps
    return MaskNet(features=extractor, feature_channels=channels, width=8)(IMAGE)


FINE, COARSE = torch.rand(2, 4, 8, 8), torch.rand(2, 6, 4, 4)
WRONG = [
    (lambda: MaskNet(0), ValueError, "in_channels must lie in 1..65536; got 0."),
    (lambda: MaskNet(width=20), ValueError, "width must be a multiple of 8; got 20."),
    (lambda: MaskNet(width=0), ValueError, "width must lie in 8..65536; got 0."),
    (lambda: MaskNet(coupling="any"), ValueError, "coupling must be one of 'associative'"),
    (lambda: MaskNet(rate=2.0), ValueError, "rate must lie strictly between 0 and 1; got 2.0."),
    (
        lambda: MaskNet(features="resnet18", feature_channels=[4]),
        TypeError,
        "features must be a torch.nn.Module along with feature_channels; got str.",
    ),
    (
        lambda: MaskNet(feature_channels=[4]),
        TypeError,
        "features must be a torch.nn.Module along with feature_channels; got NoneType.",
    ),
    (
        lambda: MaskNet(features=Extractor()),
        TypeError,
        "feature_channels must be a list of ints along with features; got None.",
    ),
    (
        lambda: MaskNet(features=Extractor(), feature_channels=[4, 0]),
        ValueError,
        "feature_channels must lie in 1..65536; got 0.",
    ),
    (
        lambda: MaskNet()(IMAGE[:, :1]),
        ValueError,
        "image must have shape (batch, 3, height, width) with at least one pixel; got (2, 1, 16",
    ),
    (lambda: MaskNet()(IMAGE[0]), ValueError, "For one image pass it with [None]."),
    (
        lambda: MaskNet()((255 * IMAGE).byte()),
        TypeError,
        "image must be a floating-point tensor; got torch.uint8.",
    ),
    (
        lambda: extracted({"fine": FINE}),
        TypeError,
        "features must give a tensor or a list of tensors; got dict.",
    ),
    (
        lambda: extracted([FINE]),
        ValueError,
        "features must give maps (batch, channels, height, width) with 4, 6 channels for 2 images; "
        "got shapes (2, 4, 8, 8). Correct feature_channels.",
    ),
    (lambda: extracted([FINE, FINE]), ValueError, "got shapes (2, 4, 8, 8), (2, 4, 8, 8)."),
    (lambda: extracted([FINE[:1], COARSE]), ValueError, "got shapes (1, 4, 8, 8), (2, 6, 4, 4)."),
    (
        lambda: extracted([COARSE, FINE], channels=(6, 4)),
        ValueError,
        "features must give the finest map first; got heights [4, 8]. Reverse them.",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_masknet_says_what_is_wrong(call, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        call()

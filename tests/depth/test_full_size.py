"""Masks of pictures larger than those that networks are trained on."""

from __future__ import annotations

import re

import pytest
import torch

from mrfmask.depth import full_size
from mrfmask.depth.density_net import DensityNet
from mrfmask.depth.frames import FrameBatch
from mrfmask.depth.full_size import choose_at_full_size
from mrfmask.depth.masking import MASKINGS, first_view
from mrfmask.depth.synthetic import SyntheticFrames
from mrfmask.nn import MaskNet


class LeftNet(DensityNet):
    """Wants picks in the left half of the picture; remembers the sizes that it saw."""

    def forward(self, picture):
        self.seen = tuple(picture.shape)
        maps = torch.zeros(len(picture), 2, *picture.shape[2:])
        maps[..., : picture.shape[3] // 2] = 3.0
        return maps


@pytest.mark.parametrize("share", [0.005, 0.01, 0.02, 0.05, 0.1])
@pytest.mark.parametrize("name", ["ising_density", "ising_mean_field", "k_center"])
def test_count_is_exact_at_any_size(monkeypatch, name, share):
    monkeypatch.setattr(full_size, "SHORT_SIDE", 16)
    kind = MASKINGS[name]
    nets = {"ising_density": DensityNet, "ising_mean_field": MaskNet}
    masking = kind(net=nets[name]()) if name in nets else kind()
    picture = torch.rand(3, 37, 54)
    mask = choose_at_full_size(masking, picture, round(share * 37 * 54))
    assert mask.shape == (37, 54)
    assert mask.sum() == round(share * 37 * 54)


def test_network_sees_a_reduced_picture_and_picks_are_at_full_size(monkeypatch):
    monkeypatch.setattr(full_size, "SHORT_SIDE", 16)
    net = LeftNet()
    masking = MASKINGS["ising_density"](net=net)
    mask = choose_at_full_size(masking, torch.rand(3, 40, 80), 60)
    assert net.seen == (1, 3, 16, 32)
    assert mask[:, :40].sum() > 50
    # Picks of a net at 16x32 alone would all lie on every second pixel at best.
    rows, columns = mask.nonzero().T
    assert len(set((rows % 5).tolist())) == 5
    assert len(set((columns % 5).tolist())) == 5


def test_small_picture_is_seen_as_it_is():
    torch.manual_seed(0)
    net = DensityNet()
    torch.nn.init.normal_(net.net.head[-1].weight)
    masking = MASKINGS["ising_density"](net=net)
    frame = SyntheticFrames(1, size=(24, 32))[0]
    batch = FrameBatch(
        frame.picture[None],
        torch.ones(1, 24, 32),
        torch.ones(1, 24, 32, dtype=torch.bool),
        ("p",),
        ("n",),
    )
    expected = masking(first_view(batch), 30)[0]
    assert torch.equal(choose_at_full_size(masking, frame.picture, 30), expected)
    wide = choose_at_full_size(MASKINGS["long_range"](), frame.picture, 30)
    assert not torch.equal(wide, expected)


def test_network_that_sees_places_sees_those_of_the_reduced_picture(monkeypatch):
    monkeypatch.setattr(full_size, "SHORT_SIDE", 16)
    net, seen = MaskNet(in_channels=5), []
    net.body.register_forward_pre_hook(lambda body, inputs: seen.append(inputs[0]))
    choose_at_full_size(MASKINGS["ising_ssvm"](net=net), torch.rand(3, 40, 80), 60)
    assert seen[0].shape == (1, 5, 16, 32)
    assert torch.allclose(seen[0][0, 3, :, 0], torch.linspace(-1, 1, 16))
    assert torch.allclose(seen[0][0, 4, 0], torch.linspace(-1, 1, 32))


def test_seed_decides_draws():
    picture = torch.rand(3, 20, 30)
    masks = [choose_at_full_size(MASKINGS["random"](), picture, 30, s) for s in (0, 0, 1)]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


@pytest.mark.parametrize("count", [0, 601])
def test_counts_that_cannot_be_are_refused(count):
    message = f"--budget must buy a pixel, and at most the 600 of a picture of 20x30; got {count}."
    with pytest.raises(ValueError, match=re.escape(message)):
        choose_at_full_size(MASKINGS["random"](), torch.rand(3, 20, 30), count)

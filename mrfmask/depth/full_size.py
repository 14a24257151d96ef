"""Masks of pictures of any size, by networks trained on small ones."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mrfmask.depth.density_net import DensityMaps
from mrfmask.depth.masking import IsingDensity, Masking, View
from mrfmask.nn import MaskNet

# Networks are trained on 100x100 pixels that stand for 350x350 or so: a picture's shorter side is
# reduced to about as many.
SHORT_SIDE = 128
# The long-range model looks at every pixel for every pick: more products of the two take minutes.
MOST_WORK = 2**33


def choose_at_full_size(
    masking: Masking, picture: Float[Tensor, "3 height width"], count: int, seed: int = 0
) -> Bool[Tensor, "height width"]:
    """The pixels of a picture to buy, of all its pixels, before any depth is known.

    A network sees the picture with its shorter side reduced to 128 pixels, if it is longer; what it
    gives is interpolated to the picture's size, and picks are made there.

    Args:
        masking: the method.
        picture: RGB in [0, 1].
        count: pixels to buy, at least 1 and at most all.
        seed: of methods that draw.

    Raises:
        ValueError: another number of pixels than there are, or so many that it would take hours.
    """
    height, width = picture.shape[1:]
    if not 1 <= count <= height * width:
        raise ValueError(
            f"budget must buy a pixel, and at most the {height * width} of a picture of "
            f"{height}x{width}; got {count}. Change it."
        )
    if isinstance(masking, IsingDensity) and count * height * width > MOST_WORK:
        raise ValueError(
            f"size must be less for {count} pixels of {height}x{width}, which would take long; got "
            "more than 2^33 of their product. Reduce the picture, e.g. with --size 480x640."
        )
    zeros = torch.zeros(1, height, width)
    view = View(
        picture=picture[None],
        valid=torch.ones_like(zeros, dtype=torch.bool),
        taken=torch.zeros_like(zeros, dtype=torch.bool),
        log_weight=zeros,
        trust=1.0,
        seeds=[seed],
    )
    return _reduced(masking, height, width)(view, count)[0]


def _reduced(masking: Masking, height: int, width: int) -> Masking:
    """The method with a network that looks at reduced pictures."""
    short = min(height, width)
    if masking.net_class is None or short <= SHORT_SIDE:
        return masking
    size = (round(height * SHORT_SIDE / short), round(width * SHORT_SIDE / short))
    kind = _ReducedMaskNet if isinstance(masking.net, MaskNet) else _ReducedDensity
    return replace(masking, net=kind(masking.net, size))


class _ReducedDensity(nn.Module):
    """Stands in for `DensityMaps`."""

    def __init__(self, net: DensityMaps, size: tuple[int, int]) -> None:
        super().__init__()
        self.net, self.size = net, size

    def log_density(self, picture: Tensor, share: float) -> Tensor:
        maps = self.net.log_density(_resize(picture, self.size), share)[:, None]
        return interpolate(maps, tuple(picture.shape[2:]), mode="bilinear")[:, 0]


class _ReducedMaskNet(nn.Module):
    """Stands in for `MaskNet`; features are interpolated, potentials are made of them as ever."""

    def __init__(self, net: MaskNet, size: tuple[int, int]) -> None:
        super().__init__()
        self.net, self.size, self.head = net, size, net.head

    def body(self, picture: Tensor) -> Tensor:
        features = self.net.body(_resize(picture, self.size))
        return interpolate(features, tuple(picture.shape[2:]), mode="bilinear")


def _resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    return interpolate(picture, size, mode="bilinear", antialias=True).clamp(0, 1)

"""Masks of pictures of any size, by networks trained on small ones."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mrfmask.depth.density_net import places
from mrfmask.depth.masking import IsingDensity, Masking, View
from mrfmask.depth.tiles import long_range_in_tiles

# Networks are trained on 100x100 pixels that stand for 350x350 or so: a picture's shorter side is
# reduced to about as many.
SHORT_SIDE = 128
COLOURS = 3


@torch.no_grad()
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
        ValueError: another number of pixels than there are.
    """
    height, width = picture.shape[1:]
    if not 1 <= count <= height * width:
        raise ValueError(
            f"--budget must buy a pixel, and at most the {height * width} of a picture of "
            f"{height}x{width}; got {count}. Change it."
        )
    size = _reduced_size(height, width)
    if isinstance(masking, IsingDensity):
        share = count / (height * width)
        scores = masking.net.eval().log_density(_resize(picture[None], size), share)
        scores = interpolate(scores.float().cpu()[:, None], (height, width), mode="bilinear")
        scores = masking.sharpness * scores[0, 0]
        return long_range_in_tiles(scores, count, masking.exponent)
    if masking.net_class is not None:
        masking = replace(masking, net=_seeing(masking.net, size))
    zeros = torch.zeros(1, height, width)
    view = View(
        picture=picture[None],
        valid=torch.ones_like(zeros, dtype=torch.bool),
        taken=torch.zeros_like(zeros, dtype=torch.bool),
        log_weight=zeros,
        trust=1.0,
        seeds=[seed],
    )
    return masking(view, count)[0]


def _reduced_size(height: int, width: int) -> tuple[int, int]:
    scale = min(1.0, SHORT_SIDE / min(height, width))
    return round(scale * height), round(scale * width)


def _resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(picture.shape[2:]) == size:
        return picture
    return interpolate(picture, size, mode="bilinear", antialias=True).clamp(0, 1)


def _seeing(net: nn.Module, size: tuple[int, int]) -> nn.Module:
    """The same `MaskNet`, but that features are made of the reduced picture and interpolated."""
    seeing = copy.copy(net)
    # Else the body below would become that of the original, too.
    seeing._modules = dict(net._modules)
    seeing.body = _ReducedBody(net.body, size)
    return seeing


class _ReducedBody(nn.Module):
    def __init__(self, body: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.body, self.size = body, size

    def forward(self, picture: Tensor) -> Tensor:
        reduced = _resize(picture[:, :COLOURS], self.size)
        if picture.shape[1] > COLOURS:
            # Of networks that see the place of every pixel, too: numbers from -1 to 1, no colours.
            reduced = torch.cat([reduced, places(reduced)], dim=1)
        features = self.body(reduced)
        if features.shape[2:] == picture.shape[2:]:
            return features
        return interpolate(features, tuple(picture.shape[2:]), mode="bilinear")

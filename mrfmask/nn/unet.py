"""A compact U-Net without transposed convolutions: features of every pixel of an image."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pad

# Channels at full, half, quarter and eighth resolution, in multiples of `width`.
LEVELS = (1, 2, 3, 4)
# Channels are normalised in this many groups: of one image alone, whatever the batch.
GROUPS = 8


class UNet(nn.Module):
    """Features of every pixel, from its surroundings at four resolutions.

    Features are averaged on the way down and interpolated on the way up. Nothing brings in a period
    of its own: away from the border a constant image has constant features. Images may have any
    size; sides that 8 does not divide are continued by their last pixel meanwhile.

    Args:
        in_channels: channels of the image, at least 1.
        width: channels of the result, a multiple of 8.

    Reference:
        Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical image
        segmentation", MICCAI 2015. Odena, Dumoulin and Olah, "Deconvolution and checkerboard
        artifacts", Distill 2016, for interpolation in place of transposed convolutions.
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        widths = [width * level for level in LEVELS]
        self.down = nn.ModuleList(ConvBlock(a, b) for a, b in pairwise([in_channels, *widths]))
        self.up = nn.ModuleList(
            ConvBlock(coarse + fine, fine) for fine, coarse in reversed(list(pairwise(widths)))
        )

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch width height width"]:
        """The features of a batch of images, at their resolution."""
        height, width = image.shape[2:]
        coarsest = 2 ** (len(LEVELS) - 1)
        x = pad(image, (0, -width % coarsest, 0, -height % coarsest), mode="replicate")
        skips = []
        for block in self.down:
            x = block(avg_pool2d(x, 2) if skips else x)
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skips.pop()], dim=1))
        return x[..., :height, :width]


class ConvBlock(nn.Sequential):
    """Two 3x3 convolutions, each normalised within the image and rectified."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        layers = []
        for channels in (in_channels, out_channels):
            layers += [
                nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),
                nn.GroupNorm(GROUPS, out_channels),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)

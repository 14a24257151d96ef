"""A U-Net on blocks of pixels with a head at full resolution: cheap, and sharp to the pixel."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle

from mrfmask.nn.unet import UNet

# The body works at half resolution; so many of its channels come back to every pixel.
BLOCK, SHUFFLED = 2, 8
HEAD_WIDTH = 16


class BlockUNet(nn.Module):
    """Maps of an image: a U-Net sees blocks of 2x2 pixels, two further convolutions every pixel.

    Before training all maps are 0. Images may have any size; those with an odd side are continued
    by their last pixel meanwhile.

    Args:
        in_channels: channels of the image, at least 1.
        out_channels: maps, at least 1.
        width: channels of the U-Net at its finest, a multiple of 8.

    Reference:
        Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
        convolutional neural network", CVPR 2016, for the blocks.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int) -> None:
        super().__init__()
        self.body = UNet(in_channels * BLOCK**2, width)
        self.spread = nn.Conv2d(width, SHUFFLED * BLOCK**2, 1)
        self.head = nn.Sequential(
            nn.Conv2d(SHUFFLED + in_channels, HEAD_WIDTH, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(HEAD_WIDTH, out_channels, 3, padding=1),
        )
        nn.init.zeros_(self.head[-1].weight)
        nn.init.zeros_(self.head[-1].bias)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch maps height width"]:
        """The maps, in the dtype of x."""
        height, width = x.shape[2:]
        whole = pad(x, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")
        features = pixel_shuffle(self.spread(self.body(pixel_unshuffle(whole, BLOCK))), BLOCK)
        maps = self.head(torch.cat([features[..., :height, :width], x.to(features.dtype)], dim=1))
        return maps.to(x.dtype)

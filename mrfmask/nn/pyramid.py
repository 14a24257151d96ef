"""Feature maps at several resolutions, joined at the resolution of the image."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mrfmask.nn.unet import ConvBlock


class FeaturePyramid(nn.Module):
    """Features of every pixel, from the maps of an extractor and the image itself.

    From the coarsest map on, the sum so far is interpolated to the size of the next finer map and
    added to it, and at last to the size of the image; a block of convolutions joins it with
    features of the image at full resolution.

    Args:
        in_channels: channels of the image.
        feature_channels: channels of the maps, finest first.
        width: channels of the result, a multiple of 8.

    Reference:
        Lin et al., "Feature pyramid networks for object detection", CVPR 2017.
    """

    def __init__(self, in_channels: int, feature_channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.feature_channels = feature_channels
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in feature_channels)
        self.stem = ConvBlock(in_channels, width)
        self.join = ConvBlock(2 * width, width)

    def forward(
        self,
        image: Float[Tensor, "batch channels height width"],
        maps: Tensor | list[Tensor] | tuple[Tensor, ...],
    ) -> Float[Tensor, "batch width height width"]:
        """The features of a batch of images, at their resolution."""
        maps = (maps,) if isinstance(maps, Tensor) else maps
        self._check_maps(image, maps)
        x = None
        for layer, features in zip(reversed(self.lateral), reversed(maps), strict=True):
            here = layer(features)
            x = here if x is None else here + _resized(x, here)
        return self.join(torch.cat([_resized(x, image), self.stem(image)], dim=1))

    def _check_maps(self, image: Tensor, maps: Any) -> None:
        if not isinstance(maps, list | tuple) or not all(isinstance(m, Tensor) for m in maps):
            raise TypeError(
                f"features must give a tensor or a list of tensors; got {type(maps).__name__}. "
                "Pass an extractor of feature maps."
            )
        shapes = [tuple(m.shape) for m in maps]
        fits = len(shapes) == len(self.feature_channels) and all(
            len(shape) == 4 and shape[:2] == (len(image), channels) and 0 not in shape[2:]
            for shape, channels in zip(shapes, self.feature_channels, strict=True)
        )
        if not fits:
            raise ValueError(
                f"features must give maps (batch, channels, height, width) with "
                f"{', '.join(map(str, self.feature_channels))} channels for {len(image)} images; "
                f"got shapes {', '.join(map(str, shapes))}. Correct feature_channels."
            )
        heights = [shape[2] for shape in shapes]
        if heights != sorted(heights, reverse=True):
            raise ValueError(
                f"features must give the finest map first; got heights {heights}. Reverse them."
            )


def _resized(x: Tensor, like: Tensor) -> Tensor:
    """The map at the height and width of another one."""
    return interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)

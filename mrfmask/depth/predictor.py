"""From sparse measurements to dense depth: a network that corrects linear interpolation."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mrfmask.depth.checks import check_depth, check_known, check_like
from mrfmask.depth.reconstruct import Fills, fill
from mrfmask.inference.method import check_count
from mrfmask.nn.block_unet import BlockUNet
from mrfmask.nn.heads import check_feature_map
from mrfmask.nn.hub import Pretrained
from mrfmask.nn.unet import GROUPS

MOST_WIDTH = 2**12
# Nearest fill, linear fill, its logarithm, distance, mask, masked depth; then red, green, blue.
DEPTH_CHANNELS, PICTURE_CHANNELS = 6, 3
# Of distances, in pixels, so that usual ones are of order 1.
FAR = 10.0
# A depth is at most e^2 = 7.4 times the linear fill, or as many times less.
LARGEST_LOG_CORRECTION = 2.0
CARD_TEMPLATE = """---
{{ card_data }}
---

A network that completes depth from measured pixels, saved by mrfmask: `config.json` has the
arguments, `model.safetensors` the weights. `from_pretrained` of `mrfmask.depth.predictor.Predictor`
loads it.
"""


class Predictor(
    nn.Module,
    Pretrained,
    library_name="mrfmask",
    tags=["depth-estimation"],
    model_card_template=CARD_TEMPLATE,
):
    r"""Dense depth from measured pixels: linear interpolation, times a learned correction.

    ``prediction = linear fill * exp(2 tanh(f / 2))`` with f of a U-Net of 0.23 million parameters.
    It sees nearest and linear fill and the measured depths themselves, all divided by the mean
    measured depth of the image, the logarithm of the linear fill, the distance to the nearest
    measured pixel, and the mask. Before training f is 0 and the prediction is the linear fill;
    depths in other units give the same prediction in these units. The U-Net works at half
    resolution on blocks of 2x2 pixels, two further convolutions at full resolution.

    A picture is no input unless asked for: trained on a few hundred, such networks know places by
    heart and are worse on new ones.

    Args:
        width: channels of the U-Net at its finest, a multiple of 8.
        picture: look at an RGB picture, too.

    Raises:
        TypeError: an argument of another kind.
        ValueError: an argument out of its range.

    Example:
        >>> import torch
        >>> from mrfmask.depth.predictor import Predictor
        >>> depth = 1 + torch.rand(2, 48, 65)
        >>> mask = torch.rand(2, 48, 65) < 0.05
        >>> Predictor()(depth, mask).shape
        torch.Size([2, 48, 65])
    """

    def __init__(self, width: int = 16, picture: bool = False) -> None:
        check_count("width", width, least=GROUPS, most=MOST_WIDTH)
        if width % GROUPS:
            raise ValueError(
                f"width must be a multiple of {GROUPS}; got {width}. Use 16 if in doubt."
            )
        if not isinstance(picture, bool):
            raise TypeError(
                f"picture must be a bool; got {type(picture).__name__}. Use True or False."
            )
        super().__init__()
        self.picture = picture
        channels = DEPTH_CHANNELS + PICTURE_CHANNELS * picture
        self.net = BlockUNet(channels, 1, width)

    def forward(
        self,
        depth: Float[Tensor, "batch height width"],
        mask: Bool[Tensor, "batch height width"],
        picture: Float[Tensor, "batch 3 height width"] | None = None,
        *,
        fills: Fills | None = None,
    ) -> Float[Tensor, "batch height width"]:
        """The predicted depth of every pixel, in the unit of `depth`; positive.

        Args:
            depth: (batch, height, width), positive where measured, of any size and unit; what it
                holds elsewhere is never read.
            mask: the measured pixels, at least one an image.
            picture: RGB in [0, 1], (batch, 3, height, width), for networks that look at it; else
                None.
            fills: what ``fill(depth, mask)`` gave, so that a training need not compute it again;
                None computes it. Gradients reach depths through fills that carry them.

        Raises:
            TypeError: an argument of another kind.
            ValueError: shapes or devices differ, an image has no measured pixel, a measured depth
                is not positive and finite, or a picture is there without a use for it or missing.
        """
        check_depth("depth", depth)
        check_known("depth", depth, "mask", mask)
        self._check_picture(picture, depth)
        if fills is None:
            fills = fill(depth, mask)
        else:
            _check_fills(fills, depth)
        dtype = self.net.spread.weight.dtype
        nearest, linear, distance = (
            x.to(dtype) for x in (fills.nearest, fills.linear, fills.distance)
        )
        measured = torch.where(mask, depth, 0).to(dtype)
        scale = measured.sum(dim=(1, 2), keepdim=True) / mask.sum(dim=(1, 2), keepdim=True)
        channels = [
            nearest / scale - 1,
            linear / scale - 1,
            (linear / scale).log(),
            distance / FAR,
            mask.to(dtype),
            torch.where(mask, measured / scale - 1, 0),
        ]
        x = torch.stack(channels, dim=1)
        if picture is not None:
            x = torch.cat([x, 2 * picture.to(dtype) - 1], dim=1)
        raw = self.net(x).squeeze(1)
        correction = LARGEST_LOG_CORRECTION * torch.tanh(raw / LARGEST_LOG_CORRECTION)
        return fills.linear * correction.exp().to(depth.dtype)

    def _check_picture(self, picture: Tensor | None, depth: Tensor) -> None:
        if (picture is not None) != self.picture:
            rule, got = ("be given to", "None") if self.picture else ("be None for", "one")
            raise ValueError(
                f"picture must {rule} a predictor made with picture={self.picture}; got {got}. "
                "What it sees is chosen when it is made."
            )
        if picture is None:
            return
        check_feature_map("picture", picture, PICTURE_CHANNELS)
        expected = (len(depth), PICTURE_CHANNELS, *depth.shape[1:])
        if tuple(picture.shape) != expected or picture.device != depth.device:
            raise ValueError(
                f"picture must have shape {expected} on {depth.device}; got "
                f"{tuple(picture.shape)} on {picture.device}. It belongs to the depth."
            )


def _check_fills(fills: Fills, depth: Tensor) -> None:
    if not isinstance(fills, Fills):
        raise TypeError(
            f"fills must be what fill(depth, mask) gives; got {type(fills).__name__}. Leave it out "
            "if in doubt."
        )
    for name in ("nearest", "linear", "distance"):
        check_like(f"fills.{name}", getattr(fills, name), depth)

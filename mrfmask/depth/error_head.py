"""How far the linear fill will be off, pixel by pixel: a network that looks at bought depths."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mrfmask.checks import check_mask
from mrfmask.depth.checks import check_depth, check_known
from mrfmask.depth.neighbour_variance import neighbour_variance
from mrfmask.depth.predictor import FAR
from mrfmask.depth.reconstruct import Fills, fill
from mrfmask.inference.method import check_count
from mrfmask.nn.block_unet import BlockUNet
from mrfmask.nn.hub import Pretrained

# Nearest fill, linear fill, its logarithm, distance, mask, variance of measured depths nearby,
# validity.
CHANNELS = 7
# Expected errors are at least this share of the mean measured depth: nothing is certain.
LEAST = 1e-3
# Logarithms lie within +-8 of where they start.
BOUND = 8.0
CARD_TEMPLATE = """---
{{ card_data }}
---

A network that expects errors of completed depth, saved by mrfmask: `config.json` has the arguments,
`model.safetensors` the weights. `from_pretrained` of `mrfmask.depth.error_head.ErrorHead` loads it.
"""


class ErrorHead(
    nn.Module,
    Pretrained,
    library_name="mrfmask",
    tags=["depth-estimation"],
    model_card_template=CARD_TEMPLATE,
):
    r"""Expected squared error of the linear fill, from measured depths alone, without a picture.

    ``error = (variance + (0.001 m)^2) * exp(8 tanh(f / 8))`` with the variance of the nearest
    measured depths, see `neighbour_variance`, the mean measured depth m of the image, and f of a
    `BlockUNet`. It sees nearest and linear fill over m, the logarithm of the latter and that of the
    variance over m^2, the distance to the nearest measured pixel, mask and validity. Before
    training f is 0; depths in another unit give the same errors in its square.

    Args:
        width: channels of the U-Net at its finest, a multiple of 8.

    Raises:
        TypeError, ValueError: the width is not what it must be.

    Example:
        >>> import torch
        >>> from mrfmask.depth.error_head import ErrorHead
        >>> depth = 1 + torch.rand(2, 48, 65)
        >>> mask = torch.rand(2, 48, 65) < 0.05
        >>> ErrorHead()(depth, mask, depth > 0).shape
        torch.Size([2, 48, 65])
    """

    def __init__(self, width: int = 16) -> None:
        check_count("width", width, least=8)
        super().__init__()
        self.net = BlockUNet(CHANNELS, 1, width)

    def forward(
        self,
        bought: Float[Tensor, "batch height width"],
        mask: Bool[Tensor, "batch height width"],
        valid: Bool[Tensor, "batch height width"],
        *,
        fills: Fills | None = None,
    ) -> Float[Tensor, "batch height width"]:
        """The expected squared error of every pixel, in the unit of `bought`, squared; positive.

        Args:
            bought: measured depths, positive there; what it holds elsewhere is never read.
            mask: the measured pixels, at least one an image.
            valid: where depth can be measured.
            fills: what ``fill(bought, mask)`` gave; None computes it.

        Raises:
            TypeError: an argument of another kind.
            ValueError: shapes differ, an image has no measured pixel, or a measured depth is not
                positive and finite.
        """
        check_depth("bought", bought)
        check_known("bought", bought, "mask", mask)
        check_mask("valid", valid, tuple(bought.shape), bought.device)
        if fills is None:
            fills = fill(bought, mask)
        measured = torch.where(mask, bought, 0)
        scale = measured.sum(dim=(1, 2), keepdim=True) / mask.sum(dim=(1, 2), keepdim=True)
        start = neighbour_variance(measured / scale, mask, valid) + LEAST**2
        channels = [
            fills.nearest / scale - 1,
            fills.linear / scale - 1,
            (fills.linear / scale).log(),
            fills.distance / FAR,
            mask.to(bought.dtype),
            start.log() / BOUND,
            valid.to(bought.dtype),
        ]
        raw = self.net(torch.stack(channels, dim=1)).squeeze(1)
        return scale.square() * start * (BOUND * torch.tanh(raw / BOUND)).exp()

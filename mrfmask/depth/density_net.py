"""How many picks an area should get: a network that reads it off the picture, and a fixed map."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import dropout2d, interpolate

from mrfmask.depth.checks import check_share
from mrfmask.inference.method import check_count
from mrfmask.nn.block_unet import BlockUNet
from mrfmask.nn.heads import check_feature_map
from mrfmask.nn.hub import Pretrained
from mrfmask.nn.unet import GROUPS

# Shares of pixels that the maps are for; between them log-densities are interpolated in the
# logarithm of the share, beyond them the nearest one is taken.
SHARES = (0.01, 0.05)
# Log-densities lie within +-4 before the sharpness: bounded, as cells with few errors have no
# lowest density.
BOUND = 4.0
PICTURE, PLACE = 3, 2
TAGS = ["ising-model", "depth-estimation"]
CARD_TEMPLATE = """---
{{ card_data }}
---

Log-densities of depth measurements, saved by mrfmask: `config.json` has the arguments,
`model.safetensors` the weights. `from_pretrained` of the class in `mrfmask.depth.density_net` loads
them.
"""


class DensityMaps(nn.Module, ABC):
    """Base: maps of log-densities for the shares in SHARES, up to a constant an image.

    Attributes:
        sharpness: factor of each share's map, 1 unless tuned; saved with the weights.
    """

    sharpness: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("sharpness", torch.ones(len(SHARES)))

    @abstractmethod
    def forward(
        self, picture: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch shares height width"]:
        """The log-densities of every share, within +-4."""

    def log_density(
        self, picture: Float[Tensor, "batch 3 height width"], share: float
    ) -> Float[Tensor, "batch height width"]:
        """The log-density for a share of pixels to be bought, in (0, 1].

        Raises:
            TypeError, ValueError: `share` is no number in that range; or see `forward`.
        """
        check_share("share", share)
        if share == 0:
            raise ValueError("share must be above 0; got 0. Nothing bought has no density.")
        maps = self(picture) * self.sharpness[:, None, None]
        low, high = (math.log(s) for s in SHARES)
        weight = min(max((math.log(share) - low) / (high - low), 0.0), 1.0)
        return torch.lerp(maps[:, 0], maps[:, 1], weight)


class DensityNet(
    DensityMaps,
    Pretrained,
    library_name="mrfmask",
    tags=TAGS,
    model_card_template=CARD_TEMPLATE,
):
    """Log-densities of picks from a picture and the place of every pixel, by a `BlockUNet`.

    Args:
        width: channels of the U-Net at its finest, a multiple of 8.
        dropout: share of input channels dropped in training, in [0, 1).

    Raises:
        TypeError, ValueError: an argument is not what it must be.

    Example:
        >>> import torch
        >>> from mrfmask.depth.density_net import DensityNet
        >>> DensityNet()(torch.rand(2, 3, 48, 65)).shape
        torch.Size([2, 2, 48, 65])
    """

    def __init__(self, width: int = 16, dropout: float = 0.15) -> None:
        check_count("width", width, least=GROUPS)
        if width % GROUPS:
            raise ValueError(f"width must be a multiple of {GROUPS}; got {width}. 16 is usual.")
        check_share("dropout", dropout)
        if dropout == 1:
            raise ValueError("dropout must be below 1; got 1. 0.15 is usual.")
        super().__init__()
        self.dropout = dropout
        self.net = BlockUNet(PICTURE + PLACE, len(SHARES), width)

    def forward(
        self, picture: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch shares height width"]:
        """See `DensityMaps`.

        Raises:
            TypeError, ValueError: `picture` is no float tensor of that shape.
        """
        check_feature_map("picture", picture, PICTURE)
        picture = picture.to(self.net.head[-1].weight.dtype)
        x = torch.cat([2 * picture - 1, places(picture)], dim=1)
        x = dropout2d(x, self.dropout, training=self.training)
        return BOUND * torch.tanh(self.net(x) / BOUND)


class PositionPrior(
    DensityMaps,
    Pretrained,
    library_name="mrfmask",
    tags=TAGS,
    model_card_template=CARD_TEMPLATE,
):
    """The same log-densities for all pictures: a control, and hard to beat where cameras are fixed.

    Args:
        height: of the map, in pixels, >= 1; for pictures of another size it is interpolated.
        width: of the map.

    Raises:
        TypeError, ValueError: a side is no int from 1 on.
    """

    def __init__(self, height: int, width: int) -> None:
        for name, side in (("height", height), ("width", width)):
            check_count(name, side, least=1)
        super().__init__()
        self.register_buffer("maps", torch.zeros(len(SHARES), height, width))

    def forward(
        self, picture: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch shares height width"]:
        """See `DensityMaps`; of the picture, only batch and size are looked at.

        Raises:
            TypeError, ValueError: `picture` is no float tensor of that shape.
        """
        check_feature_map("picture", picture, PICTURE)
        size = tuple(picture.shape[2:])
        maps = self.maps[None]
        if size != tuple(maps.shape[2:]):
            maps = interpolate(maps, size, mode="bilinear")
        return maps.expand(len(picture), -1, -1, -1)


def places(
    picture: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, "batch 2 height width"]:
    """Row and column of every pixel, from -1 to 1."""
    batch, _, *sides = picture.shape
    lines = [torch.linspace(-1, 1, side).to(picture) for side in sides]
    return torch.stack(torch.meshgrid(*lines, indexing="ij")).expand(batch, -1, -1, -1)

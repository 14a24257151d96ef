"""From an image to a model: a compact U-Net, or any feature extractor, with an Ising head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from mrfmask.inference.method import check_count
from mrfmask.model import IsingGrid
from mrfmask.nn.heads import Coupling, IsingHead, check_feature_map
from mrfmask.nn.hub import CARD_TEMPLATE, Pretrained
from mrfmask.nn.pyramid import FeaturePyramid
from mrfmask.nn.unet import GROUPS, UNet

MOST_CHANNELS = 2**16


class MaskNet(
    nn.Module,
    Pretrained,
    library_name="mrfmask",
    tags=["ising-model"],
    model_card_template=CARD_TEMPLATE,
):
    """A network that makes an Ising model of every image: features of the pixels, then `IsingHead`.

    By default the features come from a U-Net with half a million parameters. Any other extractor
    fits, too: a module that makes of an image one feature map, or several, finest first, at lower
    resolutions. They are interpolated to full resolution and joined with features of the pixels.
    The models of timm are such extractors (timm is not needed by mrfmask)::

        extractor = timm.create_model("resnet18", features_only=True, pretrained=True)
        net = MaskNet(features=extractor, feature_channels=extractor.feature_info.channels())

    Args:
        in_channels: channels of the image, at least 1; 3 for RGB.
        width: channels of the feature map that the head sees, a multiple of 8.
        coupling: "associative", "repulsive", "free" or "none", see `IsingHead`.
        rate: share of pixels on at the start, within (0, 1).
        hidden: channels of the head's hidden layers, at least 1.
        learn_scale: learn the positive factor of all potentials.
        features: the extractor; None for the U-Net. Its weights are trained and saved, too.
        feature_channels: channels of the maps that `features` gives, in their order.

    Raises:
        TypeError: an argument of another kind, or `features` without `feature_channels`.
        ValueError: an argument out of its range.

    Example:
        >>> import torch, mrfmask as mm, mrfmask.nn
        >>> net = mm.nn.MaskNet(coupling="repulsive", rate=0.05)
        >>> net(torch.rand(2, 3, 48, 65))
        IsingGrid(2 x 48x65, torch.float32, cpu)
    """

    config_leaves_out = ("features",)

    def __init__(
        self,
        in_channels: int = 3,
        width: int = 24,
        coupling: Coupling = "associative",
        rate: float = 0.5,
        hidden: int = 16,
        learn_scale: bool = True,
        features: nn.Module | None = None,
        feature_channels: Sequence[int] | None = None,
    ) -> None:
        check_count("in_channels", in_channels, least=1, most=MOST_CHANNELS)
        check_count("width", width, least=GROUPS, most=MOST_CHANNELS)
        if width % GROUPS:
            raise ValueError(
                f"width must be a multiple of {GROUPS}; got {width}. Use 24 if in doubt."
            )
        check_count("hidden", hidden, least=1, most=MOST_CHANNELS)
        _check_extractor(features, feature_channels)
        super().__init__()
        # Before the rest, so that wrong arguments are named before weights are made.
        self.head = IsingHead(width, coupling, rate, hidden, learn_scale)
        self.in_channels = in_channels
        self.features = features
        if features is None:
            self.body = UNet(in_channels, width)
        else:
            self.body = FeaturePyramid(in_channels, tuple(feature_channels), width)

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> IsingGrid:
        """The models of a batch of images.

        Args:
            image: (batch, in_channels, height, width), any floating-point dtype and any size of at
                least 1x1 that the extractor takes; RGB in [0, 1] unless trained otherwise.

        Raises:
            TypeError: `image` is no floating-point tensor.
            ValueError: its shape does not fit, the maps of the extractor are not as announced, or a
                potential is NaN or infinite.
        """
        return IsingGrid(*self.potentials(image))

    def potentials(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> tuple[
        Float[Tensor, "batch height width"],
        Float[Tensor, "batch height width-1"],
        Float[Tensor, "batch height-1 width"],
    ]:
        """The tensors unary, right and down of the models; what to hand to `torch.compile`."""
        check_feature_map("image", image, self.in_channels)
        image = image.to(self.head.log_scale.dtype)
        if self.features is None:
            return self.head.potentials(self.body(image))
        return self.head.potentials(self.body(image, self.features(image)))


def _check_extractor(features: Any, channels: Any) -> None:
    """Raises unless both are there or neither is, and both are of the right kind."""
    if features is None and channels is None:
        return
    if not isinstance(features, nn.Module):
        raise TypeError(
            f"features must be a torch.nn.Module along with feature_channels; got "
            f"{type(features).__name__}. Pass the extractor, or neither for the U-Net."
        )
    if isinstance(channels, str) or not isinstance(channels, Sequence) or not channels:
        raise TypeError(
            f"feature_channels must be a list of ints along with features; got {channels!r}. Give "
            "the channels of each map."
        )
    for number in channels:
        check_count("feature_channels", number, least=1, most=MOST_CHANNELS)

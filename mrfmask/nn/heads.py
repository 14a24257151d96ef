"""The head of a network: from a feature map to an Ising model."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from mrfmask.inference.method import check_choice, check_count
from mrfmask.model import IsingGrid

Coupling = Literal["associative", "repulsive", "free", "none"]
SIGNS: dict[Coupling, int] = {"associative": 1, "repulsive": -1, "free": 0, "none": 0}

# Strength of the couplings before training: far from any phase transition (0.44 on this grid), and
# softplus is not yet flat.
START_COUPLING = 0.05
# Of the last layers' weights, so that the biases alone decide where training starts.
START_DEVIATION = 0.001


class IsingHead(nn.Module):
    r"""Potentials from features: a unary of every pixel, a coupling of every pair of neighbours.

    With 1x1 convolutions F, A, B, S and D, the same for all pixels::

        unary_i = exp(log_scale) A(gelu(F f_i))
        pairwise_ij = exp(log_scale) sign softplus(B(gelu(S f_i + S f_j - |D f_i - D f_j|)))

    and without sign and softplus for free couplings. Couplings look at their two ends in the same
    way, and right does what down does: the mirrored or transposed feature map has the mirrored or
    transposed couplings. Outputs are potentials, not probabilities: ``2 unary`` is a logit, any
    real number.

    Before training, all couplings are about 0.05 (-0.05 if repulsive, else 0), and pixels away
    from the border are on with probability `rate`. For that the bias of the unaries is
    ``logit(rate) / 2 - 4 coupling (2 rate - 1)``, what four neighbours of that mean leave to the
    unary in mean field. `torch.manual_seed` decides the other weights.

    Potentials are float32 under autocast, too, which is off within the head. ``head.double()``
    computes, and gives models, in float64.

    Args:
        in_channels: channels of the feature map, at least 1.
        coupling: "associative" (all couplings positive: MAP is one minimum cut), "repulsive" (all
            negative: the same after flipping every second pixel), "free" (any signs), or "none":
            all 0, every pixel by itself, as in usual segmentation networks.
        rate: share of pixels on at the start, within (0, 1).
        hidden: channels of the hidden layers, at least 1.
        learn_scale: learn the positive factor of all potentials, an inverse temperature, by its
            logarithm `log_scale`; False keeps it at 1.

    Raises:
        TypeError: an argument of another kind.
        ValueError: an argument out of its range.

    Example:
        >>> import torch, mrfmask as mm, mrfmask.nn
        >>> head = mm.nn.IsingHead(16, coupling="repulsive", rate=0.1)
        >>> model = head(torch.randn(2, 16, 24, 32))
        >>> model
        IsingGrid(2 x 24x32, torch.float32, cpu)
        >>> model.is_repulsive
        True

    Reference:
        Lin et al., "Focal loss for dense object detection", ICCV 2017, section 4.1, for starting at
        a rate by the bias of the last layer.
    """

    def __init__(
        self,
        in_channels: int,
        coupling: Coupling = "associative",
        rate: float = 0.5,
        hidden: int = 16,
        learn_scale: bool = True,
    ) -> None:
        check_count("in_channels", in_channels, least=1)
        check_choice("coupling", coupling, get_args(Coupling))
        check_rate(rate)
        check_count("hidden", hidden, least=1)
        if not isinstance(learn_scale, bool):
            raise TypeError(
                f"learn_scale must be a bool; got {type(learn_scale).__name__}. Use True or False."
            )
        super().__init__()
        self.in_channels = in_channels
        self.coupling = coupling
        self.sign = SIGNS[coupling]
        self.unary = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 1), nn.GELU(), nn.Conv2d(hidden, 1, 1)
        )
        lasts = [self.unary[-1]]
        if coupling != "none":
            self.sums = nn.Conv2d(in_channels, hidden, 1)
            self.differences = nn.Conv2d(in_channels, hidden, 1, bias=False)
            self.pairwise = nn.Sequential(nn.GELU(), nn.Conv2d(hidden, 1, 1))
            lasts.append(self.pairwise[-1])
        log_scale = torch.zeros(())
        if learn_scale:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)
        for last in lasts:
            nn.init.normal_(last.weight, std=START_DEVIATION)
        start = self.sign * START_COUPLING
        field = (math.log(rate) - math.log1p(-rate)) / 2 - 4 * start * (2 * rate - 1)
        nn.init.constant_(self.unary[-1].bias, field)
        if coupling != "none":
            # The inverse of softplus.
            raw = math.log(math.expm1(START_COUPLING)) if self.sign else 0.0
            nn.init.constant_(self.pairwise[-1].bias, raw)

    def forward(self, features: Float[Tensor, "batch channels height width"]) -> IsingGrid:
        """The model of a batch of feature maps.

        Args:
            features: (batch, in_channels, height, width), any floating-point dtype.

        Raises:
            TypeError: `features` is no floating-point tensor.
            ValueError: its shape does not fit, or a potential is NaN or infinite.
        """
        return IsingGrid(*self.potentials(features))

    def potentials(
        self, features: Float[Tensor, "batch channels height width"]
    ) -> tuple[
        Float[Tensor, "batch height width"],
        Float[Tensor, "batch height width-1"],
        Float[Tensor, "batch height-1 width"],
    ]:
        """The tensors unary, right and down of the model; what to hand to `torch.compile`."""
        check_feature_map("features", features, self.in_channels)
        dtype = self.log_scale.dtype
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(dtype)
            unary = self.unary(features).squeeze(1)
            if self.coupling == "none":
                right, down = torch.zeros_like(unary[..., 1:]), torch.zeros_like(unary[:, 1:])
            else:
                sums, differences = self.sums(features), self.differences(features)
                right = self._couplings(sums, differences, dim=3)
                down = self._couplings(sums, differences, dim=2)
            # Of a network in half precision, too, the model has float32.
            dtype = torch.promote_types(dtype, torch.float32)
            scale = self.log_scale.to(dtype).exp()
            return scale * unary.to(dtype), scale * right.to(dtype), scale * down.to(dtype)

    def _couplings(
        self,
        sums: Float[Tensor, "batch hidden height width"],
        differences: Float[Tensor, "batch hidden height width"],
        dim: int,
    ) -> Float[Tensor, "batch rows columns"]:
        """Couplings of the neighbours along one side; swapping the two changes nothing."""
        pairs = sums.shape[dim] - 1
        if pairs == 0:
            # Convolutions refuse empty images.
            return sums.sum(dim=1).narrow(dim - 1, 0, 0)
        apart = differences.narrow(dim, 1, pairs) - differences.narrow(dim, 0, pairs)
        together = sums.narrow(dim, 1, pairs) + sums.narrow(dim, 0, pairs)
        raw = self.pairwise(together - apart.abs()).squeeze(1)
        return self.sign * softplus(raw) if self.sign else raw

    def extra_repr(self) -> str:
        """What the layers do not show."""
        return f"coupling={self.coupling!r}"


def check_rate(rate: Any) -> None:
    """Raises unless `rate` is a number strictly between 0 and 1."""
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise TypeError(f"rate must be a number; got {type(rate).__name__}. Use a float.")
    if not 0 < rate < 1:
        raise ValueError(
            f"rate must lie strictly between 0 and 1; got {rate}. Use 0.5 if in doubt."
        )


def check_feature_map(name: str, value: Any, channels: int) -> None:
    """Raises unless `value` is a float tensor (batch, channels, height, width) with pixels."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        got = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name} must be a floating-point tensor; got {got}. Call .float().")
    if value.dim() != 4 or value.shape[1] != channels or 0 in value.shape[2:]:
        hint = "For one image pass it with [None]." if value.dim() == 3 else "Check its layout."
        raise ValueError(
            f"{name} must have shape (batch, {channels}, height, width) with at least one pixel; "
            f"got {tuple(value.shape)}. {hint}"
        )

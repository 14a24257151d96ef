"""Masking by a density of picks: learned from the picture, or of the position alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.depth.density_net import DensityNet, PositionPrior
from mrfmask.depth.masking.masking import Masking, View
from mrfmask.inference.method import check_count, check_positive
from mrfmask.select import LongRange


@dataclass(frozen=True, kw_only=True)
class IsingDensity(Masking):
    r"""Long-range repulsive Ising model whose log-couplings a network emits, with exact budget.

    The network gives a log-density of picks for the budget, its map r; picks minimise
    ``sum y_i y_j (rho_i rho_j)^(-s/4) / d_ij^s`` with
    ``log rho = sharpness * trust * r + log_weight``, see `mm.LongRange`.

    Args:
        net: from pictures to log-densities; put into evaluation mode when it is used.
        sharpness: factor of its log-density, positive; below 1 where the net is far from home.
        exponent: s, see `mm.LongRange`.

    Raises:
        TypeError, ValueError: an argument is not what it must be.
    """

    net: DensityNet
    sharpness: float = 1.0
    exponent: int = 8

    name: ClassVar = "ising_density"
    net_class: ClassVar = DensityNet

    def __post_init__(self) -> None:
        if not isinstance(self.net, self.net_class):
            raise TypeError(
                f"net must be a {self.net_class.__name__} for {self.name}; got "
                f"{type(self.net).__name__}. Train one, or load it by from_pretrained."
            )
        check_positive("sharpness", self.sharpness)
        check_count("exponent", self.exponent, least=1, most=16)

    def _choose(self, view: View, count: int) -> Bool[Tensor, "batch height width"]:
        scores = self.sharpness * view.trust * self._log_density(view, count) + view.log_weight
        scores = scores.where(view.valid, -torch.inf)
        return LongRange(exponent=self.exponent)(scores, budget=count, taken=view.taken)

    @torch.no_grad()
    def _log_density(self, view: View, count: int) -> Float[Tensor, "batch height width"]:
        share = count / view.valid[0].numel()
        return self.net.eval().log_density(view.picture, share).to(view.log_weight)


@dataclass(frozen=True, kw_only=True)
class Prior(IsingDensity):
    """The same with one density for all pictures: where errors were large in training, on average.

    Args:
        net: the map.
        sharpness: factor of its log-density, positive.
        exponent: s, see `mm.LongRange`.
    """

    net: PositionPrior

    name: ClassVar = "prior"
    net_class: ClassVar = PositionPrior

"""PyTorch modules that make models of potentials, and what trains them."""

from mrfmask.nn import losses
from mrfmask.nn.heads import IsingHead
from mrfmask.nn.layers import MaskLayer
from mrfmask.nn.masknet import MaskNet

__all__ = ["IsingHead", "MaskLayer", "MaskNet", "losses"]

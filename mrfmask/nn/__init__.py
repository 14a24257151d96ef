"""PyTorch modules that make models of potentials, and what trains them."""

from mrfmask.nn import losses
from mrfmask.nn.heads import IsingHead
from mrfmask.nn.masknet import MaskNet

__all__ = ["IsingHead", "MaskNet", "losses"]

"""PyTorch modules that make models of potentials, and what trains them."""

from mrfmask.nn.heads import IsingHead

__all__ = ["IsingHead"]

"""Learning from examples."""

from mrfmask.learn.amn import AMN

__all__ = ["AMN"]

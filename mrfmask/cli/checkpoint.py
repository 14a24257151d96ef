"""A trained network as the source of potentials for pictures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mrfmask.cli.journal import sha256_of
from mrfmask.model import IsingGrid


@dataclass(frozen=True)
class Checkpoint:
    """A network that `mrfmask train` saved.

    Attributes:
        name: the folder, as it was given.
        digest: of the files it was read from; other weights have another.
        net: gives the model of pictures (batch, 3, height, width).
    """

    name: str
    digest: str
    net: nn.Module

    @torch.no_grad()
    def model(self, picture: Tensor) -> IsingGrid:
        """The potentials of a picture (3, height, width) in [0, 1]."""
        return self.net(picture[None])

    def record(self) -> dict[str, Any]:
        """What results depend on, for JSON."""
        return {"checkpoint": self.digest}


def load_checkpoint(folder: Path) -> Checkpoint:
    """Reads a network.

    Raises:
        FileNotFoundError, ValueError: there is none, or it cannot be read.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"--checkpoint must name a folder that exists; got {folder}. Check the spelling."
        )
    from mrfmask.nn import MaskNet

    net = MaskNet.from_pretrained(folder).eval()
    files = ("config.json", "model.safetensors")
    digest = hashlib.sha256("".join(sha256_of(folder / name) for name in files).encode())
    return Checkpoint(str(folder), digest.hexdigest()[:16], net)

"""Scalars and pictures of a training for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Logbook:
    """Writes to ``folder/tensorboard``; what lies beyond `step` there is forgotten.

    Args:
        folder: of the training.
        step: the next one; after a kill, steps that will be done again are written once.

    Raises:
        RuntimeError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise RuntimeError(
                "TensorBoard must be installed for training; got none. Run `pip install "
                "'mrfmask[train]'`."
            ) from error
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def scalars(self, step: int, numbers: dict[str, Any]) -> None:
        """Writes each number under its name."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def pictures(
        self,
        step: int,
        pictures: Float[Tensor, "batch 3 height width"],
        masks: dict[str, Bool[Tensor, "batch height width"]],
    ) -> None:
        """Writes each picture beside its masks, one row an image."""
        columns = [pictures.cpu()]
        columns += [
            m.cpu()[:, None].expand(-1, 3, -1, -1).to(pictures.dtype) for m in masks.values()
        ]
        rows = torch.cat(columns, dim=3)
        sheet = torch.cat(list(rows), dim=1)
        self._writer.add_image(" | ".join(["picture", *masks]), sheet, step)

    def flush(self) -> None:
        """Writes out what is waiting, as before a state is saved."""
        self._writer.flush()

    def close(self) -> None:
        """Ends the file."""
        self._writer.close()

"""Scalars and pictures of a training for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mrfmask.learn.images import Example
from mrfmask.learn.loop import Watcher


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


class LoggedWatcher:
    """Writes every pass to a logbook, masks of pictures with the best ones, and tells another.

    Args:
        logbook: where to.
        shown: a batch of examples to show.
        predict: ``predict(net, pictures)``, the masks.
        watcher: is told, too; None for nobody.
    """

    def __init__(
        self,
        logbook: Logbook,
        shown: Example,
        predict: Callable[[nn.Module, Tensor], Tensor],
        watcher: Watcher | None,
    ) -> None:
        self.logbook, self.shown, self.predict, self.watcher = logbook, shown, predict, watcher

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        """See Watcher."""
        if self.watcher is not None:
            self.watcher.step(epoch, step, steps, loss)

    def epoch(self, record: dict[str, Any], net: nn.Module) -> None:
        """See Watcher."""
        epoch = record["epoch"]
        numbers = {n: v for n, v in record.items() if n not in ("epoch", "best")}
        self.logbook.scalars(epoch, numbers)
        if record["best"]:
            masks = {"target": self.shown.target, "mask": self.predict(net, self.shown.picture)}
            self.logbook.pictures(epoch, self.shown.picture, masks)
        self.logbook.flush()
        if self.watcher is not None:
            self.watcher.epoch(record, net)

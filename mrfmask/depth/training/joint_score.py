"""What a network's masks are worth on validation frames, and whether it has given up."""

from __future__ import annotations

from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.depth import cells
from mrfmask.depth.budget import budget_of
from mrfmask.depth.frames import FrameBatch, collate_frames
from mrfmask.depth.losses import Mean
from mrfmask.depth.masking import MASKINGS, first_view
from mrfmask.depth.masking.grid import GridMasking, cell_model, features_of
from mrfmask.depth.reconstruct import linear
from mrfmask.depth.training.cell_health import cell_health
from mrfmask.depth.training.task import Task
from mrfmask.nn import MaskNet


class JointScore:
    """Scores of networks of a grid masking, on the validation frames of a task.

    What they are compared with is made once it is needed, which in a finished training it is not.

    Args:
        name: of the masking in MASKINGS.
        task: with at least one validation frame.
    """

    def __init__(self, name: str, task: Task) -> None:
        self.name, self.task = name, task

    @cached_property
    def frames(self) -> FrameBatch:
        """All validation frames."""
        return collate_frames([self.task.validation[i] for i in range(len(self.task.validation))])

    @cached_property
    def counts(self) -> list[int]:
        """Pixels of every share."""
        return [budget_of(self.frames.valid, share) for share in self.task.shares]

    @cached_property
    def yardsticks(self) -> list[float]:
        """Mean errors of as many pixels spread evenly, for every share."""
        spread, view = MASKINGS["long_range"](), first_view(self.frames, self.task.seed)
        return [fill_error(self.frames, spread(view, n)).mean().item() for n in self.counts]

    def __call__(self, net: MaskNet) -> dict[str, float]:
        """Numbers for history.jsonl.

        Returns:
            ``score``, minus the mean RMSE of the linear fill relative to long_range's, as a mean
            over the shares; and the means of `cell_health` at the first share.
        """
        masking = MASKINGS[self.name](net=net)
        view = first_view(self.frames, self.task.seed)
        masks = [masking(view, count) for count in self.counts]
        ratios = [
            fill_error(self.frames, mask).mean().item() / yardstick
            for mask, yardstick in zip(masks, self.yardsticks, strict=True)
        ]
        return {"score": -sum(ratios) / len(ratios), **self._health(masking, masks[0])}

    @torch.no_grad()
    def _health(
        self, masking: GridMasking, masks: Bool[Tensor, "batch height width"]
    ) -> dict[str, float]:
        records = []
        for image, (valid, mask) in enumerate(zip(self.frames.valid, masks, strict=True)):
            side = cells.cell_side(valid, self.counts[0])
            features = features_of(masking.net, self.frames.picture[image : image + 1])
            model = cell_model(masking.net, features, side)
            open_, chosen = (cells.some(m[None], side)[0] for m in (valid, mask))
            records.append(cell_health(2 * model.unary[0], chosen, open_))
        return {name: sum(r[name] for r in records) / len(records) for name in records[0]}


def fill_error(
    frames: FrameBatch, mask: Bool[Tensor, "batch height width"]
) -> Float[Tensor, " batch"]:
    """RMSE over the valid pixels of the linear fill of a mask, of every image."""
    error = linear(frames.depth, mask) - frames.depth
    return Mean(frames.valid)(error.square()).sqrt()

"""What a network's masks are worth on validation frames, and whether it has given up."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.depth import cells
from mrfmask.depth.budget import budget_of
from mrfmask.depth.frames import FrameBatch, collate_frames
from mrfmask.depth.losses import Mean
from mrfmask.depth.masking import MASKINGS, first_view
from mrfmask.depth.masking.grid import GridMasking, cell_model
from mrfmask.depth.reconstruct import linear
from mrfmask.depth.training.mask_health import mask_health
from mrfmask.depth.training.task import Task
from mrfmask.nn import MaskNet


class JointScore:
    """Scores of networks of a grid masking, on the validation frames of a task.

    Args:
        name: of the masking in MASKINGS.
        task: with at least one validation frame.

    Raises:
        ValueError: the task has none.
    """

    def __init__(self, name: str, task: Task) -> None:
        if not len(task.validation):
            raise ValueError(
                "task must have validation frames to choose by; got none. Give more data, or a "
                "larger share of validation."
            )
        self.name, self.seed = name, task.seed
        frames = [task.validation[i] for i in range(len(task.validation))]
        self.frames = collate_frames(frames)
        self.counts = [budget_of(self.frames.valid, share) for share in task.shares]
        spread = MASKINGS["long_range"]()
        view = first_view(self.frames, self.seed)
        self.yardsticks = [fill_error(self.frames, spread(view, count)) for count in self.counts]

    def __call__(self, net: MaskNet) -> dict[str, float]:
        """Numbers for history.jsonl.

        Returns:
            ``score``, minus the RMSE of the linear fill relative to long_range's, as a mean over
            the shares; and the means of `mask_health` at the first share.
        """
        masking = MASKINGS[self.name](net=net)
        view = first_view(self.frames, self.seed)
        masks = [masking(view, count) for count in self.counts]
        ratios = [
            (fill_error(self.frames, mask).mean() / yardstick.mean()).item()
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
            model = cell_model(masking.net, self.frames.picture[image : image + 1], side)
            open_, chosen = (cells.some(m[None], side)[0] for m in (valid, mask))
            records.append(mask_health(2 * model.unary[0], chosen, open_))
        return {name: sum(r[name] for r in records) / len(records) for name in records[0]}


def fill_error(
    frames: FrameBatch, mask: Bool[Tensor, "batch height width"]
) -> Float[Tensor, " batch"]:
    """RMSE over the valid pixels of the linear fill of a mask, of every image."""
    error = linear(frames.depth, mask) - frames.depth
    return Mean(frames.valid)(error.square()).sqrt()

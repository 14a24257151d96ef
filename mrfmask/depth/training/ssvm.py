"""Trains the grid masking `ising_ssvm`: a structured SVM on pseudo-ground-truth masks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import dropout2d
from torch.utils.data import Dataset

from mrfmask.depth import cells
from mrfmask.depth.augment import augment_with
from mrfmask.depth.budget import budget_of
from mrfmask.depth.cache import FrameCache
from mrfmask.depth.describe import digest_of
from mrfmask.depth.frames import Frame, collate_frames
from mrfmask.depth.masking import MASKINGS, Masking, first_view
from mrfmask.depth.masking.grid import (
    cell_model,
    clamped,
    evenly,
    features_of,
    open_cells,
)
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.pseudo_truth import linear_target, predictor_target
from mrfmask.depth.pseudo_truth.pseudo_truth import errors, smoothed
from mrfmask.depth.pseudo_truth.worst_error import WorstError
from mrfmask.depth.training.budget_hinge import budget_hinge
from mrfmask.depth.training.task import Task
from mrfmask.learn.loop import Trainer, Watcher
from mrfmask.learn.plan import Plan
from mrfmask.learn.processes import Processes
from mrfmask.nn import MaskNet

# Share of the budget that is laid out evenly before the model is asked, as in the pseudo-truth, and
# cells for every pick.
SPREAD, CELLS_PER_PICK = 0.4, 3
# Standard deviation, in cells, of the smoothing of picks that makes their density.
BLUR = 0.8
# The picture and the place of every pixel; channels dropped in training.
CHANNELS, DROPOUT = 5, 0.15
WIDTH, COUPLING = 8, "associative"
PLAN = Plan(epochs=12, batch=4, learning_rate=3e-3, weight_decay=0.1, patience=12)
CACHE = "pseudo_truth"


@dataclass(frozen=True, eq=False)
class Marked:
    """A frame and its pseudo-ground-truth, for every share the picks laid out evenly and all."""

    frame: Frame
    masks: Bool[Tensor, "shares 2 height width"]


class MarkedFrames(Dataset):
    """Frames with pseudo-ground-truth, made at first sight and kept in a folder.

    Args:
        frames: with depth.
        shares: budgets.
        truth: makes the masks; lays out its first share evenly.
        cache: keeps them.
    """

    def __init__(
        self, frames: Dataset, shares: tuple[float, ...], truth: WorstError, cache: FrameCache
    ) -> None:
        self.frames, self.shares, self.truth, self.cache = frames, shares, truth, cache

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Marked:
        frame = self.frames[index]
        arrays = self.cache.get(frame.name, lambda: {"masks": self._masks(frame).numpy()})
        return Marked(frame, torch.from_numpy(arrays["masks"]))

    def _masks(self, frame: Frame) -> Bool[Tensor, "shares 2 height width"]:
        masks = []
        for share in self.shares:
            count = budget_of(frame.valid, share)
            first = evenly(frame.valid, max(round(self.truth.first * count), 1))
            masks += [first, self.truth.beyond(collate_frames([frame]), first[None], count)[0]]
        return torch.stack(masks).unflatten(0, (-1, 2))


def change(marked: Marked, draws: torch.Generator) -> Marked:
    """The frame augmented, masks alike."""
    masks = marked.masks.flatten(0, 1).float()
    frame, masks = augment_with(marked.frame, masks, draws)
    return Marked(frame, (masks > 0.5).unflatten(0, (-1, 2)))


def hinge_of(net: MaskNet, batch: list[Marked]) -> Float[Tensor, ""]:
    """The mean hinge a pick, over images and shares."""
    picture = torch.stack([marked.frame.picture for marked in batch])
    features = features_of(net, dropout2d(picture, DROPOUT, training=net.training))
    values = []
    for image, marked in enumerate(batch):
        for taken, picked in marked.masks:
            valid = marked.frame.valid
            side = cells.cell_side(valid, int(picked.sum()), CELLS_PER_PICK)
            choice = open_cells(valid & ~taken, taken, side)
            extra = densest(picked & ~taken, valid, choice, side)
            if extra.any() and not torch.equal(extra, choice):
                model = cell_model(net, features[image : image + 1], side)
                model = clamped(model, choice, taken, side)
                target = extra[None] | cells.some(taken[None], side)
                values.append(budget_hinge(model, target) / extra.sum())
    return torch.stack(values).mean() if values else 0.0 * features.sum()


def densest(
    picks: Bool[Tensor, "height width"],
    valid: Bool[Tensor, "height width"],
    choice: Bool[Tensor, "rows columns"],
    side: int,
) -> Bool[Tensor, "rows columns"]:
    """As many cells of `choice` as there are picks: those where picks are densest.

    Which of two neighbours was picked is chance. A hinge learns nothing at all where every cell is
    more often off than on, and so the target is what can be foreseen: the smoothed density.
    """
    total, area = smoothed(torch.stack([picks, valid]).float(), BLUR * side)
    density = cells.mean_of(total / area.clamp(min=1e-3), valid, side).where(choice, -1.0)
    count = min(int(picks.sum()), int(choice.sum()))
    on = torch.zeros(choice.numel(), dtype=torch.bool)
    on[density.flatten().topk(count).indices] = True
    return on.reshape(choice.shape)


def train_ssvm(
    task: Task,
    folder: Path,
    predictor: Predictor,
    *,
    plan: Plan | None = None,
    watcher: Watcher | None = None,
) -> Masking:
    """A `MaskNet` on cells whose best mask is the pseudo-ground-truth of `WorstError`.

    Pseudo-ground-truth is made for what `predictor` completes, and made again when its weights are
    others. Networks are judged by the linear fill: their masks' RMSE over that of evenly spread
    ones, on the validation frames.

    Args: see `Training`.
    """
    plan = plan or replace(PLAN, seed=task.seed)
    folder.mkdir(parents=True, exist_ok=True)
    truth = truth_of(predictor)
    key = f"{task.digest} {task.shares} {digest_of(predictor)}"
    examples = MarkedFrames(task.train, task.shares, truth, FrameCache(folder / CACHE, key))
    torch.manual_seed(plan.seed)
    net = MaskNet(in_channels=CHANNELS, width=WIDTH, coupling=COUPLING, rate=0.25)
    trainer = Trainer(
        net,
        hinge_of,
        examples,
        list,
        plan=plan,
        score=Score(task),
        watch="score",
        keep_best=lambda trained: trained.save_pretrained(folder),
        folder=folder,
        settings={
            "data": task.digest,
            "shares": list(task.shares),
            "predictor": digest_of(predictor),
            "torch": str(torch.__version__),
        },
        processes=Processes(0, 1, torch.device("cpu")),
        change=change,
    )
    trainer.resume()
    trainer.run(watcher)
    return masking_of(MaskNet.from_pretrained(folder))


def truth_of(predictor: Predictor) -> WorstError:
    """What to learn from; it is good for the linear fill if the predictor needs a picture."""
    target = linear_target if predictor.picture else predictor_target(predictor)
    return WorstError(target=target, first=SPREAD)


def masking_of(net: MaskNet) -> Masking:
    """The masking method with the options that the network was trained for."""
    return MASKINGS["ising_ssvm"](net=net, spread=SPREAD, cells_per_pick=CELLS_PER_PICK)


class Score:
    """How good masks are on the validation frames: minus their mean RMSE over that of `long_range`.

    Depth is completed by the linear fill.

    Args:
        task: its validation frames are looked at, or the training ones if there are none.
    """

    def __init__(self, task: Task) -> None:
        side = task.validation if len(task.validation) else task.train
        self.frames = [collate_frames([side[index]]) for index in range(len(side))]
        self.shares = task.shares
        self._baseline: Float[Tensor, " masks"] | None = None

    def __call__(self, net: MaskNet) -> dict[str, float]:
        """The score, which should grow; -1 for masks as good as evenly spread ones."""
        if self._baseline is None:
            self._baseline = self._rmse(MASKINGS["long_range"]())
        return {"score": -float((self._rmse(masking_of(net)) / self._baseline).mean())}

    def _rmse(self, masking: Masking) -> Float[Tensor, " masks"]:
        values = []
        for frame in self.frames:
            for share in self.shares:
                mask = masking(first_view(frame), budget_of(frame.valid, share))
                squared = errors(linear_target, frame, mask).double().square().sum()
                values.append((squared / frame.valid.sum()).sqrt())
        return torch.stack(values)

"""Trains the network that reads off a picture how dense picks should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.data import Dataset

from mrfmask.depth.augment import augment_with
from mrfmask.depth.cache import FrameCache
from mrfmask.depth.density_loss import density_loss
from mrfmask.depth.density_net import SHARES, DensityNet
from mrfmask.depth.error_maps import cached_error_maps
from mrfmask.depth.frames import Frame
from mrfmask.depth.masking.density import IsingDensity
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.training.sharpness import tune_once
from mrfmask.depth.training.task import Repeated, Task
from mrfmask.learn.loop import Trainer, Watcher
from mrfmask.learn.plan import Plan
from mrfmask.learn.processes import Processes

PLAN = Plan(
    epochs=12, batch=16, learning_rate=2e-3, weight_decay=0.1, patience=12, precision="bfloat16"
)
# A pass has so many steps, however many frames there are.
STEPS = 50
AVERAGE = 0.98
# Weight of the squared deviation of log-densities from their mean: what nothing speaks for is flat.
FLATNESS = 0.02
ERRORS = "errors"


@dataclass(frozen=True)
class Example:
    """A picture, where its depth is valid, and its error maps; or a batch of them."""

    picture: Float[Tensor, "*batch 3 height width"]
    valid: Bool[Tensor, "*batch height width"]
    errors: Float[Tensor, "*batch shares height width"]


def train_density(
    task: Task,
    folder: Path,
    predictor: Predictor,
    *,
    plan: Plan | None = None,
    watcher: Watcher | None = None,
) -> IsingDensity:
    """Trains a `DensityNet` by `density_loss`, and tunes its sharpness on validation frames.

    The errors are those of the linear fill under masks of even density, see `error_maps`, kept in
    the folder; frames, and errors with them, are changed anew in every pass. The network of the
    best pass is kept, as far as validation frames can say.

    Args:
        task: frames and seed. The network is for the shares in SHARES, whatever the task's are.
        folder: of this training alone.
        predictor: not looked at: it moves, and its errors are like those of the linear fill.
        plan: how long and how fast; None for PLAN with the seed of the task.
        watcher: is told how it goes.

    Raises:
        ValueError: the folder is of another training.
        RuntimeError: the loss is no longer finite.
    """
    plan = plan or replace(PLAN, seed=task.seed)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(plan.seed)
    errors = FrameCache(folder / ERRORS, f"{task.digest} {SHARES}")

    @cache
    def held_out() -> Sequence[Example]:
        frames = WithErrors(task.validation, errors)
        return [collate([as_example(frames[i])]) for i in range(len(frames))]

    @torch.no_grad()
    def score(net: nn.Module) -> dict[str, float]:
        if not len(task.validation):
            return {"score": float(trainer.epoch)}
        losses = [density_loss(net(e.picture), e.errors, e.valid).mean() for e in held_out()]
        return {"score": -torch.stack(losses).mean().item()}

    trainer = Trainer(
        DensityNet(),
        loss_of,
        Repeated(WithErrors(task.train, errors), STEPS * plan.batch),
        collate,
        plan=plan,
        score=score,
        watch="score",
        keep_best=lambda net: net.save_pretrained(folder),
        folder=folder,
        settings={"data": task.digest, "torch": str(torch.__version__)},
        processes=Processes(0, 1, torch.device("cpu")),
        change=change,
        average=AVERAGE,
    )
    trainer.resume()
    trainer.run(watcher)
    net = DensityNet.from_pretrained(folder)
    return tune_once(IsingDensity(net=net), task, folder)


@dataclass(frozen=True)
class WithErrors(Dataset):
    """Frames along with their error maps."""

    frames: Dataset
    cache: FrameCache

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[Frame, Tensor]:
        frame = self.frames[index]
        return frame, cached_error_maps(frame, SHARES, self.cache)


def loss_of(net: nn.Module, batch: Example) -> Tensor:
    """The mean loss of a batch."""
    maps = net(batch.picture).float()
    around = maps - maps.mean((2, 3), keepdim=True)
    return density_loss(maps, batch.errors, batch.valid).mean() + FLATNESS * around.square().mean()


def change(pair: tuple[Frame, Tensor], draws: torch.Generator) -> Example:
    """The example that a training sees: augmented, unless the zoom has left no error."""
    frame, errors = augment_with(*pair, draws)
    return as_example((frame, errors) if (errors.sum((1, 2)) > 0).all() else pair)


def as_example(pair: tuple[Frame, Tensor]) -> Example:
    """A frame and its errors, which are made to have mean 1 over valid pixels."""
    frame, errors = pair
    mean = errors.sum((1, 2), keepdim=True) / frame.valid.sum()
    return Example(frame.picture, frame.valid, errors / mean.clamp(min=1e-9))


def collate(examples: Sequence[Example]) -> Example:
    """Examples of one size as a batch."""
    names = ("picture", "valid", "errors")
    return Example(*(torch.stack([getattr(e, n) for e in examples]) for n in names))

"""Training of grid maskings end to end: through the mask to the error of the depth it buys."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mrfmask.depth import cells
from mrfmask.depth.augment import augment_frame
from mrfmask.depth.budget import budget_of
from mrfmask.depth.frames import Frame, FrameBatch, collate_frames
from mrfmask.depth.masking import MASKINGS, Masking
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.training.cell_groups import CellGroup, cell_groups
from mrfmask.depth.training.joint_score import JointScore
from mrfmask.depth.training.relative_error import RelativeError
from mrfmask.depth.training.task import Repeated, Task
from mrfmask.learn.loop import Trainer, Watcher
from mrfmask.learn.plan import Plan
from mrfmask.learn.processes import Processes
from mrfmask.model import IsingGrid
from mrfmask.nn import MaskLayer, MaskNet
from mrfmask.nn.heads import Coupling

PLAN = Plan(epochs=6, batch=8, learning_rate=2e-3, weight_decay=0.05, patience=6)
AVERAGE = 0.98


@dataclass(frozen=True, kw_only=True)
class JointTraining(ABC):
    """Base: a network makes a model of every picture, a layer a mask of it, a loss looks at both.

    The masks are of cells of pixels, as `GridMasking` will choose them, for a share of the task
    drawn anew for every step. The predictor is not looked at: `soft_fill` takes its place.

    What is learned from are draws, or masks of perturbed models, and what is bought is the best
    mask. That of independent cells bunches where they are likely and leaves the rest bare: it can
    be worse than random picks however much the loss has fallen; repelling couplings work against
    that.

    Attributes:
        name: of the masking in MASKINGS.
        coupling: of the network's head, see `IsingHead`.
        width: channels of the network at its finest, a multiple of 8.
        examples: a pass has at least so many; short data sets come again, each time changed.
    """

    name: str
    coupling: Coupling = "none"
    width: int = 16
    examples: int = 240

    @abstractmethod
    def layer(self, seed: int) -> MaskLayer:
        """What makes masks of models; its budget is set before each call."""

    @abstractmethod
    def loss(
        self, layer: MaskLayer, model: IsingGrid, group: CellGroup, error: RelativeError, count: int
    ) -> Float[Tensor, ""]:
        """The mean loss of the images of a group.

        Args:
            layer: what `layer` made.
            model: of the group's cells; those without a valid pixel are clamped off.
            group: says which pixels the cells buy.
            error: of masks of pixels.
            count: pixels to be bought of each image.
        """

    def __call__(
        self,
        task: Task,
        folder: Path,
        predictor: Predictor,
        *,
        plan: Plan | None = None,
        watcher: Watcher | None = None,
    ) -> Masking:
        """See `mrfmask.depth.training.Training`.

        The network of the best pass is kept, as far as validation frames can say; without any that
        of the last.

        Raises:
            ValueError: the folder is of another training.
            RuntimeError: the loss is no longer finite.
        """
        plan = plan or replace(PLAN, seed=task.seed)
        judge = JointScore(self.name, task)
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(plan.seed)
        net = MaskNet(width=self.width, coupling=self.coupling)
        layer = self.layer(plan.seed)

        def score(kept: MaskNet) -> dict[str, float]:
            return judge(kept) if len(task.validation) else {"score": float(trainer.epoch)}

        trainer = Trainer(
            net,
            lambda trained, batch: self._loss_of(trained, batch, layer, task.shares),
            Repeated(task.train, max(self.examples, len(task.train))),
            collate_frames,
            plan=plan,
            score=score,
            watch="score",
            keep_best=lambda trained: trained.save_pretrained(folder),
            folder=folder,
            settings={
                **asdict(self),
                "shares": list(task.shares),
                "data": task.digest,
                "torch": str(torch.__version__),
            },
            processes=Processes(0, 1, torch.device("cpu")),
            change=lambda frame, draws: _changed(frame, draws, task.shares),
            loss=layer,
            average=AVERAGE,
        )
        trainer.resume()
        trainer.run(watcher)
        return MASKINGS[self.name](net=MaskNet.from_pretrained(folder))

    def _loss_of(
        self, net: nn.Module, batch: FrameBatch, layer: MaskLayer, shares: Sequence[float]
    ) -> Float[Tensor, ""]:
        count = budget_of(batch.valid, shares[int(torch.randint(len(shares), ()))])
        error = RelativeError(batch, count)
        features = net.body(batch.picture)
        total = torch.zeros(())
        for group in cell_groups(batch.valid, count):
            seen = cells.mean(features[group.images], group.side)
            model = IsingGrid(*net.head.potentials(seen))
            model = model.clamp(on=torch.zeros_like(group.open), off=~group.open)
            loss = self.loss(layer, model, group, error, count)
            total = total + loss * len(group.images)
        return total / len(batch)


def _changed(frame: Frame, draws: torch.Generator, shares: Sequence[float]) -> Frame:
    """The frame changed at random, or as it is where a part has too few valid pixels."""
    changed = augment_frame(frame, draws)
    enough = changed.valid.sum() >= round(max(shares) * changed.valid.numel())
    return changed if enough else frame

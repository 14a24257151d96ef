"""Trains a MaskNet on pictures with masks."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from mrfmask.inference import find_map
from mrfmask.inference.method import check_choice
from mrfmask.learn.augment import augment
from mrfmask.learn.images import Example, LabelledImages, collate
from mrfmask.learn.logbook import Logbook, LoggedWatcher
from mrfmask.learn.loop import Trainer, Watcher
from mrfmask.learn.plan import Plan
from mrfmask.learn.processes import Processes, join_processes
from mrfmask.learn.scores import mask_scores
from mrfmask.nn import MaskNet
from mrfmask.nn.losses import (
    Loss,
    MeanFieldLikelihood,
    Perceptron,
    PersistentLikelihood,
    PseudoLikelihood,
    StructuredHinge,
)

LOSSES: dict[str, type[Loss]] = {
    "hinge": StructuredHinge,
    "perceptron": Perceptron,
    "pseudo_likelihood": PseudoLikelihood,
    "mean_field": MeanFieldLikelihood,
    "likelihood": PersistentLikelihood,
}
# Validation pictures that TensorBoard shows.
SHOWN = 4


def train_segmentation(
    data: str | os.PathLike,
    out: str | os.PathLike,
    *,
    validation: str | os.PathLike | float = 0.2,
    size: tuple[int, int] | None = None,
    loss: str = "hinge",
    net: dict[str, Any] | None = None,
    plan: Plan | None = None,
    device: str = "cpu",
    watcher: Watcher | None = None,
    notice: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Trains a MaskNet to give the masks of pictures; goes on where an earlier call was stopped.

    Args:
        data: folder or .npz file, see `LabelledImages`.
        out: folder for the best network (config.json, model.safetensors), the state, history.jsonl
            and TensorBoard's files; made if need be.
        validation: data of the same kind, or a share in (0, 1) of `data`: its last examples by
            name, as neighbours in a film are alike.
        size: (height, width) to resize to.
        loss: name in LOSSES.
        net: options of MaskNet.
        plan: how long and how fast.
        device: "cpu" or "cuda".
        watcher: is told how it goes.
        notice: is told what the user should know, such as examples left out.

    Returns:
        A record for each pass: epoch, loss, the scores of `mask_scores` on the validation examples,
        best.

    Raises:
        FileNotFoundError, ValueError: data or settings are not what they must be.
        RuntimeError: no TensorBoard, no such device, or a loss that is not finite.
    """
    plan = plan or Plan()
    check_choice("loss", loss, tuple(LOSSES))
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out must be a folder; got {out}, a file. Choose another name.")
    with join_processes(device) as processes:
        say = notice if notice and processes.rank == 0 else _say_nothing
        examples, held_out, digest = _split(data, validation, size, say)
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(plan.seed)
        network = MaskNet(**(net or {}))
        loss_module = _make_loss(loss, examples, plan, processes).to(processes.device)

        def loss_of(trained: nn.Module, batch: Example) -> Tensor:
            picture, target, *rest = (
                getattr(batch, f.name).to(processes.device) for f in fields(batch)
            )
            known = rest if loss == "likelihood" else rest[:1]
            # A share of the pixels, rather than their number.
            return loss_module(trained(picture), target, *known) / target[0].numel()

        trainer = Trainer(
            network,
            loss_of,
            examples,
            collate,
            plan=plan,
            score=lambda trained: mask_scores(*_predict(trained, held_out, plan, processes.device)),
            watch="iou",
            keep_best=lambda trained: trained.save_pretrained(folder),
            folder=folder,
            settings={
                "loss": loss,
                "net": net or {},
                "size": None if size is None else list(size),
                "validation": str(validation),
                "data": digest,
                "torch": str(torch.__version__),
            },
            processes=processes,
            # Chains belong to the pictures as they are.
            change=partial(augment, moving=loss != "likelihood"),
            loss=loss_module,
        )
        if trainer.resume():
            where = f"Going on from pass {trainer.epoch}, step {trainer.step}."
            say("Finished already." if trainer.finished else where)
        if processes.rank:
            return trainer.run()
        logbook = Logbook(folder, trainer.epoch)
        shown = collate([held_out[i] for i in range(min(SHOWN, len(held_out)))])
        try:
            show = partial(_predict_from, device=processes.device)
            return trainer.run(LoggedWatcher(logbook, shown, show, watcher))
        finally:
            logbook.close()


def _make_loss(name: str, examples: Dataset, plan: Plan, processes: Processes) -> Loss:
    if name != "likelihood":
        return LOSSES[name]()
    if processes.count > 1:
        raise ValueError(
            f"loss must not be likelihood where each process would have chains of its own; got "
            f"{processes.count} processes. Use one, or pseudo_likelihood."
        )
    # The last examples are held out: the others keep their numbers.
    images = len(examples)
    shape = tuple(examples[0].target.shape)
    return PersistentLikelihood(images=images, shape=shape, seed=plan.seed)


def _say_nothing(text: str) -> None:
    pass


@torch.no_grad()
def predict(net: nn.Module, pictures: Tensor) -> Tensor:
    """The best masks (batch, height, width) of pictures (batch, 3, height, width)."""
    return find_map(net(pictures)).mask


def _predict_from(net: nn.Module, pictures: Tensor, device: torch.device) -> Tensor:
    return predict(net, pictures.to(device)).cpu()


def _predict(
    net: nn.Module, examples: Dataset, plan: Plan, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Masks, targets and weights of all examples, on the CPU."""
    masks, targets, weights = [], [], []
    for first in range(0, len(examples), plan.batch):
        last = min(first + plan.batch, len(examples))
        batch = collate([examples[i] for i in range(first, last)])
        masks.append(_predict_from(net, batch.picture, device))
        targets.append(batch.target)
        weights.append(batch.weights)
    return torch.cat(masks), torch.cat(targets), torch.cat(weights)


def _split(
    data: str | os.PathLike,
    validation: str | os.PathLike | float,
    size: tuple[int, int] | None,
    notice: Callable[[str], None],
) -> tuple[Dataset, Dataset, str]:
    """Examples to train on and to validate on, and what tells these data from others."""
    examples = LabelledImages(data, size)
    sources = [examples]
    if isinstance(validation, int | float):
        if not 0 < validation < 1:
            raise ValueError(
                f"validation must be a path or a share in (0, 1); got {validation}. Use 0.2."
            )
        held = max(round(len(examples) * validation), 1)
        if held >= len(examples):
            raise ValueError(
                f"data must have at least 2 examples to hold one out; got {len(examples)}. "
                "Give other data as validation."
            )
        cut = len(examples) - held
        parts = [Subset(examples, range(cut)), Subset(examples, range(cut, len(examples)))]
    else:
        sources.append(LabelledImages(validation, size, "validation"))
        parts = list(sources)
    for source in sources:
        for path, reason in source.left_out:
            notice(f"Left out {path}: {reason}")
    return parts[0], parts[1], " ".join(source.digest() for source in sources)

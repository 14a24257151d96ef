"""A training of seconds: squares on noise, and a network of a hundred weights."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mrfmask.learn.images import LabelledImages, collate
from mrfmask.learn.loop import Trainer
from mrfmask.learn.plan import Plan
from mrfmask.learn.processes import join_processes
from mrfmask.learn.scores import mask_scores

EPOCHS = 12


def write_squares(path: Path, count: int, height: int = 12, width: int = 16) -> Path:
    """An .npz file of bright squares on dark noise."""
    draws = np.random.default_rng(0)
    mask = np.zeros((count, height, width), dtype=bool)
    for m in mask:
        top, left = draws.integers(0, height - 6), draws.integers(0, width - 6)
        m[top : top + 6, left : left + 6] = True
    noise = draws.normal(0, 40, (count, height, width, 3))
    rgb = (20 + 200 * mask[..., None] + noise).clip(0, 255).astype(np.uint8)
    np.savez(path, rgb=rgb, mask=mask)
    return path


def tiny_net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Dropout(0.1), nn.Conv2d(8, 1, 1)
    )


def trainer(data: Path, folder: Path, processes, average=0.0, **plan) -> Trainer:
    examples = LabelledImages(data)
    everything = collate([examples[i] for i in range(len(examples))])

    def loss_of(net, batch):
        logits = net(batch.picture)[:, 0]
        return nn.functional.binary_cross_entropy_with_logits(
            logits, batch.target.float(), batch.weights
        )

    folder.mkdir(parents=True, exist_ok=True)
    return Trainer(
        tiny_net(),
        loss_of,
        examples,
        collate,
        plan=Plan(
            **{"epochs": EPOCHS, "batch": 4, "learning_rate": 0.05, "save_every_s": 1e-3, **plan}
        ),
        score=lambda net: mask_scores(net(everything.picture)[:, 0] > 0, everything.target),
        watch="iou",
        keep_best=lambda net: torch.save(net.state_dict(), folder / "best.pt"),
        folder=folder,
        settings={"data": str(data)},
        processes=processes,
        average=average,
    )


def digest(net: nn.Module) -> str:
    """Of all weights, to the last bit."""
    parts = [t.detach().cpu().contiguous().numpy().tobytes() for t in net.state_dict().values()]
    return hashlib.sha256(b"".join(parts)).hexdigest()


class Slow:
    """Prints every step, so that a test can kill in the middle."""

    def step(self, epoch, step, steps, loss):
        print(f"{epoch}.{step}", flush=True)

    def epoch(self, record, net):
        pass


def main() -> None:
    """Trains in the folder given, for tests that kill it or start several processes."""
    torch.set_num_threads(1)
    with join_processes("cpu") as processes:
        training = trainer(Path(sys.argv[1]), Path(sys.argv[2]), processes)
        training.resume()
        training.run(Slow())
        print("digest", digest(training.bare), flush=True)


if __name__ == "__main__":
    main()

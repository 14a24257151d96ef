"""How long, how fast and in what precision to train."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mrfmask.inference.method import check_choice, check_count, check_positive

PRECISIONS = ("float32", "bfloat16", "float16")
LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Options of a training that do not depend on what is trained.

    Attributes:
        epochs: most passes over the examples, >= 1.
        batch: examples a step, over all processes together, >= 1.
        learning_rate: of AdamW at its largest; rises over the first 5 % of all steps and then falls
            to 0 as a cosine.
        weight_decay: of AdamW, >= 0.
        patience: passes without a better score after which to stop, >= 1.
        precision: "float32", or "bfloat16" or "float16" for the network by autocast; potentials and
            losses stay float32.
        seed: of initial weights, order, augmentation and draws, in 0..2^31-1.
        workers: processes that read examples; 0 reads in the training process.
        save_every_s: seconds between saved states; after every pass one is saved anyway.
    """

    epochs: int = 100
    batch: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    patience: int = 30
    precision: str = "float32"
    seed: int = 0
    workers: int = 0
    save_every_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "patience"):
            check_count(name, getattr(self, name), 1)
        check_count("seed", self.seed, 0, LARGEST_SEED)
        check_count("workers", self.workers, 0)
        check_positive("learning_rate", self.learning_rate)
        check_positive("save_every_s", self.save_every_s)
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(
                f"weight_decay must be at least 0 and finite; got {self.weight_decay}. Use 0 for "
                "none."
            )
        check_choice("precision", self.precision, PRECISIONS)

    def rate(self, done: float) -> float:
        """The learning rate when a share `done` in [0, 1] of all steps is behind."""
        rise = min(1.0, (done + 1e-3) / 0.05)
        return self.learning_rate * rise * (1 + math.cos(math.pi * done)) / 2

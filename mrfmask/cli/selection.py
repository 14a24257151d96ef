"""``mrfmask infer --select``: settings that choose pixels under a budget, not by a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from mrfmask.cli.checkpoint import Checkpoint
from mrfmask.cli.settings import LARGEST_SEED, parse_budget, parse_size
from mrfmask.inference.method import check_choice, check_count
from mrfmask.model import IsingGrid
from mrfmask.potentials import edge_scores
from mrfmask.result import Status
from mrfmask.select import SELECTORS, names_that_use


@dataclass(frozen=True, kw_only=True)
class Picks:
    """What a selector chose for one image, as the other results look to the command line."""

    mask: Tensor
    method: str
    status: tuple[Status]


@dataclass(frozen=True, kw_only=True)
class SelectSettings:
    """What to choose, checked; stands in for Settings.

    Attributes:
        select: name in SELECTORS.
        budget: pixels on, as a number or a share of all.
        seed: the user's seed; None where nothing is drawn.
        size: (height, width) that pictures are resized to, or None.
        checkpoint: a network whose unaries are the scores, or None.
        task, device, npz: as Settings has them; always the same here.
    """

    select: str
    budget: int | float
    seed: int | None
    size: tuple[int, int] | None
    checkpoint: Checkpoint | None = None
    task: str = "select"
    device: str = "cpu"
    npz: bool = False

    def record(self, picture: bool) -> dict[str, Any]:
        """The settings that decide the result for a picture or a file of potentials, for JSON."""
        selector = SELECTORS[self.select]()
        options = {f.name: getattr(selector, f.name) for f in fields(selector) if f.name != "seed"}
        record = {
            "task": self.task,
            "select": self.select,
            "budget": self.budget,
            "options": options,
            "seed": self.seed,
        }
        if picture:
            record["size"] = list(self.size) if self.size else None
            if self.checkpoint is not None:
                record |= self.checkpoint.record()
        return record

    def model(self, picture: Tensor) -> IsingGrid:
        """The scores of a picture, as a model without couplings."""
        if self.checkpoint is not None:
            scores = self.checkpoint.model(picture).unary
        else:
            scores = edge_scores(picture)[None]
        return IsingGrid(scores, torch.zeros_like(scores[..., 1:]), torch.zeros_like(scores[:, 1:]))

    def solver(self, seed: int | None, picture: Tensor) -> Callable[[IsingGrid], Picks]:
        """The function that chooses pixels by a model's unary, drawing from `seed`."""
        kind = SELECTORS[self.select]
        selector = kind() if seed is None else kind(seed=seed)

        def choose(model: IsingGrid) -> Picks:
            taken = model.unary.isposinf()
            # k-center would spread in colour rather than over the picture.
            colour = picture[None] if "scores" in kind.uses and "features" in kind.uses else None
            scores = model.unary.masked_fill(taken, -torch.inf)
            mask = selector(scores, budget=self.budget, taken=taken, features=colour)
            return Picks(mask=mask, method=self.select, status=(Status.HEURISTIC,))

        return choose


def check_selection(
    *,
    select: str,
    budget: str | None,
    seed: int | None,
    size: str | None,
    others: Mapping[str, Any],
    checkpoint: Checkpoint | None = None,
) -> SelectSettings:
    """Settings from options, None where an option was not given.

    Args:
        select: the selector's name.
        budget: a number of pixels, or a share such as "2%".
        seed: of selectors that draw.
        size: as HEIGHTxWIDTH.
        others: flags that --select has no use for, with what was given.
        checkpoint: a network whose unaries are the scores of pictures.

    Raises:
        TypeError, ValueError: an option is malformed, missing, or of no use here.
    """
    check_choice("--select", select, tuple(SELECTORS))
    for flag, value in others.items():
        if value:
            raise ValueError(
                f"{flag} must not be given with --select, which has no use for it; got {flag} "
                f"with --select {select}. Leave one of them out."
            )
    if budget is None:
        raise ValueError(
            f"--budget must come with --select; got --select {select} alone. Write e.g. "
            "--budget 2%."
        )
    draws = names_that_use("seed")
    if seed is not None:
        check_count("--seed", seed, 0, LARGEST_SEED)
        if select not in draws:
            raise ValueError(
                f"--seed must not be given where nothing uses it; got it with --select {select}. "
                f"Use --select {' or '.join(draws)}, or leave it out."
            )
    elif select in draws:
        seed = 0
    return SelectSettings(
        select=select,
        budget=parse_budget(budget),
        seed=seed,
        size=None if size is None else parse_size(size),
        checkpoint=checkpoint,
    )

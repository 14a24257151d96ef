"""``mrfmask infer`` with a depth model: where to measure depth in a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mrfmask.cli.depth_options import DEFAULT, NamedModel, load_named_model
from mrfmask.cli.selection import Picks
from mrfmask.cli.settings import LARGEST_SEED, parse_budget, parse_size
from mrfmask.depth.full_size import choose_at_full_size
from mrfmask.inference.method import check_count
from mrfmask.model import IsingGrid
from mrfmask.result import Status
from mrfmask.select import names_that_use

DEFAULT_BUDGET = "1%"


@dataclass(frozen=True, kw_only=True)
class DepthSettings:
    """Where to measure depth, checked; stands in for Settings.

    Attributes:
        named: the model whose masking method chooses.
        budget: pixels on, as a number or a share of all.
        seed: the user's seed; None where nothing is drawn.
        size: (height, width) that pictures are resized to, or None.
        task, device, npz: as Settings has them; always the same here.
    """

    named: NamedModel
    budget: int | float
    seed: int | None
    size: tuple[int, int] | None
    task: str = "depth"
    device: str = "cpu"
    npz: bool = False

    def record(self, picture: bool) -> dict[str, Any]:
        """The settings that decide the result, for JSON."""
        return {
            "task": self.task,
            "checkpoint": self.named.digest,
            "budget": self.budget,
            "seed": self.seed,
            "size": list(self.size) if self.size else None,
        }

    def model(self, picture: Tensor) -> IsingGrid:
        """A model of the picture's size; the method makes its own."""
        unary = torch.zeros(1, *picture.shape[1:])
        return IsingGrid(unary, torch.zeros_like(unary[..., 1:]), torch.zeros_like(unary[:, 1:]))

    def solver(self, seed: int | None, picture: Tensor) -> Callable[[IsingGrid], Picks]:
        """The function that chooses pixels, drawing from `seed`."""
        masking, pixels = self.named.model.masking, picture[0].numel()
        count = self.budget if isinstance(self.budget, int) else round(self.budget * pixels)

        def choose(model: IsingGrid) -> Picks:
            mask = choose_at_full_size(masking, picture, count, seed or 0)
            return Picks(mask=mask[None], method=masking.name, status=(Status.HEURISTIC,))

        return choose


def check_depth(
    *,
    checkpoint: str | None,
    budget: str | None,
    seed: int | None,
    size: str | None,
    others: Mapping[str, Any],
) -> DepthSettings:
    """Settings from options, None where an option was not given.

    Args:
        checkpoint: folder of a depth model; None or "default" for the one of the package.
        budget: a number of pixels, or a share such as "2%"; None for 1 %.
        seed: of methods that draw.
        size: as HEIGHTxWIDTH.
        others: flags that a depth model has no use for, with what was given.

    Raises:
        FileNotFoundError, RuntimeError: there is no such model.
        TypeError, ValueError: an option is malformed, or of no use here.
    """
    for flag, value in others.items():
        if value:
            raise ValueError(
                f"{flag} must not be given with a depth model, which has no use for it; got {flag} "
                f"with --checkpoint {checkpoint}. Leave one of them out."
            )
    bought = parse_budget(budget or DEFAULT_BUDGET)
    small = None if size is None else parse_size(size)
    named = load_named_model(checkpoint or DEFAULT)
    method = named.model.masking.name
    if seed is not None:
        check_count("--seed", seed, 0, LARGEST_SEED)
        if method not in names_that_use("seed"):
            raise ValueError(
                f"--seed must not be given where nothing uses it; got it with a model of {method}. "
                "Leave it out."
            )
    elif method in names_that_use("seed"):
        seed = 0
    return DepthSettings(named=named, budget=bought, seed=seed, size=small)

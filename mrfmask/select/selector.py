"""What every selector is: a frozen record of options that can be called on scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.inference import seeds
from mrfmask.select.budget import Budget, Request, check_scores, make_requests


class Selector(ABC):
    """Base of the selectors; each is a frozen, keyword-only dataclass in a file of its own.

    An image's result never depends on the other images of its batch, nor on the number of threads.

    Attributes:
        name: its key in SELECTORS.
        uses: which of "scores" (their order or size, beyond -inf), "cost", "features" and "seed"
            it looks at. Cost and features that it would ignore are refused.
    """

    name: ClassVar[str]
    uses: ClassVar[frozenset[str]]

    def __call__(
        self,
        scores: Float[Tensor, "batch height width"],
        *,
        budget: Budget | None = None,
        budget_new: Budget | None = None,
        taken: Bool[Tensor, "batch height width"] | None = None,
        cost: Int[Tensor, "batch height width"] | None = None,
        features: Float[Tensor, "batch channels height width"] | None = None,
    ) -> Bool[Tensor, "batch height width"]:
        """The taken and the chosen pixels; arguments and errors are those of `mm.select`."""
        return self._choose_checked(scores, budget, budget_new, taken, cost, features)

    def _choose_checked(
        self,
        scores: Tensor,
        budget: Budget | None,
        budget_new: Budget | None,
        taken: Tensor | None,
        cost: Tensor | None,
        features: Tensor | None,
    ) -> Bool[Tensor, "batch height width"]:
        requests = self._requests(scores, budget, budget_new, taken, cost, features)
        masks = torch.zeros(scores.shape, dtype=torch.bool)
        for b, (request, chosen) in enumerate(zip(requests, self._choose(requests), strict=True)):
            spent = chosen.sum() if request.cost is None else request.cost[chosen].sum()
            over = spent > request.limit if request.count is None else spent != request.count
            if over or (chosen & ~request.free).any():
                raise RuntimeError(
                    f"{self.name} must keep the budget and the forbidden pixels; got {spent} in "
                    f"image {b}. This is a bug: please report it."
                )
            masks[b] = torch.from_numpy(chosen | request.taken)
        return masks.to(scores.device)

    def _requests(
        self,
        scores: Tensor,
        budget: Budget | None,
        budget_new: Budget | None,
        taken: Tensor | None,
        cost: Tensor | None,
        features: Tensor | None,
    ) -> list[Request]:
        check_scores(scores)
        for argument, value in (("cost", cost), ("features", features)):
            if value is not None and argument not in self.uses:
                raise ValueError(
                    f"{argument} must not be given to {self.name}, which has no use for it; got "
                    f"{type(value).__name__}. mm.SELECTORS[name].uses says who has."
                )
        seed = seeds.as_tensor(getattr(self, "seed", 0), len(scores))
        return make_requests(scores, budget, budget_new, taken, cost, features, seed)

    def _choose(self, requests: list[Request]) -> Iterable[Bool[np.ndarray, "height width"]]:
        """The chosen pixels of each image, without the taken ones."""
        return (self._choose_one(request) for request in requests)

    @abstractmethod
    def _choose_one(self, request: Request) -> Bool[np.ndarray, "height width"]:
        """The chosen pixels of one image, without the taken ones."""


def take_in_order(request: Request, order: Int[np.ndarray, " free"]) -> Bool[np.ndarray, "h w"]:
    """The first pixels of an order (flat indices), or with costs each one that still fits."""
    chosen = np.zeros(request.free.size, dtype=bool)
    if request.cost is None:
        chosen[order[: request.count]] = True
        return chosen.reshape(request.free.shape)
    left, price = request.limit, request.cost.reshape(-1)[order]
    least = np.minimum.accumulate(price[::-1])[::-1]
    for place, pixel in enumerate(order.tolist()):
        if least[place] > left:
            break
        if price[place] <= left:
            chosen[pixel] = True
            left -= int(price[place])
    return chosen.reshape(request.free.shape)

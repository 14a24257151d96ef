"""From what a user asks for, checked, to what is to be chosen in each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.checks import check_cost, check_mask

Amount = int | float
Budget = Amount | Sequence[Amount] | Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """What to choose in one image; arrays are NumPy's, which small steps need for speed.

    Attributes:
        scores: logits; -inf where nothing may be chosen.
        free: pixels that may be chosen: not taken, and with a score above -inf.
        taken: pixels that are on already.
        count: pixels to choose, or None where `limit` decides.
        cost: what a pixel costs, or None.
        limit: what the chosen pixels may cost together, or None.
        features: (channels, height, width) float64, or None.
        seed: (2,) int64, key and stream of the image's draws.
    """

    scores: Float[np.ndarray, "height width"]
    free: Bool[np.ndarray, "height width"]
    taken: Bool[np.ndarray, "height width"]
    count: int | None
    cost: Int[np.ndarray, "height width"] | None
    limit: int | None
    features: Float[np.ndarray, "channels height width"] | None
    seed: Int[Tensor, " 2"]


def make_requests(
    scores: Tensor,
    budget: Budget | None,
    budget_new: Budget | None,
    taken: Tensor | None,
    cost: Tensor | None,
    features: Tensor | None,
    seed: Int[Tensor, "batch 2"],
) -> list[Request]:
    """One request an image; `scores` has been checked.

    Raises:
        TypeError, ValueError, RuntimeError: as `select` says.
    """
    batch, height, width = scores.shape
    if taken is None:
        taken = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
    check_mask("taken", taken, scores.shape, scores.device)
    if cost is not None:
        check_cost(cost, scores.shape, scores.device)
    _check_features(features, scores)
    amounts = _amounts(budget, budget_new, batch, height * width, cost is not None)
    requests = []
    for b in range(batch):
        values = scores[b].detach().to(torch.float64).cpu().numpy()
        on = taken[b].cpu().numpy()
        free = ~on & (values > -np.inf)
        price = None if cost is None else cost[b].to(torch.int64).cpu().numpy()
        used = 0 if budget is None else int(on.sum() if price is None else price[on].sum())
        left = amounts[b] - used
        _check_amount(b, amounts[b], used, left, int(free.sum()), price is not None, budget is None)
        requests.append(
            Request(
                scores=values,
                free=free,
                taken=on,
                count=left if price is None else None,
                cost=price,
                limit=None if price is None else left,
                features=None if features is None else features[b].detach().double().cpu().numpy(),
                seed=seed[b],
            )
        )
    return requests


def check_scores(scores: Tensor) -> None:
    """Raises unless `scores` is a float tensor of a batch, without NaN and +inf."""
    if not isinstance(scores, Tensor) or scores.dtype not in (torch.float32, torch.float64):
        got = scores.dtype if isinstance(scores, Tensor) else type(scores).__name__
        raise TypeError(
            f"scores must be a float32 or float64 tensor; got {got}. Call .float(), or use zeros."
        )
    if scores.dim() != 3 or 0 in scores.shape[1:]:
        hint = "For one image pass scores[None]." if scores.dim() == 2 else "Reshape it."
        raise ValueError(
            f"scores must have shape (batch, height, width); got {tuple(scores.shape)}. {hint}"
        )
    if scores.device.type not in ("cpu", "cuda"):
        raise RuntimeError(f"scores must be on cpu or cuda; got {scores.device}. Call .cpu().")
    bad = scores.isnan() | scores.isposinf()
    if bad.any():
        where = tuple(bad.nonzero()[0].tolist())
        raise ValueError(
            f"scores must be finite or -inf; got {scores[where].item()} at {where}. "
            "Mark pixels that are on already by taken."
        )


def _check_features(features: Tensor | None, scores: Tensor) -> None:
    if features is None:
        return
    if not isinstance(features, Tensor) or not features.is_floating_point():
        got = features.dtype if isinstance(features, Tensor) else type(features).__name__
        raise TypeError(f"features must be a floating-point tensor; got {got}. Call .float().")
    batch, height, width = scores.shape
    fits = features.dim() == 4 and features.shape[1] > 0 and features.device == scores.device
    if not fits or (features.shape[0], *features.shape[2:]) != (batch, height, width):
        raise ValueError(
            f"features must have shape ({batch}, channels, {height}, {width}) on {scores.device}; "
            f"got {tuple(features.shape)} on {features.device}. They go with the scores."
        )
    if not features.isfinite().all():
        raise ValueError("features must be finite; got NaN or infinity. Check what computed them.")


def _amounts(
    budget: Budget | None, budget_new: Budget | None, batch: int, pixels: int, costs: bool
) -> list[int]:
    """The budget of each image in pixels, or in units of cost."""
    if (budget is None) == (budget_new is None):
        got = "neither" if budget is None else "both"
        raise TypeError(f"budget or budget_new must be given, and one alone; got {got}. Drop one.")
    name, value = ("budget", budget) if budget_new is None else ("budget_new", budget_new)
    if isinstance(value, Tensor | np.ndarray):
        value = value.tolist()
    values = [value] * batch if isinstance(value, Real) else value
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise TypeError(
            f"{name} must be an int, a share, or one of them an image; got "
            f"{type(value).__name__}. Use e.g. 100 or 0.01."
        )
    if len(values) != batch:
        raise ValueError(
            f"{name} must have one value for each of {batch} images; got {len(values)}. "
            "Pass a single number for the whole batch."
        )
    checked = [value] if isinstance(value, Real) else values
    for amount in checked:
        _check_number(name, amount, costs)
    return [
        int(v) if isinstance(v, Integral) else int(np.floor(float(v) * pixels + 0.5))
        for v in values
    ]


def _check_number(name: str, amount: Amount, costs: bool) -> None:
    if isinstance(amount, bool) or not isinstance(amount, Real):
        raise TypeError(
            f"{name} must hold numbers; got {type(amount).__name__}. Use e.g. 100 or 0.01."
        )
    if isinstance(amount, Integral):
        if amount < 0:
            raise ValueError(f"{name} must be at least 0; got {amount}. Count pixels.")
    elif costs:
        raise TypeError(
            f"{name} must be an int where cost is given; got {amount}. Count in units of cost."
        )
    elif not 0 < amount <= 1:
        raise ValueError(
            f"{name} must lie in (0, 1] as a share of the pixels; got {amount}. "
            "Use an int for a number of pixels."
        )


def _check_amount(
    b: int, amount: int, used: int, left: int, free: int, costs: bool, new: bool
) -> None:
    """Raises unless the image has pixels enough, and its taken ones do not exceed the budget."""
    if left < 0:
        unit = "cost" if costs else "number"
        raise ValueError(
            f"budget must be at least the {unit} of the taken pixels, {used} in image {b}; got "
            f"{amount}. Use budget_new to count without them."
        )
    if not costs and left > free:
        name = "budget_new" if new else "budget"
        raise ValueError(
            f"{name} must be at most {used + free} in image {b}, where {free} pixels may be "
            f"chosen; got {amount}. Lower it, or leave fewer scores at -inf."
        )

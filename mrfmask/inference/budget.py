"""How many sites may be on: budgets as users write them, and models that charge for sites.

A site is a pixel of a grid or a node of a graph; messages name what the model has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.checks import check_cost
from mrfmask.graph import IsingGraph
from mrfmask.ising import IsingModel

Budget = int | float | Sequence[int | float] | Tensor
# Sums of costs stay exact in float64 below this.
LARGEST_COST = 2.0**53


@dataclass(frozen=True, kw_only=True, eq=False)
class Limit:
    """What the sites on come to, those clamped on included; one value an image.

    Attributes:
        amount: (batch,) int64, sites on, or what they cost together.
        cost: (batch, *sites) int64, at least 1, what each site costs; None: 1.
        at_most: whether less will do, too.
    """

    amount: Int[Tensor, " batch"]
    cost: Int[Tensor, "batch ..."] | None = None
    at_most: bool = False

    def spent(self, mask: Bool[Tensor, "batch ..."]) -> Int[Tensor, " batch"]:
        """What the sites of masks come to, (batch,) int64."""
        return (mask if self.cost is None else mask * self.cost).flatten(1).sum(dim=1)

    def allows(self, mask: Bool[Tensor, "batch ..."]) -> Bool[Tensor, " batch"]:
        """Which masks keep to it."""
        spent = self.spent(mask)
        return spent <= self.amount if self.at_most else spent == self.amount

    def __getitem__(self, images: slice | Int[Tensor, " images"]) -> Limit:
        """That of some of the images."""
        cost = None if self.cost is None else self.cost[images]
        return replace(self, amount=self.amount[images], cost=cost)

    def to(self, device: torch.device | str) -> Limit:
        """The same on another device."""
        cost = None if self.cost is None else self.cost.to(device)
        return replace(self, amount=self.amount.to(device), cost=cost)

    def on_graph(self) -> Limit:
        """The same for the nodes of a grid as a graph."""
        return replace(self, cost=None if self.cost is None else self.cost.flatten(1))


def count_limits(model: IsingModel) -> tuple[Int[Tensor, " batch"], Int[Tensor, " batch"]]:
    """The fewest and the most sites that can be on: what clamps leave, (batch,) int64 each."""
    on = (model.clamped & (model.unary > 0)).flatten(1).sum(dim=1)
    off = (model.clamped & (model.unary < 0)).flatten(1).sum(dim=1)
    return on, _sites(model) - off


def budget_limit(
    model: IsingModel,
    budget: Budget | None,
    budget_new: Budget | None,
    cost: Int[Tensor, "batch ..."] | None = None,
    at_most: bool | None = None,
) -> Limit:
    """The limit that a user asks for, checked.

    Args:
        model: says how many sites there are and which are clamped.
        budget: sites on in all; an int, or a fraction of all sites in [0, 1] as a float (rounded
            to whole sites), for all images or one for each. With `cost`, what they may cost, ints.
        budget_new: the same, on top of the sites that are clamped on.
        cost: what each site costs, at least 1.
        at_most: fewer sites will do, too; always so with `cost`.

    Raises:
        TypeError: a budget that is no number, or both or none given, or one of these for another
            argument.
        ValueError: a budget that no mask can have, with the number of the image; costs without
            `at_most`.
    """
    if (budget is None) == (budget_new is None):
        raise TypeError(
            "budget must be given without budget_new, or the other way round; got "
            f"{'neither. Give one' if budget is None else 'both. Choose one'}."
        )
    if at_most is not None and not isinstance(at_most, bool):
        raise TypeError(f"at_most must be a bool; got {type(at_most).__name__}. Use True.")
    if cost is not None:
        if at_most is False:
            raise ValueError(
                "at_most must be True with cost, as there may be no mask that costs just the "
                "budget; got False. Leave it out."
            )
        check_cost(cost, model.shape, model.device)
        if len(cost) and cost.flatten(1).double().sum(dim=1).max() >= LARGEST_COST:
            raise ValueError(
                f"cost must sum to less than 2^53 an image; got values up to {int(cost.max())}. "
                "Count in larger units."
            )
        cost = cost.to(torch.int64)
    name, value = ("budget", budget) if budget_new is None else ("budget_new", budget_new)
    values = _per_image(name, value, len(model))
    counts = [_count(name, v, None if cost is not None else _sites(model)) for v in values]
    limit = Limit(
        amount=torch.tensor(counts, dtype=torch.int64, device=model.device),
        cost=cost,
        at_most=bool(at_most) or cost is not None,
    )
    spent = limit.spent(model.clamped & (model.unary > 0))
    if name == "budget_new":
        limit = replace(limit, amount=limit.amount + spent)
    if limit.at_most and cost is None:
        # More than can be on is no limit at all.
        limit = replace(limit, amount=torch.minimum(limit.amount, count_limits(model)[1]))
    (_check_costs if cost is not None else _check_counts)(name, model, limit)
    return limit


def check_budget(name: str, value: Budget) -> None:
    """Raises unless a value can be a budget of some model."""
    for one in value if isinstance(value, Sequence) and not isinstance(value, str) else [value]:
        if not isinstance(one, Tensor):
            _count(name, one, 1)


def penalised(model: IsingModel, penalty: Float[Tensor, " batch"], limit: Limit) -> IsingModel:
    """The model with ``E(x) + penalty * (what its sites come to - amount)``, in float64.

    Its minimum is a lower bound on the energy of every mask that comes to the amount, whatever the
    penalty, and of every one that comes to less, if the penalty is not negative (Lagrange).
    """
    model = model.to(torch.float64)
    cost = torch.ones_like(model.unary) if limit.cost is None else limit.cost.to(torch.float64)
    # A free site is on (x + 1) / 2 times; a clamped one has no unary to carry its share.
    free = torch.where(model.clamped, 0.0, cost).flatten(1).sum(dim=1)
    on = torch.where(model.unary.isposinf(), cost, 0.0).flatten(1).sum(dim=1)
    constant = model.constant + penalty * (free / 2 + on - limit.amount)
    charged = model.unary - penalty.reshape(-1, *[1] * (cost.dim() - 1)) * cost / 2
    return replace(model, unary=torch.where(model.clamped, model.unary, charged), constant=constant)


def _sites(model: IsingModel) -> int:
    return math.prod(model.shape[1:])


def _words(model: IsingModel) -> tuple[str, str, str]:
    """What messages call the sites, one of the batch, and its size."""
    if isinstance(model, IsingGraph):
        return "nodes", "model", f"{model.shape[1]} nodes"
    return "pixels", "image", f"{model.shape[1]}x{model.shape[2]}"


def _check_counts(name: str, model: IsingModel, limit: Limit) -> None:
    """Raises unless some mask has so many sites on."""
    least, most = count_limits(model)
    impossible = (limit.amount < least) | (limit.amount > most)
    if impossible.any():
        image = int(impossible.nonzero()[0])
        sites, one, size = _words(model)
        clamped = int(least[image]), _sites(model) - int(most[image])
        raise ValueError(
            f"{name} must leave a mask between the {least[image]} {sites} clamped on and the "
            f"{most[image]} not clamped off; got {int(limit.amount[image])} {sites} for {one} "
            f"{image} of {size} with {clamped[0]} clamped on and {clamped[1]} off. "
            "Change one."
        )


def _check_costs(name: str, model: IsingModel, limit: Limit) -> None:
    """Raises unless the sites clamped on are within the limit."""
    spent = limit.spent(model.clamped & (model.unary > 0))
    if (spent > limit.amount).any():
        image = int((spent > limit.amount).nonzero()[0])
        sites, one, _ = _words(model)
        raise ValueError(
            f"{name} must be at least {spent[image]} for {one} {image}, what its {sites} clamped "
            f"on cost; got {limit.amount[image]}. Raise it, or use budget_new."
        )


def _per_image(name: str, value: Budget, batch: int) -> list[int | float]:
    if isinstance(value, Tensor):
        value = value.tolist()
    if isinstance(value, str) or not isinstance(value, Sequence):
        return [value] * batch
    if len(value) != batch:
        raise ValueError(
            f"{name} must be one number or one an image; got {len(value)} for {batch} images. "
            "Give one number for all."
        )
    return list(value)


def _count(name: str, value: int | float, pixels: int | None) -> int:
    """The amount; `pixels` of an image, None where costs are counted."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            f"{name} must be an int, or a fraction as a float; got {type(value).__name__}. "
            "Use 100 for a hundred pixels, 0.01 for one in a hundred."
        )
    if isinstance(value, Integral):
        if value < 0:
            raise ValueError(f"{name} must not be negative; got {value}. Count pixels from 0 on.")
        if value >= LARGEST_COST:
            raise ValueError(f"{name} must be less than 2^53; got {value}. Use at most all pixels.")
        return int(value)
    if pixels is None:
        raise TypeError(
            f"{name} must be an int where cost is given; got {value}. Count in units of cost."
        )
    if not 0.0 <= value <= 1.0:
        raise ValueError(
            f"{name} must lie in [0, 1] as a fraction of all; got {value}. Use an int for a number."
        )
    return round(value * pixels)

"""Inference methods, their registry, and the functions that call them by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from jaxtyping import Bool, Int
from torch import Tensor

from mrfmask.inference.annealing import Annealing
from mrfmask.inference.auto import find_map_auto
from mrfmask.inference.belief_propagation import BeliefPropagation
from mrfmask.inference.budget import Budget, Limit, budget_limit
from mrfmask.inference.budgeted import find_map_in_limit
from mrfmask.inference.cftp import Cftp
from mrfmask.inference.closing import close_by_ilp
from mrfmask.inference.exact import Exact
from mrfmask.inference.gibbs import Gibbs
from mrfmask.inference.graph_cut import GraphCut
from mrfmask.inference.ilp import Ilp
from mrfmask.inference.kawasaki import Kawasaki
from mrfmask.inference.mean_field import MeanField
from mrfmask.inference.method import Answer, Method, check_positive
from mrfmask.inference.on_graph import map_on_graph
from mrfmask.inference.qpbo import Qpbo
from mrfmask.inference.strips import Strips
from mrfmask.ising import IsingModel
from mrfmask.model import IsingGrid
from mrfmask.result import MapResult, Marginals, Samples

# The one registry: functions, command line, tests and benchmarks read it.
METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        Exact,
        GraphCut,
        Strips,
        Qpbo,
        Ilp,
        MeanField,
        BeliefPropagation,
        Gibbs,
        Cftp,
        Kawasaki,
        Annealing,
    )
}


def find_map(
    model: IsingModel,
    method: str = "auto",
    budget: Budget | None = None,
    time_limit_s: float | None = None,
    *,
    budget_new: Budget | None = None,
    at_most: bool | None = None,
    cost: Int[Tensor, "batch ..."] | None = None,
    **options: Any,
) -> MapResult:
    """The mask of lowest energy, with a lower bound and a gap for every image.

    Args:
        model: a batch of images.
        method: a name in METHODS that answers "map", or "auto": for each image what is exact for it
            (graph_cut where all couplings have one sign, exact where a side is narrow), else
            strips (of a graph qpbo, and exact on what it leaves), and annealing for a better mask
            where they prove none optimal; with `time_limit_s`, and by some linear programs on small
            sparse graphs without, ilp goes on from there.
            ``result.method`` and ``result.reason`` say which and why.
        budget: only masks with so many pixels (nodes) on, clamped ones included; an int, or a
            fraction of all of them as a float; for all images or one for each. "auto" bounds by the
            best penalty per pixel and repairs, and goes on with ilp if a time limit is given, "ilp"
            always.
        time_limit_s: seconds a batch for methods that search (ilp); positive.
        budget_new: instead of `budget`, pixels on top of those clamped on.
        at_most: fewer pixels than the budget will do, too. Default: no, or with `cost` yes.
        cost: what each pixel (node) costs, ints of at least 1. The budget is then in its units,
            ints, and the pixels on cost at most that, clamped ones included: there may be no mask
            that costs just so much.
        **options: of the method, e.g. ``tie="max"`` for graph_cut; see METHODS[method].

    Raises:
        TypeError: an option that the method does not have.
        ValueError: an unknown method, a model that the method cannot take, or a budget that no mask
            can have.

    Example:
        >>> import torch, mrfmask as mm
        >>> model = mm.IsingGrid(torch.tensor([[[2.0, -1.0]]]), torch.tensor([[[3.0]]]),
        ...                      torch.zeros(1, 0, 2))
        >>> result = mm.find_map(model)
        >>> result.mask, result.gap
        (tensor([[[True, True]]]), tensor([0.], dtype=torch.float64))
        >>> mm.find_map(model, budget=1).mask
        tensor([[[ True, False]]])
    """
    if budget is not None or budget_new is not None:
        Qpbo().check_model(model)
        limit = budget_limit(model, budget, budget_new, cost, at_most)
        if isinstance(model, IsingGrid) and model.has_diagonals:
            limit = limit.on_graph()
            return map_on_graph(
                lambda graph: _find_map_in_budget(graph, method, limit, time_limit_s, options),
                model,
            )
        return _find_map_in_budget(model, method, limit, time_limit_s, options)
    for name, value in (("at_most", at_most or None), ("cost", cost)):
        if value is not None:
            got = type(value).__name__
            raise TypeError(f"{name} must come with a budget; got {got} alone. Give budget=.")
    if method != "auto":
        if time_limit_s is not None:
            options["time_limit_s"] = time_limit_s
        return make_method(method, "map", options).find_map(model)
    if time_limit_s is not None:
        check_positive("time_limit_s", time_limit_s)
    if options:
        raise TypeError(
            "method must be named when options are given; got method='auto' with "
            f"{sorted(options)}. Choose a method, e.g. method='graph_cut'."
        )
    return find_map_auto(model, time_limit_s)


def _find_map_in_budget(
    model: IsingModel,
    method: str,
    limit: Limit,
    time_limit_s: float | None,
    options: dict[str, Any],
) -> MapResult:
    if method not in ("auto", "ilp"):
        raise ValueError(
            f"method must be 'auto' or 'ilp' with a budget; got {method!r}. 'auto' takes cuts "
            "where they are exact."
        )
    if time_limit_s is not None:
        check_positive("time_limit_s", time_limit_s)
    allowed = {"solver"} if method == "ilp" else set()
    for option in options:
        if option not in allowed:
            has = ", ".join(allowed) or "none"
            raise TypeError(
                f"options must be ones that {method} has with a budget; got {option!r}. "
                f"It has: {has}."
            )
    found = find_map_in_limit(model, limit)
    if method == "auto" and time_limit_s is None:
        return found
    return close_by_ilp(model, found, limit, time_limit_s, options.get("solver", "HiGHS"))


def marginals(model: IsingGrid, method: str = "mean_field", **options: Any) -> Marginals:
    """Probabilities of pixels and neighbouring pairs, and log Z where the method has it.

    Args:
        model: a batch of images.
        method: a name in METHODS that answers "marginals".
        **options: of the method, e.g. ``beta=2.0``; see METHODS[method].

    Raises:
        TypeError: an option that the method does not have.
        ValueError: an unknown method, or a model that the method cannot take.
    """
    return make_method(method, "marginals", options).marginals(model)


def sample(
    model: IsingModel,
    sweeps: int = 100,
    burn_in: int = 100,
    chains: int = 1,
    seed: int | Sequence[int] = 0,
    start: Bool[Tensor, "batch chains ..."] | None = None,
    sweep_offset: int = 0,
    beta: float = 1.0,
    *,
    method: str = "gibbs",
    budget: Budget | None = None,
    budget_new: Budget | None = None,
    **options: Any,
) -> Samples:
    """Masks drawn from p(x), by Gibbs sampling if not said otherwise; arguments are the method's.

    With `budget` or `budget_new`, masks drawn from p(x | so many pixels on), as by `Kawasaki`.
    Independent perfect samples: ``method="exact"`` of small models, ``method="cftp"`` of large
    ones that are associative and not too cold.

    Raises:
        TypeError: an option that the method does not have.
        ValueError: an unknown method, or a model that the method cannot take.

    Example:
        >>> import torch, mrfmask as mm
        >>> model = mm.IsingGrid(torch.randn(1, 9, 9), torch.ones(1, 9, 8), torch.ones(1, 8, 9))
        >>> mm.sample(model, budget=7).masks.sum()
        tensor(7)
    """
    named = {
        "beta": beta,
        "sweeps": sweeps,
        "burn_in": burn_in,
        "chains": chains,
        "seed": seed,
        "start": start,
        "sweep_offset": sweep_offset,
        "budget": budget,
        "budget_new": budget_new,
    }
    if method == "gibbs" and not (budget is None and budget_new is None):
        method = "kawasaki"
    # What is left at its default is not asked of a method that does not have it.
    defaults = {f.name: f.default for f in fields(Kawasaki)}
    for name, value in named.items():
        default = defaults[name]
        if type(value) is not type(default) or value != default:
            options[name] = value
    return make_method(method, "sample", options).sample(model)


def make_method(name: str, answer: Answer, options: dict[str, Any]) -> Method:
    """The named method with these options, if it exists, has them and gives this answer."""
    able = [n for n, method in METHODS.items() if answer in method.answers]
    if name not in METHODS:
        names = ["auto", *able] if answer == "map" else able
        raise ValueError(
            f"method must be one of {', '.join(names)}; got {name!r}. mm.METHODS lists them."
        )
    if name not in able:
        raise ValueError(
            f"method must be one that answers {answer!r}; got {name!r}. Use {', '.join(able)}."
        )
    known = {f.name for f in fields(METHODS[name])}
    for option in options:
        if option not in known:
            has = ", ".join(sorted(known)) or "none"
            raise TypeError(f"options must be ones that {name} has; got {option!r}. It has: {has}.")
    return METHODS[name](**options)

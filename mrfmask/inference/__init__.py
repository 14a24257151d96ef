"""Inference methods, their registry, and the functions that call them by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from jaxtyping import Bool
from torch import Tensor

from mrfmask.inference.annealing import Annealing
from mrfmask.inference.auto import find_map_auto
from mrfmask.inference.exact import Exact
from mrfmask.inference.gibbs import Gibbs
from mrfmask.inference.graph_cut import GraphCut
from mrfmask.inference.ilp import Ilp
from mrfmask.inference.mean_field import MeanField
from mrfmask.inference.method import Answer, Method, check_positive
from mrfmask.model import IsingGrid
from mrfmask.result import MapResult, Marginals, Samples

# The one registry: functions, command line, tests and benchmarks read it.
METHODS: dict[str, type[Method]] = {
    method.name: method for method in (Exact, GraphCut, Ilp, MeanField, Gibbs, Annealing)
}


def find_map(
    model: IsingGrid, method: str = "auto", time_limit_s: float | None = None, **options: Any
) -> MapResult:
    """The mask of lowest energy, with a lower bound and a gap for every image.

    Args:
        model: a batch of images.
        method: a name in METHODS that answers "map", or "auto": for each image what is exact for it
            (graph_cut where all couplings have one sign, exact where a side is narrow), else
            annealing; with `time_limit_s`, else ilp, started from annealing. ``result.method`` and
            ``result.reason`` say which and why.
        time_limit_s: seconds a batch for methods that search (ilp); positive.
        **options: of the method, e.g. ``tie="max"`` for graph_cut; see METHODS[method].

    Raises:
        TypeError: an option that the method does not have.
        ValueError: an unknown method, or a model that the method cannot take.

    Example:
        >>> import torch, mrfmask as mm
        >>> model = mm.IsingGrid(torch.tensor([[[2.0, -1.0]]]), torch.tensor([[[3.0]]]),
        ...                      torch.zeros(1, 0, 2))
        >>> result = mm.find_map(model)
        >>> result.mask, result.gap
        (tensor([[[True, True]]]), tensor([0.], dtype=torch.float64))
    """
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
    model: IsingGrid,
    sweeps: int = 100,
    burn_in: int = 100,
    chains: int = 1,
    seed: int | Sequence[int] = 0,
    start: Bool[Tensor, "batch chains height width"] | None = None,
    sweep_offset: int = 0,
    beta: float = 1.0,
) -> Samples:
    """Masks drawn from p(x) by Gibbs sampling; arguments and results are those of `Gibbs`.

    Independent exact samples of small models: ``mm.Exact(chains=100).sample(model)``.
    """
    return Gibbs(
        beta=beta,
        sweeps=sweeps,
        burn_in=burn_in,
        chains=chains,
        seed=seed,
        start=start,
        sweep_offset=sweep_offset,
    ).sample(model)


def make_method(name: str, answer: Answer, options: dict[str, Any]) -> Method:
    """The named method with these options, if it exists, has them and gives this answer."""
    able = [n for n, method in METHODS.items() if answer in method.answers]
    if name not in METHODS:
        raise ValueError(
            f"method must be one of {', '.join(able)}; got {name!r}. mm.METHODS lists them."
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

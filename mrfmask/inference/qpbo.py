"""A bound, persistent states and a mask for couplings of any signs, by roof duality."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from mrfmask.graph import IsingGraph
from mrfmask.inference.method import Method
from mrfmask.inference.on_graph import map_on_graph
from mrfmask.inference.roof_dual import roof_dual
from mrfmask.ising import IsingModel
from mrfmask.result import MapResult, Status


@dataclass(frozen=True, kw_only=True, eq=False)
class Qpbo(Method):
    r"""Roof duality: a lower bound, and the states of sites that some minimiser has, all at once.

    One minimum cut, on integers, in which every site comes twice, as itself and as its opposite.
    The bound is that of the linear program over the local polytope. It is the minimum exactly if
    every site gets a state; that is so if every cycle has an even number of repulsive couplings,
    and for fields that are strong beside the couplings. Sites without a state are turned on or off
    such that none gains by turning alone.

    ``result.stats``: `persistent`, bool like the mask, where its state is that of a minimiser;
    `strong`, where all minimisers have it; `rounding` (batch,), in energy: where it is 0 this holds
    for the model itself, else for one whose energies differ by no more; `exponent` of the scale.

    Args:
        lossless: 64-bit integers, which hold float32 potentials exactly unless they differ by
            factors of 2^30 or more; else 32-bit, a little quicker.

    Raises:
        TypeError: `lossless` is no bool.

    Example:
        >>> import torch, mrfmask as mm
        >>> edges = torch.tensor([[0, 1], [1, 2], [0, 2], [2, 3]])  # a triangle and a tail
        >>> unary = torch.tensor([[0.0, 0.0, 0.0, 3.0]])
        >>> result = mm.Qpbo()(mm.IsingGraph(unary, edges, -torch.ones(1, 4)))
        >>> result.stats["persistent"]
        tensor([[False, False, False,  True]])
        >>> result.energy, result.lower_bound  # the triangle cannot please all of its couplings
        (tensor([-5.], dtype=torch.float64), tensor([-6.], dtype=torch.float64))

    Reference:
        Boros and Hammer, "Pseudo-Boolean optimization", Discrete Applied Mathematics 2002;
        Kolmogorov and Rother, "Minimizing nonsubmodular functions with graph cuts - a review",
        PAMI 2007.
    """

    lossless: bool = True

    name: ClassVar = "qpbo"
    answers: ClassVar = ("map",)
    exact: ClassVar = False
    devices: ClassVar = ("cpu", "cuda")
    needs: ClassVar = "any signs"
    graphs: ClassVar = True
    diagonals: ClassVar = True

    def __post_init__(self) -> None:
        if not isinstance(self.lossless, bool):
            raise TypeError(
                f"lossless must be a bool; got {type(self.lossless).__name__}. Use True."
            )

    def find_map(self, model: IsingModel) -> MapResult:
        """The labels, completed; OPTIMAL where every site has one."""
        self.check_model(model)
        if isinstance(model, IsingGraph):
            return self._find_map(model)
        found = map_on_graph(self._find_map, model)
        stats = {
            key: value.reshape(model.shape) if value.dim() > 1 else value
            for key, value in found.stats.items()
        }
        return replace(found, stats=stats)

    def _find_map(self, model: IsingGraph) -> MapResult:
        dual = roof_dual(model, self.lossless)
        proven = dual.labelled.all(dim=1).tolist()
        return MapResult(
            mask=dual.mask,
            energy=model.energy(dual.mask).detach(),
            lower_bound=dual.lower_bound,
            status=tuple(Status.OPTIMAL if p else Status.HEURISTIC for p in proven),
            method=self.name,
            stats={
                "persistent": dual.labelled,
                "strong": dual.strong,
                "rounding": dual.rounding,
                "exponent": dual.exponent,
            },
            certificate=dual.certificate,
        )

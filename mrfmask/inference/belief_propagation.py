"""Belief propagation: exact on trees, good and fast on many graphs, tree-reweighted on request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mrfmask.graph import IsingGraph
from mrfmask.graphs.pairs import Pairs, pairs_of
from mrfmask.inference.conditioned import Conditioned, condition
from mrfmask.inference.message_passing import pass_messages
from mrfmask.inference.method import Method, check_choice, check_count, check_positive
from mrfmask.inference.on_graph import map_on_graph, marginals_on_graph
from mrfmask.inference.pseudo_marginals import pseudo_marginals
from mrfmask.ising import IsingModel
from mrfmask.model import IsingGrid
from mrfmask.result import MapResult, Marginals, Status

# Edges then differ by 1 / 16 at most in how often they appear, where the graph lets them.
UNIFORM_FORESTS = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class BeliefPropagation(Method):
    r"""Sum-product for marginals and log Z, max-product for masks, in float64.

    Messages are half log-odds: with ``c_ij`` the field of node i without what j says to it,
    ``u_ij = (log cosh(c_ij + J_ij) - log cosh(c_ij - J_ij)) / 2``. Both products are exact on
    graphs without cycles. Elsewhere log_partition is the Bethe approximation, which can be too low
    or too high.

    With edge appearances rho the pairs are reweighted. If these are how often the edges appear in a
    mixture of spanning forests, as for "uniform", log_partition is an upper bound once the messages
    have converged (kind "upper"; of rho given as a tensor that is not checked, and the kind is
    "estimate"). `log_partition_bounds` has a bound that needs no convergence.

    Args:
        beta: inverse temperature of the marginals, positive; masks do not depend on it.
        schedule: "colour": every node of a colour sends its messages, a colour after the other
            (a checkerboard on grids); "residual": always the message that would change most.
        damping: share of the old message that is kept, in [0, 1). Raise it where messages swing.
        tolerance: converged when no message changes by more, relative to 1 + its size; positive.
        max_sweeps: messages sent at most, in numbers of all messages; at least 1.
        edge_appearance: None for ordinary belief propagation; "uniform" for spanning forests that
            use all edges about equally often; or (edges,) in (0, 1], one value an edge.

    Example:
        >>> import torch, mrfmask as mm
        >>> model = mm.IsingGrid(torch.zeros(1, 1, 2), torch.ones(1, 1, 1), torch.zeros(1, 0, 2))
        >>> mm.BeliefPropagation()(model).right  # a tree: exact, tanh(1)
        tensor([[[0.7616]]])

    Reference:
        Yedidia, Freeman and Weiss, "Constructing free-energy approximations and generalized belief
        propagation algorithms", IEEE Trans. Information Theory 2005; Elidan, McGraw and Koller,
        "Residual belief propagation", UAI 2006; Wainwright, Jaakkola and Willsky, "A new class of
        upper bounds on the log partition function", IEEE Trans. Information Theory 2005.
    """

    beta: float = 1.0
    schedule: Literal["colour", "residual"] = "colour"
    damping: float = 0.0
    tolerance: float = 1e-9
    max_sweeps: int = 1000
    edge_appearance: Literal["uniform"] | Float[Tensor, " edges"] | None = None

    name: ClassVar = "belief_propagation"
    answers: ClassVar = ("marginals", "map")
    exact: ClassVar = False
    devices: ClassVar = ("cpu",)
    needs: ClassVar = "any signs"
    graphs: ClassVar = True

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)
        check_choice("schedule", self.schedule, ("colour", "residual"))
        if isinstance(self.damping, bool) or not isinstance(self.damping, int | float):
            got = type(self.damping).__name__
            raise TypeError(f"damping must be a number; got {got}. Use 0.0 for none.")
        if not 0 <= self.damping < 1:
            raise ValueError(f"damping must lie in [0, 1); got {self.damping}. Use 0.0 for none.")
        check_positive("tolerance", self.tolerance)
        check_count("max_sweeps", self.max_sweeps, least=1)
        _check_edge_appearance(self.edge_appearance)

    def marginals(self, model: IsingModel) -> Marginals:
        """Beliefs of nodes and pairs and the free energy; `stats` has sweeps and last change."""
        self.check_model(model)
        if isinstance(model, IsingGrid):
            return marginals_on_graph(self.marginals, model)
        pairs, rho = self._graph(model)
        given = condition(model, pairs, self.beta)
        incoming, sweeps, change = self._pass(pairs, rho, given, most=False)
        beliefs = pseudo_marginals(pairs, given.field, given.coupling, rho, incoming)
        clamped = given.state != 0
        mean = np.where(clamped, given.state, beliefs.mean)
        one, two = pairs.first, pairs.second
        product = mean[:, one] * mean[:, two]
        free = ~(clamped[:, one] | clamped[:, two])
        pairwise = np.where(free, beliefs.correlation, product)[:, pairs.of_edge]
        converged = change <= self.tolerance
        status = tuple(Status.CONVERGED if ok else Status.SWEEP_LIMIT for ok in converged)
        return Marginals(
            probability=torch.from_numpy((1 + mean) / 2).to(model.dtype),
            pairwise=torch.from_numpy(pairwise).to(model.dtype),
            log_partition=torch.from_numpy(beliefs.log_partition + given.constant),
            kind="upper" if self.edge_appearance == "uniform" and converged.all() else "estimate",
            status=status,
            method=self.name,
            stats={"sweeps": torch.from_numpy(sweeps), "change": torch.from_numpy(change)},
        )

    def find_map(self, model: IsingModel) -> MapResult:
        """The best state of every node by its max-marginal; the bound is that of spanning forests.

        Optimal on graphs without cycles.
        """
        self.check_model(model)
        if isinstance(model, IsingGrid):
            return map_on_graph(self.find_map, model)
        from mrfmask.graphs.forests import heaviest_forest
        from mrfmask.graphs.messages import decode
        from mrfmask.graphs.threads import each_item
        from mrfmask.inference.forest_bound import energy_bound

        pairs, rho = self._graph(model)
        given = condition(model, pairs, beta=1.0)
        incoming, sweeps, change = self._pass(pairs, rho, given, most=True)
        order = heaviest_forest(pairs, np.ones(len(pairs.first))).order
        spin = np.zeros_like(given.field)
        shared = given.coupling / rho

        def run(b: int) -> None:
            decode(order, *pairs.rows, given.field[b], shared[b], rho, incoming[b], spin[b])

        each_item(run, len(model))
        mask = torch.from_numpy(np.where(given.state != 0, given.state, spin) > 0)
        energy = model.energy(mask).detach()
        bound, rounding = (torch.from_numpy(v) for v in energy_bound(pairs, given))
        proven = energy - bound <= 2 * rounding
        return MapResult(
            mask=mask,
            energy=energy,
            lower_bound=torch.minimum(bound, energy),
            status=tuple(Status.OPTIMAL if ok else Status.HEURISTIC for ok in proven.tolist()),
            method=self.name,
            stats={
                "sweeps": torch.from_numpy(sweeps),
                "change": torch.from_numpy(change),
                "rounding": rounding,
            },
        )

    def _graph(self, model: IsingGraph) -> tuple[Pairs, np.ndarray]:
        """The pairs of the graph, and how often each counts."""
        from mrfmask.graphs.forests import covering_forests, edge_appearance

        given = self.edge_appearance
        if isinstance(given, Tensor) and given.shape != (len(model.edges),):
            raise ValueError(
                f"edge_appearance must have shape ({len(model.edges)},), one value an edge; got "
                f"{tuple(given.shape)}. Use 'uniform' if in doubt."
            )
        pairs = pairs_of(model.edges, model.shape[1])
        rho = np.ones(len(pairs.first))
        if isinstance(given, Tensor):
            values = given.detach().double().cpu().numpy()
            rho[pairs.of_edge] = values
            if (rho[pairs.of_edge] != values).any():
                raise ValueError(
                    "edge_appearance must be the same for all edges between two nodes; got several "
                    "values. They count as one edge."
                )
        elif given is not None:
            forests = covering_forests(pairs, least=UNIFORM_FORESTS)
            weight = np.full(len(forests), 1 / len(forests))
            rho = edge_appearance(forests, weight, pairs)
        return pairs, rho

    def _pass(self, pairs: Pairs, rho: np.ndarray, given: Conditioned, most: bool):
        """Passes messages: (messages by entry, sweeps, last change)."""
        potentials = (pairs, rho, given.field, given.coupling, most)
        limits = (self.damping, self.tolerance, self.max_sweeps)
        return pass_messages(*potentials, self.schedule, *limits)


def _check_edge_appearance(value) -> None:
    if value is None or (isinstance(value, str) and value == "uniform"):
        return
    if not isinstance(value, Tensor) or not value.is_floating_point():
        got = value if isinstance(value, str) else type(value).__name__
        raise TypeError(
            f"edge_appearance must be None, 'uniform' or a floating-point tensor; got {got}. "
            "Use 'uniform' if in doubt."
        )
    if not bool(((value > 0) & (value <= 1)).all()):
        raise ValueError(
            "edge_appearance must lie in (0, 1]; got a value outside. It is how often a spanning "
            "forest has the edge."
        )

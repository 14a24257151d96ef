"""The problem on any graph: a binary Markov random field over nodes; conventions as for grids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.checks import check_edges, check_mask, check_tensors
from mrfmask.formats.bqm import bqm_from_terms, terms_from_bqm
from mrfmask.formats.networkx import networkx_from_terms, terms_from_networkx
from mrfmask.formats.qubo import qubo_from_terms, terms_from_qubo
from mrfmask.formats.terms import Terms, check_tables, terms_from_tables
from mrfmask.ising import IsingModel

if TYPE_CHECKING:
    import dimod
    import networkx as nx
    import numpy as np
    from scipy.sparse import sparray, spmatrix


@dataclass(frozen=True, eq=False, repr=False)
class IsingGraph(IsingModel):
    r"""A batch of Ising models that share a graph.

    ``E(x) = constant - sum_i unary_i x_i - sum_ij pairwise_ij x_i x_j``, lower is better.

    Args:
        unary: (batch, nodes), float32 or float64, any finite value or +-inf (a clamp).
        edges: (edges, 2) int64, the two nodes of every coupling, numbered from 0, in any order. A
            pair that is listed twice has the sum of both couplings.
        pairwise: (batch, edges), finite; > 0 likes the two nodes equal.
        constant: (batch,), added to the energy; zeros if left out. Kept in float64.

    Raises:
        TypeError: an argument is no tensor of its kind, or dtypes differ.
        ValueError: a shape does not fit, an edge names no node or joins a node to itself, or a
            value is NaN, infinite (couplings) or beyond 2^100.

    Example:
        >>> import torch, mrfmask as mm
        >>> triangle = torch.tensor([[0, 1], [1, 2], [0, 2]])
        >>> model = mm.IsingGraph(torch.tensor([[0.5, 0.0, 0.0]]), triangle, -torch.ones(1, 3))
        >>> model.energy(torch.tensor([[True, True, False]]))
        tensor([-1.5000], dtype=torch.float64)

    Reference:
        Kindermann and Snell, "Markov random fields and their applications", AMS 1980.
    """

    unary: Float[Tensor, "batch nodes"]
    edges: Int[Tensor, "edges 2"]
    pairwise: Float[Tensor, "batch edges"]
    constant: Float[Tensor, " batch"] | None = None

    def __post_init__(self) -> None:
        check_tensors(self.unary, pairwise=self.pairwise)
        if self.unary.dim() != 2:
            hint = "For one model pass unary[None]." if self.unary.dim() == 1 else "Flatten it."
            raise ValueError(
                f"unary must have shape (batch, nodes); got {tuple(self.unary.shape)}. {hint}"
            )
        batch, nodes = self.unary.shape
        if nodes == 0:
            raise ValueError(
                f"unary must have at least one node; got {tuple(self.unary.shape)}. "
                "Leave empty models out."
            )
        check_edges(self.edges, nodes, self.unary.device)
        expected = (batch, len(self.edges))
        if tuple(self.pairwise.shape) != expected:
            raise ValueError(
                f"pairwise must have shape {expected}, one value an edge; got "
                f"{tuple(self.pairwise.shape)}. For one model pass pairwise[None]."
            )
        self._set_constant(pairwise=self.pairwise)

    @staticmethod
    def from_costs(
        unary: Float[Tensor, "batch nodes 2"],
        edges: Int[Tensor, "edges 2"],
        pairwise: Float[Tensor, "batch edges 2 2"],
    ) -> IsingGraph:
        """The model with ``E(x) = sum_i phi_i(x_i) + sum_ij phi_ij(x_i, x_j)`` for every mask.

        Args:
            unary: ``unary[..., s]`` is the cost of state s (0 off, 1 on). +inf forbids a state,
                which clamps the node to the other one.
            edges: the first and the second node of every table.
            pairwise: ``pairwise[..., s, t]`` is the cost of state s of the first node with t of
                the second; finite.

        Raises:
            TypeError: an argument is no tensor of its kind.
            ValueError: a shape does not fit, both states of a node are forbidden, or the cost of a
                pair is not finite.

        Example:
            >>> import torch, mrfmask as mm
            >>> potts = 0.5 * (1 - torch.eye(2))  # 0.5 for two different states
            >>> model = mm.IsingGraph.from_costs(torch.tensor([[[0.0, 1.0], [0.0, -1.0]]]),
            ...                                  torch.tensor([[0, 1]]), potts[None, None])
            >>> model.energy(torch.tensor([[False, True]]))
            tensor([-0.5000], dtype=torch.float64)
        """
        check_tables(unary, edges, pairwise)
        return IsingGraph(*terms_from_tables(unary, edges, pairwise))

    @staticmethod
    def from_networkx(
        graph: nx.Graph, unary: str | None = "unary", pairwise: str = "pairwise"
    ) -> IsingGraph:
        """The model whose potentials are attributes of a networkx graph; one model, float64.

        Node i is the i-th of ``list(graph)``. A graph attribute "constant" is added to the energy.

        Args:
            graph: undirected; parallel edges of a MultiGraph add up.
            unary: the attribute of the nodes; None for no fields (zeros).
            pairwise: the attribute of the edges, e.g. "weight".

        Raises:
            TypeError: `graph` is no networkx graph, or an attribute no number.
            ValueError: the graph is directed or has self-loops, or a node or edge lacks its
                attribute.

        Example:
            >>> import mrfmask as mm, networkx as nx
            >>> graph = nx.Graph()
            >>> graph.add_node("a", unary=0.5)
            >>> graph.add_node("b", unary=0.0)
            >>> graph.add_edge("a", "b", pairwise=-1.0)
            >>> mm.IsingGraph.from_networkx(graph)
            IsingGraph(1 x 2 nodes, 1 edges, torch.float64, cpu)
        """
        return IsingGraph(*terms_from_networkx(graph, unary, pairwise))

    def to_networkx(self, image: int = 0) -> nx.Graph:
        """One model of the batch as a networkx graph that `from_networkx` reads.

        Nodes are 0, 1, ...; a MultiGraph if a pair of nodes has several edges.
        """
        return networkx_from_terms(self._terms_of(image))

    @staticmethod
    def from_bqm(bqm: dimod.BinaryQuadraticModel) -> IsingGraph:
        """The model with the energies of a dimod binary quadratic model, float64.

        SPIN variables are states x = -1, +1; BINARY ones 0 (off) and 1 (on). Node i is the i-th of
        ``bqm.variables``. dimod writes ``sum h s + sum J s s``: unary = -h, pairwise = -J.

        Raises:
            TypeError: `bqm` is no binary quadratic model.
            RuntimeError: dimod is not installed.

        Example:
            >>> import dimod, mrfmask as mm
            >>> bqm = dimod.BinaryQuadraticModel({"a": 1.0}, {("a", "b"): -0.5}, 0.0, "SPIN")
            >>> mm.IsingGraph.from_bqm(bqm).pairwise
            tensor([[0.5000]], dtype=torch.float64)
        """
        return IsingGraph(*terms_from_bqm(bqm))

    def to_bqm(self, image: int = 0) -> dimod.BinaryQuadraticModel:
        """One model of the batch as a SPIN model of dimod, with variables 0, 1, ...

        Clamped nodes are no variables of it: their state goes into their neighbours and the
        offset, so that its energies are those of the masks that keep the clamps.

        Raises:
            RuntimeError: dimod is not installed.
        """
        return bqm_from_terms(self._terms_of(image))

    @staticmethod
    def from_qubo(
        matrix: Float[Tensor | np.ndarray, "*batch nodes nodes"] | sparray | spmatrix,
    ) -> IsingGraph:
        """The model with ``E = y' Q y``, y_i = 1 for on and 0 for off.

        Args:
            matrix: (nodes, nodes), or (batch, nodes, nodes), or a scipy.sparse matrix. Upper or
                lower triangular or both: ``Q_ij + Q_ji`` counts. Two nodes share an edge where
                that is not 0, in any matrix of a batch.

        Returns:
            The model, float32 for a float32 tensor or array, else float64.

        Raises:
            TypeError: `matrix` is no tensor, array or sparse matrix of numbers.
            ValueError: it is not square, or has values that are not finite.

        Example:
            >>> import numpy as np, torch, mrfmask as mm
            >>> model = mm.IsingGraph.from_qubo(np.array([[-1.0, 3.0], [0.0, -2.0]]))
            >>> model.energy(torch.tensor([[True, True]]))
            tensor([0.], dtype=torch.float64)
        """
        return IsingGraph(*terms_from_qubo(matrix))

    def to_qubo(self) -> tuple[Float[Tensor, "batch nodes nodes"], Float[Tensor, " batch"]]:
        """Upper triangular matrices Q and offsets with ``E = y' Q y + offset``, in float64.

        Raises:
            ValueError: a node is clamped.
        """
        return qubo_from_terms(Terms(self.unary, self.edges, self.pairwise, self.constant))

    def _terms_of(self, image: int) -> Terms:
        """One model of the batch, as a batch of one on the CPU."""
        one = self[image].to("cpu")
        return Terms(one.unary.detach(), one.edges, one.pairwise.detach(), one.constant.detach())

    def __repr__(self) -> str:
        batch, nodes = self.shape
        size = f"{batch} x {nodes} nodes, {len(self.edges)} edges"
        return f"IsingGraph({size}, {self.dtype}, {self.device})"

    @property
    def couplings(self) -> dict[str, Float[Tensor, "batch edges"]]:
        """The couplings by name: pairwise."""
        return {"pairwise": self.pairwise}

    def pairs(self, values: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """By kind of coupling, the values (..., nodes) of both nodes of every coupling."""
        return {"pairwise": (values[..., self.edges[:, 0]], values[..., self.edges[:, 1]])}

    def energy(self, mask: Bool[Tensor, "*masks nodes"]) -> Float[Tensor, "*masks"]:
        """Energy of masks in float64; differentiable in the potentials.

        Args:
            mask: bool, (batch, nodes), or (batch, chains, nodes) for several masks a model.

        Returns:
            (batch,) or (batch, chains); +inf where a mask violates a clamp.
        """
        batch, nodes = self.shape
        several = isinstance(mask, Tensor) and mask.dim() == 3
        shape = (batch, mask.shape[1], nodes) if several else (batch, nodes)
        check_mask("mask", mask, shape, self.device)
        chains = mask if several else mask.unsqueeze(1)
        # Products with +-1 are exact in any dtype; their sums are taken in float64.
        x = torch.where(chains, 1.0, -1.0).to(self.dtype)
        unary = self.unary.unsqueeze(1)
        clamped = torch.isinf(unary)
        score = (torch.where(clamped, 0.0, unary) * x).sum(dim=2, dtype=torch.float64)
        equal = chains[:, :, self.edges[:, 0]] == chains[:, :, self.edges[:, 1]]
        agree = torch.where(equal, self.pairwise.unsqueeze(1), -self.pairwise.unsqueeze(1))
        score = score + agree.sum(dim=2, dtype=torch.float64)
        violated = (clamped & (x * unary < 0)).any(dim=2)
        energy = torch.where(violated, torch.inf, self.constant.unsqueeze(1) - score)
        return energy if several else energy.squeeze(1)

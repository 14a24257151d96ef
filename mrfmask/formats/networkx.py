"""To and from networkx: potentials are attributes of nodes and edges."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import TYPE_CHECKING, Any

import torch

from mrfmask.formats.terms import Terms

if TYPE_CHECKING:
    import networkx as nx


def terms_from_networkx(graph: nx.Graph, unary: str | None, pairwise: str) -> Terms:
    """Terms in float64; arguments and errors are those of `IsingGraph.from_networkx`."""
    import networkx as nx

    if not isinstance(graph, nx.Graph):
        raise TypeError(
            f"graph must be a networkx.Graph; got {type(graph).__name__}. Build one from pairs "
            "with networkx.Graph(pairs)."
        )
    if graph.is_directed():
        raise ValueError(
            f"graph must be undirected; got a {type(graph).__name__}. A coupling has no direction: "
            "make a networkx.Graph, or a MultiGraph, whose parallel edges add up."
        )
    number = {node: i for i, node in enumerate(graph)}
    pairs = []
    for first, second in graph.edges():
        if first == second:
            raise ValueError(
                f"graph must have no self-loops; got one at node {first!r}. x_i x_i = 1: remove "
                "it, its term is a constant."
            )
        pairs.append((number[first], number[second]))
    couplings = (((u, v), data) for u, v, data in graph.edges(data=True))
    fields = [0.0] * len(number)
    if unary is not None:
        fields = _attribute("unary", unary, "node", graph.nodes(data=True))
    constant = _attribute("constant", "constant", "graph", [("", {"constant": 0.0} | graph.graph)])
    return Terms(
        torch.tensor([fields], dtype=torch.float64),
        torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2),
        torch.tensor([_attribute("pairwise", pairwise, "edge", couplings)], dtype=torch.float64),
        torch.tensor(constant, dtype=torch.float64),
    )


def networkx_from_terms(terms: Terms) -> nx.Graph:
    """A Graph, or a MultiGraph if a pair of nodes has two edges, of the first model of a batch."""
    import networkx as nx

    nodes, pairs = terms.unary.shape[1], terms.edges.tolist()
    simple = len({tuple(sorted(pair)) for pair in pairs}) == len(pairs)
    graph = (nx.Graph if simple else nx.MultiGraph)(constant=terms.constant[0].item())
    fields = terms.unary[0].tolist()
    graph.add_nodes_from((i, {"unary": fields[i]}) for i in range(nodes))
    values = terms.pairwise[0].tolist()
    graph.add_edges_from((u, v, {"pairwise": c}) for (u, v), c in zip(pairs, values, strict=True))
    return graph


def _attribute(
    argument: str, name: str, kind: str, items: Iterable[tuple[Any, dict]]
) -> list[float]:
    """The attribute of all nodes or edges, in order."""
    values = []
    for item, data in items:
        place = f"{kind} {item!r}".removesuffix(" ''")
        if name not in data:
            has = ", ".join(map(repr, data)) or "none"
            raise ValueError(
                f"{argument} must name an attribute that every {kind} has; got {name!r}, which "
                f"{place} lacks (it has {has}). Set it, or name another one."
            )
        value = data[name]
        if not isinstance(value, Real):
            raise TypeError(
                f"{argument} must name an attribute of real numbers; got {name!r} with "
                f"{type(value).__name__} at {place}. Use a float."
            )
        values.append(float(value))
    return values

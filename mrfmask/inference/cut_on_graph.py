"""Minimum cuts of models on a graph, repulsive couplings turned round where signs are balanced."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask import ops
from mrfmask.graph import IsingGraph
from mrfmask.inference.graph_flow_certificate import GraphFlowCertificate
from mrfmask.result import MapResult, Status


def cut_graphs(model: IsingGraph, tie: str, lossless: bool, start: MapResult | None) -> MapResult:
    """What GraphCut finds for a graph; arguments are its options."""
    turned_model, turned = turn_round(model)
    from_flow = _start_flow(model, turned, start)
    found = _cut(turned_model, from_flow, tie, False)
    if lossless and bool((found[3] > 0).any()):
        found = _cut(turned_model, from_flow, tie, True)
    mask, exponent, bound, rounding, flow = found
    certificate = GraphFlowCertificate(exponent=exponent, flow=flow, turned=turned, mask=mask)
    mask = mask ^ turned
    return MapResult(
        mask=mask,
        energy=model.energy(mask).detach(),
        lower_bound=model.constant.detach() + bound,
        status=(Status.OPTIMAL,) * len(model),
        method="graph_cut",
        stats={"exponent": exponent, "rounding": rounding, "flipped": turned.any(dim=1)},
        certificate=certificate,
    )


def balanced_models(model: IsingGraph) -> Bool[Tensor, " batch"]:
    """Which models have no cycle with an odd number of repulsive couplings."""
    associative = (model.pairwise >= 0).all(dim=1)
    if bool(associative.all()):
        return associative
    return ops.gauge(model.unary.detach(), model.edges, model.pairwise.detach())[1]


def turn_round(model: IsingGraph) -> tuple[IsingGraph, Bool[Tensor, "batch nodes"]]:
    """The gauge transform x -> -x on some nodes that makes all couplings associative.

    Returns:
        The turned model, of the same energies, and the nodes that were turned: never the lowest one
        of a component that couplings other than 0 connect.

    Raises:
        ValueError: a model of the batch has a cycle with an odd number of repulsive couplings.
    """
    if model.is_associative:
        return model, torch.zeros(model.shape, dtype=torch.bool, device=model.device)
    turned, balanced = ops.gauge(model.unary.detach(), model.edges, model.pairwise.detach())
    if not bool(balanced.all()):
        raise ValueError(_why_not(model, int((~balanced).nonzero()[0])))
    unary = torch.where(turned, -model.unary, model.unary)
    first, second = (turned[:, model.edges[:, end]] for end in (0, 1))
    pairwise = torch.where(first ^ second, -model.pairwise, model.pairwise)
    return replace(model, unary=unary, pairwise=pairwise), turned


def _cut(model: IsingGraph, start: tuple, tie: str, wide: bool) -> tuple[Tensor, ...]:
    tensors = (model.unary.detach(), model.edges, model.pairwise.detach())
    return ops.cut_graph(*tensors, *start, tie == "max", wide)


def _start_flow(
    model: IsingGraph, turned: Bool[Tensor, "batch nodes"], start: MapResult | None
) -> tuple[Tensor | None, ...]:
    """Flows, their cut, and the exponents of their scales."""
    if start is None:
        return None, None, None
    certificate = start.certificate
    if not isinstance(certificate, GraphFlowCertificate):
        raise ValueError(
            f"start must be a result of graph_cut for a graph; got one of {start.method}, which "
            "has no flow on its edges. Leave start out."
        )
    if (certificate.flow.shape, start.mask.shape) != (model.pairwise.shape, model.shape):
        raise ValueError(
            f"start must fit the model's {tuple(model.shape)} nodes and "
            f"{tuple(model.pairwise.shape)} couplings; got {tuple(start.mask.shape)} and "
            f"{tuple(certificate.flow.shape)}. Leave start out."
        )
    # A flow of a model turned round in another way is no help.
    keep = (certificate.turned == turned).all(dim=1, keepdim=True)
    return certificate.flow * keep, certificate.mask, certificate.exponent


def _why_not(model: IsingGraph, number: int) -> str:
    """Names a cycle that no cut can take, and what can."""
    cycle = ", ".join(map(str, _odd_cycle(model[number])))
    return (
        "model must have balanced couplings for graph_cut; got a cycle with an odd number of "
        f"repulsive ones in model {number}: nodes {cycle}, which cannot all have their way. "
        "Use method='ilp' (exact) or 'annealing'."
    )


def _odd_cycle(model: IsingGraph) -> list[int]:
    """The nodes of a cycle with an odd number of negative couplings, by breadth-first search."""
    pairs = zip(model.edges.tolist(), model.pairwise[0].tolist(), strict=True)
    around = defaultdict(list)
    for (a, b), coupling in pairs:
        if coupling != 0:
            around[a].append((b, coupling < 0))
            around[b].append((a, coupling < 0))
    turned: dict[int, bool] = {}
    parent: dict[int, int] = {}
    for root in around:
        if root in turned:
            continue
        turned[root], parent[root] = False, root
        queue = deque([root])
        while queue:
            v = queue.popleft()
            for u, negative in around[v]:
                if u not in turned:
                    turned[u], parent[u] = turned[v] ^ negative, v
                    queue.append(u)
                elif turned[u] ^ turned[v] != negative:
                    return _join_paths(_path_up(parent, v), _path_up(parent, u))
    raise RuntimeError("model must have an odd cycle; found none. Please report this as a bug.")


def _path_up(parent: dict[int, int], v: int) -> list[int]:
    path = [v]
    while parent[v] != v:
        v = parent[v]
        path.append(v)
    return path


def _join_paths(first: list[int], second: list[int]) -> list[int]:
    """Two ways to a root, without what they share but its beginning."""
    while len(first) > 1 and len(second) > 1 and first[-2] == second[-2]:
        first, second = first[:-1], second[:-1]
    return first + second[-2::-1]

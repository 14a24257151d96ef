"""The mask of a model on a graph that neither a cut nor elimination is exact for."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask.graph import IsingGraph
from mrfmask.inference.annealing import Annealing
from mrfmask.inference.exact import Exact, solvable_images
from mrfmask.inference.ilp import Ilp
from mrfmask.inference.part_certificates import PartCertificates
from mrfmask.inference.qpbo import Qpbo
from mrfmask.inference.reduced_graph import ReducedGraph, reduce_graph
from mrfmask.result import MapResult, Status

# Node updates of annealing, for each second of a time limit.
UPDATES_A_SECOND = 1e7
MOST_SWEEPS = 1000
# Without one, so many linear programs for graphs of few edges in all and for each node: they often
# close the gap within a second, and where they cannot they end.
ROUNDS, MOST_EDGES, EDGES_A_NODE = 40, 2000, 4


def find_map_frustrated(model: IsingGraph, time_limit_s: float | None) -> MapResult:
    """Roof duality, and for the nodes that it leaves open what suits them.

    That is elimination where it is quick, else annealing. From there `ilp` goes on, within a time
    limit; without one, on small sparse graphs for a fixed number of linear programs. What is found
    for the open nodes is the minimum over masks with the states of the others; the model's own is
    less by at most twice the rounding of roof duality.
    """
    began = time.monotonic()
    found = Qpbo().find_map(model)
    host = model.to("cpu")  # where the rest runs
    rounding = found.stats["rounding"].cpu()
    mask, bound = (t.to("cpu", copy=True) for t in (found.mask, found.lower_bound))
    status, settled = list(found.status), found.stats["persistent"].cpu()
    open_models = [b for b, s in enumerate(status) if s is not Status.OPTIMAL]
    methods = dict.fromkeys(open_models, "annealing")
    for done, b in enumerate(open_models):
        one = slice(b, b + 1)
        rest = reduce_graph(host[b], settled[one], mask[one])
        seconds = None
        if time_limit_s is not None:
            left = time_limit_s - (time.monotonic() - began)
            seconds = max(left, 1e-3) / (len(open_models) - done)
        part = _find_map_of_rest(rest, mask[one], seconds)
        mask[one] = rest.whole(part.mask)
        proven = part.lower_bound - 2 * rounding[b]
        if part.method != "annealing":
            bound[one] = torch.maximum(bound[one], proven)
            status[b] = part.status[0]
        methods[b] = part.method
    mask, bound = mask.to(model.device), bound.to(model.device)
    energy = model.energy(mask).detach()
    kept = (bound == found.lower_bound).nonzero().flatten()
    return replace(
        found,
        mask=mask,
        energy=energy,
        lower_bound=torch.minimum(bound, energy),
        status=tuple(status),
        method="ilp" if "ilp" in methods.values() else "qpbo",
        stats={**found.stats, "rest": tuple(methods.get(b, "") for b in range(len(model)))},
        # Bounds that the flow does not prove are the other methods' word.
        certificate=PartCertificates([(kept, found.certificate[kept])]),
    )


def _find_map_of_rest(
    rest: ReducedGraph, mask: Bool[Tensor, "1 nodes"], seconds: float | None
) -> MapResult:
    """The best mask of the nodes left, by exact, annealing or ilp; `mask` is one to better."""
    began = time.monotonic()
    model = rest.model
    if bool(solvable_images(model).all()):
        return Exact().find_map(model)
    sweeps = MOST_SWEEPS
    if seconds is not None:
        sweeps = int(min(max(UPDATES_A_SECOND * seconds / model.shape[1], 1), MOST_SWEEPS))
    found = Annealing(sweeps=sweeps).find_map(model)
    start, at_hand = found.mask, mask[:, rest.nodes]
    if bool(model.energy(at_hand) < model.energy(start)):
        start = at_hand
    if seconds is None:
        edges, nodes = len(model.edges), model.shape[1]
        if edges <= min(MOST_EDGES, EDGES_A_NODE * nodes):
            return Ilp(rounds=ROUNDS, start=start).find_map(model)
        return replace(found, mask=start, energy=model.energy(start))
    left = max(seconds - (time.monotonic() - began), 1e-3)
    return Ilp(time_limit_s=left, start=start).find_map(model)

"""Minimum cuts: potentials in, mask out, building the graph included; energies must agree."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

import mrfmask as mm
from bench.instances import (
    NOT_INSTALLED,
    best_of,
    instance,
    use_cores,
    version_of,
)

SCALE = 2.0**20  # of integer capacities


def capacities(model: mm.IsingGrid, kind: type) -> list[np.ndarray]:
    """What it costs each pixel to be off (negative: on), and each pair to differ."""
    arrays = [2 * t[0].double().numpy() for t in (model.unary, model.right, model.down)]
    return [np.rint(SCALE * a).astype(np.int64) for a in arrays] if kind is int else arrays


def pymaxflow(model: mm.IsingGrid, kind: type) -> np.ndarray:
    """Boykov and Kolmogorov's search, the graph built by grid."""
    import maxflow

    _, height, width = model.shape
    unary, right, down = capacities(model, kind)
    graph = maxflow.Graph[kind](height * width, 2 * height * width)
    nodes = graph.add_grid_nodes((height, width))
    to_right = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 0]])
    right, down = np.pad(right, ((0, 0), (0, 1))), np.pad(down, ((0, 1), (0, 0)))
    graph.add_grid_edges(nodes, right, to_right, symmetric=True)
    graph.add_grid_edges(nodes, down, to_right.T, symmetric=True)
    graph.add_grid_tedges(nodes, np.maximum(unary, 0), np.maximum(-unary, 0))
    graph.maxflow()
    return ~graph.get_grid_segments(nodes)


def or_tools(model: mm.IsingGrid) -> np.ndarray:
    """Push-relabel, the arcs given as arrays."""
    from ortools.graph.python.max_flow import SimpleMaxFlow

    unary, right, down = capacities(model, int)
    pixels = np.arange(unary.size, dtype=np.int32).reshape(unary.shape)
    source, sink = unary.size, unary.size + 1
    on, off = pixels[unary > 0], pixels[unary < 0]
    first = np.concatenate([pixels[:, :-1].ravel(), pixels[:-1].ravel()])
    second = np.concatenate([pixels[:, 1:].ravel(), pixels[1:].ravel()])
    pairwise = np.concatenate([right.ravel(), down.ravel()])
    graph = SimpleMaxFlow()
    graph.add_arcs_with_capacity(
        np.concatenate([first, second, np.full_like(on, source), off]),
        np.concatenate([second, first, on, np.full_like(off, sink)]),
        np.concatenate([pairwise, pairwise, unary[unary > 0], -unary[unary < 0]]),
    )
    assert graph.solve(source, sink) == graph.OPTIMAL
    mask = np.zeros(unary.size + 2, dtype=bool)
    mask[graph.get_source_side_min_cut()] = True
    return mask[: unary.size].reshape(unary.shape)


RIVALS: dict[str, tuple[str, Callable[[mm.IsingGrid], np.ndarray]]] = {
    "PyMaxflow, float": ("PyMaxflow", partial(pymaxflow, kind=float)),
    "PyMaxflow, int": ("PyMaxflow", partial(pymaxflow, kind=int)),
    "OR-tools": ("ortools", or_tools),
}


def compare(height: int, width: int, coupling: float) -> dict:
    """Seconds of everybody, and by how much the energies of their masks are above ours."""
    model = instance(height, width, coupling)
    repeats = 3 if height * width > 10**5 else 10
    result = mm.GraphCut().find_map(model)
    seconds = best_of(repeats, lambda: mm.GraphCut().find_map(model))
    case = {"seconds": seconds, "gap": result.gap.item(), "rivals": {}}
    for name, (distribution, cut) in RIVALS.items():
        if version_of(distribution) == NOT_INSTALLED:
            case["rivals"][name] = NOT_INSTALLED
            continue
        masks = []
        theirs = best_of(repeats, lambda cut=cut, masks=masks: masks.append(cut(model)))
        above = (model.energy(torch.from_numpy(masks[-1])[None]) - result.energy).item()
        assert abs(above) <= case["gap"] + 1e-3, (name, above)
        case["rivals"][name] = {
            "seconds": theirs,
            "times_faster": theirs / seconds,
            "energy_above_ours": above,
        }
    return case


def run() -> dict[str, dict]:
    """All works."""
    return {
        f"{height}x{width}, c = {coupling}": compare(height, width, coupling)
        for height, width in ((100, 100), (375, 1242), (1024, 1024))
        for coupling in (0.3, 1.0, 2.0)
    }


def batch_on_two_cores() -> dict[str, float]:
    """64 images of 100x100: seconds with one thread and with two."""
    model = instance(100, 100, 1.0, batch=64)
    seconds = {}
    for threads in (2, 1):
        use_cores(threads)
        seconds[f"seconds_{threads}"] = best_of(5, lambda: mm.GraphCut().find_map(model))
    return seconds

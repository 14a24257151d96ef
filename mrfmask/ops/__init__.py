"""The native kernels and solvers as torch operators: schemas, shapes, implementations."""

from mrfmask.ops.cuts import budget_path, graph_cut, keep_limit, reach_count
from mrfmask.ops.diagonals import diagonal_gibbs, diagonal_mean_field
from mrfmask.ops.graphs import cut_graph, gauge, min_marginals
from mrfmask.ops.roof_duality import qpbo
from mrfmask.ops.strips import strip_dual
from mrfmask.ops.swaps import kawasaki
from mrfmask.ops.sweeps import exact_uniforms, gibbs, mean_field

__all__ = [
    "budget_path",
    "cut_graph",
    "diagonal_gibbs",
    "diagonal_mean_field",
    "exact_uniforms",
    "gauge",
    "gibbs",
    "graph_cut",
    "kawasaki",
    "keep_limit",
    "mean_field",
    "min_marginals",
    "qpbo",
    "reach_count",
    "strip_dual",
]

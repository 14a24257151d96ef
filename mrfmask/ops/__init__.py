"""The native kernels and solvers as torch operators: schemas, shapes, implementations."""

from mrfmask.ops.cuts import budget_path, graph_cut, keep_limit, reach_count
from mrfmask.ops.diagonals import diagonal_gibbs, diagonal_mean_field
from mrfmask.ops.roof_duality import qpbo
from mrfmask.ops.strips import strip_dual
from mrfmask.ops.swaps import kawasaki
from mrfmask.ops.sweeps import exact_uniforms, gibbs, mean_field

__all__ = [
    "budget_path",
    "diagonal_gibbs",
    "diagonal_mean_field",
    "exact_uniforms",
    "gibbs",
    "graph_cut",
    "kawasaki",
    "keep_limit",
    "mean_field",
    "qpbo",
    "reach_count",
    "strip_dual",
]

"""Binary Markov random fields over pixels in PyTorch: MAP, marginals and samples, with bounds."""

from mrfmask.graph import IsingGraph
from mrfmask.inference import METHODS, find_map, marginals, sample
from mrfmask.inference.annealing import Annealing
from mrfmask.inference.belief_propagation import BeliefPropagation
from mrfmask.inference.budget_path import budget_path
from mrfmask.inference.cftp import Cftp
from mrfmask.inference.exact import Exact
from mrfmask.inference.gibbs import Gibbs
from mrfmask.inference.graph_cut import GraphCut
from mrfmask.inference.ilp import Ilp
from mrfmask.inference.kawasaki import Kawasaki
from mrfmask.inference.log_partition_bounds import LogPartitionBounds, log_partition_bounds
from mrfmask.inference.mean_field import MeanField
from mrfmask.inference.min_marginals import MinMarginals, min_marginals
from mrfmask.inference.planar import planar_log_partition
from mrfmask.inference.qpbo import Qpbo
from mrfmask.inference.strips import Strips
from mrfmask.model import IsingGrid
from mrfmask.model_files import load_model, save_model
from mrfmask.result import BudgetPath, MapResult, Marginals, Samples, Status
from mrfmask.select import SELECTORS, LongRange, select
from mrfmask.superpixels import superpixel_graph

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "SELECTORS",
    "Annealing",
    "BeliefPropagation",
    "BudgetPath",
    "Cftp",
    "Exact",
    "Gibbs",
    "GraphCut",
    "Ilp",
    "IsingGraph",
    "IsingGrid",
    "Kawasaki",
    "LogPartitionBounds",
    "LongRange",
    "MapResult",
    "Marginals",
    "MeanField",
    "MinMarginals",
    "Qpbo",
    "Samples",
    "Status",
    "Strips",
    "budget_path",
    "find_map",
    "load_model",
    "log_partition_bounds",
    "marginals",
    "min_marginals",
    "planar_log_partition",
    "sample",
    "save_model",
    "select",
    "superpixel_graph",
]

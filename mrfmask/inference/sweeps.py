"""Sweeps over grids, by operators, and over graphs, by kernels of numba, which are loaded here."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.inference import grid_sweeps
from mrfmask.inference.float32_potentials import Float32Graph, Float32Potentials


def gibbs(
    potentials: Float32Potentials | Float32Graph,
    beta: Float[Tensor, "batch sweeps"],
    seed: Int[Tensor, "batch 2"],
    start: Bool[Tensor, "batch chains ..."] | None,
    chains: int,
    burn_in: int,
    sweeps: int,
    sweep_offset: Int[Tensor, " 1"],
    keep_best: bool,
    keep_pairs: bool,
) -> tuple[
    Bool[Tensor, "batch chains ..."],
    Int[Tensor, "batch chains ..."],
    Float[Tensor, "batch chains sweeps"],
    Bool[Tensor, "batch chains ..."],
    dict[str, Tensor],
]:
    """What the operator `gibbs` gives: masks, counts, energies, best masks, and equal pairs.

    The counts of equal pairs are by kind of coupling.
    """
    arguments = (beta, seed, start, chains, burn_in, sweeps)
    if not isinstance(potentials, Float32Graph):
        return grid_sweeps.gibbs(potentials, *arguments, sweep_offset, keep_best, keep_pairs)
    from mrfmask.graphs.gibbs import gibbs_sweeps

    model = (potentials.unary, potentials.edges, potentials.pairwise)
    run = gibbs_sweeps(*model, *arguments, int(sweep_offset), keep_best, keep_pairs)
    return run.masks, run.counts, run.energies, run.best, {"pairwise": run.equal}


def mean_field(
    potentials: Float32Potentials | Float32Graph,
    beta: Float[Tensor, " batch"],
    start: Float[Tensor, "batch ..."] | None,
    max_sweeps: int,
    tolerance: float,
) -> tuple[Float[Tensor, "batch ..."], Int[Tensor, " batch"], Float[Tensor, " batch"]]:
    """What the operator `mean_field` gives: means, sweeps done, largest change in the last."""
    if not isinstance(potentials, Float32Graph):
        return grid_sweeps.mean_field(potentials, beta, start, max_sweeps, tolerance)
    from mrfmask.graphs.mean_field import mean_field_sweeps

    model = (potentials.unary, potentials.edges, potentials.pairwise)
    return mean_field_sweeps(*model, beta, start, max_sweeps, tolerance)

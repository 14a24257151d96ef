"""Gibbs sampling on graphs: what the operator `gibbs` is to grids."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt
from torch import Tensor

from mrfmask.graphs.heat_bath import Chains, Potentials, run_sweeps, start_chains
from mrfmask.graphs.layout import Layout, layout
from mrfmask.graphs.philox import LANES
from mrfmask.graphs.portable import LEAST, log2_odds_rate
from mrfmask.graphs.threads import each_item, may_stop

# So many chains and more are run together, fewer one by one.
FEWEST_TOGETHER = 16
# Node states between two looks at whether the user wants to stop.
PATIENCE = 2**25


class GibbsRun(NamedTuple):
    """What sweeps on a graph leave behind.

    Attributes:
        masks: (batch, chains, nodes) bool.
        counts: (batch, chains, nodes) int32, kept sweeps in which a node was on.
        energies: (batch, chains, sweeps) float64 without the constant.
        best: like masks, the kept state of lowest energy; batch 0 when not kept.
        equal: (batch, edges) int64, kept states of all chains with equal ends; batch 0 if not kept.
    """

    masks: Bool[Tensor, "batch chains nodes"]
    counts: Int[Tensor, "batch chains nodes"]
    energies: Float[Tensor, "batch chains sweeps"]
    best: Bool[Tensor, "batch chains nodes"]
    equal: Int[Tensor, "batch edges"]


def gibbs_sweeps(
    unary: Float[Tensor, "batch nodes"],
    edges: Int[Tensor, "edges 2"],
    pairwise: Float[Tensor, "batch edges"],
    beta: Float[Tensor, "batch sweeps"],
    seed: Int[Tensor, "batch 2"],
    start: Bool[Tensor, "batch chains nodes"] | None,
    chains: int,
    burn_in: int,
    sweeps: int,
    sweep_offset: int,
    keep_best: bool = False,
    keep_pairs: bool = False,
) -> GibbsRun:
    """Heat-bath sweeps over the colours of a graph, the same bits for any number of threads.

    Args:
        unary: float32; +-inf clamps.
        edges: int64.
        pairwise: float32.
        beta: (batch, burn_in + sweeps) float64, inverse temperature of each sweep, or (batch, 1).
        seed: int64, key and stream of each model's draws.
        start: states to go on from, or None for fair coins.
        chains: independent chains a model.
        burn_in: sweeps that are not counted.
        sweeps: sweeps that are.
        sweep_offset: number of the first sweep.
        keep_best: whether to keep the state of lowest energy.
        keep_pairs: whether to count the states in which the ends of an edge were equal.
    """
    batch, nodes = unary.shape
    plan = layout(edges, nodes)
    rates = log2_odds_rate(beta.expand(batch, burn_in + sweeps).numpy())
    models = [potentials(plan, unary[b].numpy(), pairwise[b].numpy()) for b in range(batch)]
    kept = chains if keep_best else 0
    masks = torch.empty(batch, chains, nodes, dtype=torch.bool)
    best = torch.empty(batch if keep_best else 0, chains, nodes, dtype=torch.bool)
    counts = torch.empty(batch, chains, nodes, dtype=torch.int32)
    energies = torch.empty(batch, chains, sweeps, dtype=torch.float64)
    equal = torch.zeros(batch if keep_pairs else 0, len(edges), dtype=torch.int64)
    groups = [(b, *group) for b in range(batch) for group in _groups(chains)]
    equals: list = [None] * len(groups)

    def run(item: int) -> None:
        b, chain, lanes = groups[item]
        real = min(lanes, chains - chain)
        these = slice(chain, chain + real)
        given = None if start is None else start[b, these].numpy()
        words = np.zeros(nodes, dtype=np.uint32) if given is None else packed(plan, given)
        group = Chains(
            key=int(seed[b, 0]),
            stream=int(seed[b, 1]),
            chain=chain,
            lanes=lanes,
            words=words,
            seen=np.empty(len(plan.neighbour) if lanes == 1 else 0, dtype=np.uint8),
            draws=np.empty(len(plan.place) * lanes, dtype=np.uint16),
            counts=np.zeros(nodes * lanes, dtype=np.int32),
            units=np.empty((sweeps, lanes), dtype=np.int64),
            best=np.empty(nodes if kept else 0, dtype=np.uint32),
            least=np.full(lanes, np.iinfo(np.int64).max),
            equal=np.zeros(len(edges) if keep_pairs else 0, dtype=np.int64),
            counted=np.uint32((1 << real) - 1),
        )
        start_chains(plan, models[b], group, start is not None)
        at_once = max(1, PATIENCE // (nodes * lanes))
        for begin in range(0, burn_in + sweeps, at_once):
            may_stop()
            end = min(begin + at_once, burn_in + sweeps)
            run_sweeps(plan, models[b], group, rates[b], sweep_offset, begin, end, burn_in)
        unpack(plan, words, masks[b, these].numpy())
        if keep_best:
            unpack(plan, group.best, best[b, these].numpy())
        by_node = group.counts.reshape(nodes, lanes)[:, :real]
        counts[b, these].numpy()[:, plan.node] = by_node.T
        energies[b, these] = torch.from_numpy(group.units[:, :real].T / models[b].per_energy)
        equals[item] = group.equal

    each_item(run, len(groups))
    if keep_pairs:
        for (b, _, _), found in zip(groups, equals, strict=True):
            equal[b] += torch.from_numpy(found)
    return GibbsRun(masks, counts, energies, best, equal)


def _groups(chains: int) -> list[tuple[int, int]]:
    """First chain and lanes of every group."""
    together = chains // LANES
    if chains % LANES >= FEWEST_TOGETHER:
        together += 1
    done = [(LANES * g, LANES) for g in range(together)]
    return done + [(chain, 1) for chain in range(LANES * together, chains)]


def potentials(
    plan: Layout, unary: Float[np.ndarray, " nodes"], pairwise: Float[np.ndarray, " edges"]
) -> Potentials:
    """One model in the order of the layout, what counts 0 flushed."""
    by_place = unary[plan.node]
    clamped = np.isinf(by_place)
    own = np.where(clamped | (np.abs(by_place) < LEAST), np.float32(0), by_place)
    couplings = np.where(np.abs(pairwise) < LEAST, np.float32(0), pairwise)
    # The largest sum of a node has 51 bits, or fewer where so many nodes would overflow.
    pulls = np.abs(own).astype(np.float64)
    for side in range(2):
        pulls += np.bincount(plan.ends[:, side], np.abs(couplings), minlength=len(own))
    _, exponent = np.frexp(max(float(pulls.max()), 2.0**-55))
    spare = max(int(len(own) - 1).bit_length() - 11, 0)
    return Potentials(
        unary=own,
        clamp=np.where(clamped, by_place, np.float32(0)),
        pairwise=couplings[plan.edge],
        per_energy=2.0 ** (50 - spare - int(exponent)),
    )


def packed(plan: Layout, masks: Bool[np.ndarray, "chains nodes"]) -> UInt[np.ndarray, " nodes"]:
    """The states of at most 32 chains as words, in the order of the layout."""
    bits = masks[:, plan.node].astype(np.uint32) << np.arange(len(masks), dtype=np.uint32)[:, None]
    return np.bitwise_or.reduce(bits, axis=0)


def unpack(
    plan: Layout, words: UInt[np.ndarray, " nodes"], masks: Bool[np.ndarray, "chains nodes"]
) -> None:
    """Writes the state of every chain, nodes by number."""
    bits = words >> np.arange(len(masks), dtype=np.uint32)[:, None]
    masks[:, plan.node] = (bits & np.uint32(1)).astype(bool)

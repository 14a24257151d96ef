"""Gibbs sampling: one chain and 32 chains against samplers that change one spin at a time.

All do the same number of sweeps of the same instance at one fixed temperature. A sampler is run
several times; its fastest run counts, and the last states of all its runs must come from the
distribution that ours come from.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

import mrfmask as mm
from bench.instances import (
    NOT_INSTALLED,
    best_of,
    checkerboard,
    instance,
    loops,
    torch_fields,
    version_of,
)
from mrfmask import _native

BETA = 0.6
RUNS = 4  # the first one compiles and is not timed

# Given a seed, what a run took in seconds and its last states (chains, height, width) bool.
Run = Callable[[int], tuple[float, torch.Tensor]]


def timed(run: Callable[[], object]) -> tuple[float, object]:
    """What a run took, and what it returned."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def costs(model: mm.IsingGrid | mm.IsingGraph) -> tuple[dict, dict]:
    """Coefficients of the energy: {pixel: of its spin}, {(pixel, pixel): of their product}."""
    linear = enumerate((-model.unary.flatten()).tolist())
    pairs = map(tuple, model.edges.tolist())
    return dict(linear), dict(zip(pairs, (-model.pairwise[0]).tolist(), strict=True))


def states(sample_set, model: mm.IsingGrid | mm.IsingGraph) -> torch.Tensor:
    """The masks in a dimod sample set, whatever the order of its columns."""
    order = np.argsort(np.asarray(sample_set.variables))
    on = sample_set.record.sample[:, order] > 0
    return torch.from_numpy(on).reshape(-1, *model.shape[1:])


def dwave(model: mm.IsingGrid | mm.IsingGraph, chains: int, sweeps: int, criterion: str) -> Run:
    """Annealing at one temperature, a read a chain; by its own clock, which leaves out building."""
    import dimod
    from dwave.samplers import SimulatedAnnealingSampler

    bqm = dimod.BinaryQuadraticModel(*costs(model), 0.0, "SPIN")
    sampler = SimulatedAnnealingSampler()

    def run(seed: int) -> tuple[float, torch.Tensor]:
        result = sampler.sample(
            bqm,
            beta_schedule_type="custom",
            beta_schedule=[BETA],
            num_sweeps_per_beta=sweeps,
            num_reads=chains,
            seed=seed + 1,
            proposal_acceptance_criteria=criterion,
        )
        return result.info["timing"]["sampling_ns"] * 1e-9, states(result, model)

    return run


def openjij_metropolis(model: mm.IsingGrid, chains: int, sweeps: int) -> Run:
    """SASampler on a sparse model, its fastest; by its own clock as well."""
    import openjij

    bqm = openjij.BinaryQuadraticModel(*costs(model), 0.0, "SPIN", sparse=True)
    sampler = openjij.SASampler()

    def run(seed: int) -> tuple[float, torch.Tensor]:
        # One call a chain: the reads of one call start from the same seed.
        results = [
            sampler.sample(bqm, schedule=[(BETA, sweeps)], seed=chains * seed + chain)
            for chain in range(chains)
        ]
        seconds = sum(r.info["execution_time"] for r in results) * 1e-6
        return seconds, torch.cat([states(r, model) for r in results])

    return run


def openjij_heat_bath(model: mm.IsingGrid, chains: int, sweeps: int) -> Run:
    """SASampler's polynomial form, the one with a heat bath; by its own clock as well."""
    import openjij

    linear, pairs = costs(model)
    polynomial = {(pixel,): value for pixel, value in linear.items()} | pairs

    def run(seed: int) -> tuple[float, torch.Tensor]:
        result = openjij.SASampler().sample_hubo(
            polynomial,
            "SPIN",
            num_sweeps=sweeps,
            num_reads=chains,
            num_threads=1,
            beta_min=BETA,
            beta_max=BETA,
            updater="HEAT_BATH",
            random_number_engine="XORSHIFT",
            temperature_schedule="LINEAR",
            seed=seed,
        )
        return chains * result.info["execution_time"] * 1e-6, states(result, model)

    return run


def thrml_blocks(model: mm.IsingGrid, chains: int, sweeps: int) -> Run:
    """Two blocks, one a colour; jitted, vmapped over chains, only the last states observed."""
    import jax
    import thrml
    from thrml.models import IsingEBM, IsingSamplingProgram

    colours = checkerboard(model)
    nodes = [thrml.SpinNode() for _ in range(colours[0].numel())]
    edges = [(nodes[i], nodes[j]) for i, j in model.edges.tolist()]
    numbers = (jax.numpy.asarray(t.flatten().numpy()) for t in (model.unary, model.pairwise))
    ebm = IsingEBM(nodes, edges, *numbers, jax.numpy.asarray(BETA))
    blocks = [thrml.Block([nodes[i] for i in c.flatten().nonzero()[:, 0]]) for c in colours]
    program = IsingSamplingProgram(ebm, blocks, clamped_blocks=[])
    schedule = thrml.SamplingSchedule(n_warmup=sweeps, n_samples=1, steps_per_sample=1)

    @jax.jit
    @jax.vmap
    def sample(key, start):
        return thrml.sample_states(key, program, schedule, start, [], [thrml.Block(nodes)])[0]

    def run(seed: int) -> tuple[float, torch.Tensor]:
        *key_starts, key = jax.random.split(jax.random.key(seed), 1 + len(blocks))
        start = [
            jax.random.bernoulli(k, shape=(chains, len(b)))
            for k, b in zip(key_starts, blocks, strict=True)
        ]
        keys = jax.random.split(key, chains)
        jax.block_until_ready((start, keys))
        seconds, result = timed(lambda: jax.block_until_ready(sample(keys, start)))
        return seconds, torch.from_numpy(np.array(result)).reshape(chains, *model.shape[1:])

    return run


def pytorch(model: mm.IsingGrid, chains: int, sweeps: int, compiled: bool) -> Run:
    """Checkerboard half sweeps over a batch of chains."""
    field, colours = torch_fields(model), checkerboard(model)

    def half_sweep(x: torch.Tensor, colour: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        on = draws < torch.sigmoid(2 * BETA * field(x))
        return torch.where(colour, torch.where(on, 1.0, -1.0), x)

    def draw(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return torch.rand(shape, generator=generator, device=model.device)

    if compiled:  # with the draws outside, which is faster than with rand in the compiled code
        half_sweep = torch.compile(half_sweep, dynamic=False)

    @torch.inference_mode()
    def sample(generator: torch.Generator) -> torch.Tensor:
        shape = (chains, *model.shape[1:])
        x = torch.where(draw(shape, generator) < 0.5, 1.0, -1.0)
        for _ in range(sweeps):
            for colour in colours:
                x = half_sweep(x, colour, draw(shape, generator))
        return x > 0

    return lambda seed: timed(lambda: sample(torch.Generator(model.device).manual_seed(seed)))


RIVALS = {
    "dwave-samplers, Gibbs": ("dwave-samplers", partial(dwave, criterion="Gibbs")),
    "dwave-samplers, Metropolis": ("dwave-samplers", partial(dwave, criterion="Metropolis")),
    "thrml": ("thrml", thrml_blocks),
    "OpenJij, heat bath": ("openjij", openjij_heat_bath),
    "OpenJij, Metropolis": ("openjij", openjij_metropolis),
    "PyTorch": ("torch", partial(pytorch, compiled=False)),
    "PyTorch, compiled": ("torch", partial(pytorch, compiled=True)),
}


class Answers:
    """What states of the right distribution look like, by many chains of ours.

    Three numbers of a state are compared: its energy, its magnetisation, and its overlap with the
    marginals (which come from chains of their own, not from the states that are compared).
    """

    def __init__(self, model: mm.IsingGrid | mm.IsingGraph, chains: int) -> None:
        self.model = model

        def sample(seed: int, sweeps: int) -> mm.Samples:
            method = mm.Gibbs(beta=BETA, sweeps=sweeps, burn_in=100, chains=chains, seed=seed)
            return method.sample(model)

        self.marginals = 2 * sample(seed=1001, sweeps=100).mean[0].double() - 1
        self.ours = self._numbers(sample(seed=1002, sweeps=1).masks[0])

    def _numbers(self, masks: torch.Tensor) -> torch.Tensor:
        """(states, 3) float64."""
        energies = torch.cat([self.model.energy(mask[None]) for mask in masks])
        spins = 2.0 * masks - 1
        overlap = (spins * self.marginals).flatten(1).sum(dim=1)
        magnetisation = spins.double().flatten(1).sum(dim=1)
        return torch.stack([energies.double(), magnetisation, overlap], dim=1)

    def standard_errors(self, masks: torch.Tensor) -> dict[str, float]:
        """How far the means of these states are from ours, in standard errors of one chain."""
        theirs = self._numbers(masks)
        error = self.ours.std(dim=0) * (1 / len(theirs) + 1 / len(self.ours)) ** 0.5
        away = (theirs.mean(dim=0) - self.ours.mean(dim=0)) / error
        names = ("energy", "magnetisation", "overlap_with_marginals")
        return dict(zip(names, away.tolist(), strict=True))


def compare(height: int, width: int, chains: int, sweeps: int) -> dict:
    """One work: updates per nanosecond of everybody, and how the answers compare."""
    model = instance(height, width, 0.5)
    updates = height * width * chains * sweeps

    def rate(kept: int = sweeps, repeats: int = 10) -> float:
        method = mm.Gibbs(beta=BETA, sweeps=kept, burn_in=sweeps - kept, chains=chains, seed=1)
        return updates / best_of(repeats, lambda: method.sample(model)) * 1e-9

    case = {"updates_per_ns": rate(), "burn_in_updates_per_ns": rate(kept=1), "loops": {}}
    for isa in _native.isas():
        with loops(isa):
            case["loops"][isa] = rate(repeats=3)
    answers = Answers(model, chains=256 if height * width < 10**5 else 32)
    case["rivals"] = {}
    for name, (distribution, make) in RIVALS.items():
        if version_of(distribution) == NOT_INSTALLED:
            case["rivals"][name] = NOT_INSTALLED
            continue
        run = make(model, chains, sweeps)
        seconds, masks = zip(*(run(seed) for seed in range(RUNS)), strict=True)
        away = answers.standard_errors(torch.cat(masks))
        assert max(map(abs, away.values())) < 7, (name, away)
        theirs = updates / min(seconds[1:]) * 1e-9
        case["rivals"][name] = {
            "updates_per_ns": theirs,
            "times_faster": case["updates_per_ns"] / theirs,
            "standard_errors_away": away,
        }
    return case


def run() -> dict[str, dict]:
    """All works."""
    return {
        "100x100": compare(100, 100, chains=1, sweeps=1000),
        "375x1242": compare(375, 1242, chains=1, sweeps=50),
        "100x100, 32 chains": compare(100, 100, chains=32, sweeps=100),
    }

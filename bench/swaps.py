"""Kawasaki moves a second on one core, against NumPy that moves many chains at once.

No sampler of the peers keeps the number of pixels on; this one in NumPy does the same moves, one of
each chain at a time, from float32 fields and NumPy's own draws. Both must arrive at the same mean
energy. Writes bench/results/swaps.json and prints its table.

    python -m bench.swaps
"""

from __future__ import annotations

import datetime
import json
import os
import time
from pathlib import Path

import numpy as np

import mrfmask as mm
from bench.instances import instance, use_cores
from bench.path import least_cpu_seconds
from bench.peers import processor

RESULTS = Path(__file__).parent / "results" / "swaps.json"
# With as many chains for NumPy as make its calls cheap, or as a gigabyte holds.
SIZES = ((100, 100, 1000), (375, 1242, 100))
SHARES = (0.01, 0.05, 0.5)
COUPLING = 0.5
NUMPY_MOVES = 300


class NumpyChains:
    """Chains of one image: lists of pixels on and off, an exchange of each by heat bath."""

    def __init__(self, model: mm.IsingGrid, count: int, chains: int) -> None:
        _, height, width = model.shape
        self.random = np.random.default_rng(0)
        self.rows, self.width = np.arange(chains), width
        self.unary = model.unary[0].numpy().ravel()
        # Of every pixel: the coupling to the right, left, down and up, 0 where there is none.
        right = np.pad(model.right[0].numpy(), ((0, 0), (1, 1)))
        down = np.pad(model.down[0].numpy(), ((1, 1), (0, 0)))
        sides = (right[:, 1:], right[:, :-1], down[1:], down[:-1])
        self.couplings = np.stack([side.ravel() for side in sides])
        pixels = height * width
        places = np.tile(np.arange(pixels, dtype=np.int32), (chains, 1))
        shuffled = self.random.permuted(places, axis=1, out=places)
        self.on, self.off = shuffled[:, :count].copy(), shuffled[:, count:].copy()
        self.spins = np.full((chains, pixels + 2 * width), -1, dtype=np.int8)
        self.spins[self.rows[:, None], self.on + width] = 1

    def field(self, pixel: np.ndarray) -> np.ndarray:
        """Local field of one pixel of each chain."""
        at = pixel + self.width
        total = self.unary[pixel]
        for coupling, step in zip(self.couplings, (1, -1, self.width, -self.width), strict=True):
            total = total + coupling[pixel] * self.spins[self.rows, at + step]
        return total

    def move(self) -> None:
        """One move of each chain."""
        chains = len(self.rows)
        first = self.random.integers(self.on.shape[1], size=chains)
        second = self.random.integers(self.off.shape[1], size=chains)
        i, j = self.on[self.rows, first], self.off[self.rows, second]
        self.spins[self.rows, i + self.width] = self.spins[self.rows, j + self.width] = 0
        odds = 2 * (self.field(j) - self.field(i))
        moves = self.random.random(chains) < 1 / (1 + np.exp(-odds))
        self.spins[self.rows, i + self.width] = np.where(moves, -1, 1)
        self.spins[self.rows, j + self.width] = np.where(moves, 1, -1)
        self.on[self.rows, first] = np.where(moves, j, i)
        self.off[self.rows, second] = np.where(moves, i, j)


def compare(height: int, width: int, numpy_chains: int, share: float) -> dict:
    """Nanoseconds a move, of sweeps that are counted and traced."""
    model, pixels = instance(height, width, COUPLING), height * width
    sweeps = 4_000_000 // pixels
    samples = mm.sample(model, budget=share, sweeps=sweeps, burn_in=0)
    seconds = least_cpu_seconds(5, lambda: mm.sample(model, budget=share, sweeps=sweeps, burn_in=0))
    chains = NumpyChains(model, round(share * pixels), numpy_chains)
    start = time.thread_time()
    for _ in range(NUMPY_MOVES):
        chains.move()
    numpy_seconds = time.thread_time() - start
    return {
        "ns_per_move": seconds / (sweeps * pixels) * 1e9,
        "ns_per_move_numpy": numpy_seconds / (NUMPY_MOVES * numpy_chains) * 1e9,
        "numpy_chains": numpy_chains,
        "exchanged": samples.stats["exchanged"].item(),
    }


def check_energies() -> None:
    """Raises unless both have the same mean energy on a small grid, within five errors."""
    model, chains = instance(8, 8, COUPLING), 2000
    other = NumpyChains(model, 10, chains)
    for _ in range(64 * 20):
        other.move()
    masks = other.spins[:, 8:-8].reshape(1, chains, 8, 8) > 0
    theirs = model.energy(model.unary.new_tensor(masks).bool())
    ours = mm.sample(model, budget=10, sweeps=1, burn_in=20, chains=chains).energies[..., 0]
    error = (theirs.var() / chains + ours.var() / chains).sqrt()
    if (theirs.mean() - ours.mean()).abs() > 5 * error:
        raise RuntimeError(f"mean energies must agree; got {ours.mean()} and {theirs.mean()}.")


def table(cases: dict[str, dict]) -> str:
    """Markdown."""
    rows = [
        f"| {name} | {case['ns_per_move']:.1f} ns | {case['ns_per_move_numpy']:.0f} ns "
        f"({case['ns_per_move_numpy'] / case['ns_per_move']:.1f}) | {case['exchanged']:.2f} |"
        for name, case in cases.items()
    ]
    head = "| a move | mrfmask | NumPy, many chains at once | share that exchanges |"
    return "\n".join([head, "|---" * 4 + "|", *rows])


def main() -> None:
    """Runs everything, writes the results, prints the table."""
    use_cores(1)
    check_energies()
    cases = {
        f"{height}x{width}, {share:.0%} on": compare(height, width, numpy_chains, share)
        for height, width, numpy_chains in SIZES
        for share in SHARES
    }
    machine = {
        "processor": processor(),
        "cores": 1,
        "load": round(os.getloadavg()[0], 1),  # others share the caches
        "date": datetime.date.today().isoformat(),
    }
    RESULTS.write_text(json.dumps({"machine": machine, "swaps": cases}, indent=1) + "\n")
    print(table(cases))


if __name__ == "__main__":
    main()

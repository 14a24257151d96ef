"""Gibbs sweeps on a CUDA device: which kernels run in which order (docs/cuda.md)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from mrfmask import _native
from mrfmask.cuda import Launcher

PIXEL_THREADS = 256
PACK_THREADS = 128
# Kept sweeps that a byte can count.
MOST_TALLIED = 255
# Bytes for the states of kept sweeps of many chains, before they are counted.
HISTORY_BYTES = 2**28
FLOAT4, UINT2 = 16, 8  # bytes
RUNS = 12  # of packed potentials an image, kRuns in packed_images.h


class Kind(IntEnum):
    """The kinds of kernels, as in launch.h."""

    HALF_SWEEPS = 0
    RESIDENT = 1
    TILES = 2
    CHAINS = 3


@dataclass(frozen=True)
class Plan:
    """How a run is launched: see launch.h."""

    kind: Kind
    octets: int
    threads: int
    shared_bytes: int
    tile_rows: int
    tile_blocks: int
    sweeps: int

    def tiling(self, height: int, width: int, sweeps: int) -> tuple[int, int, int]:
        """Tiles of an image, and the halo's rows and column blocks for so many sweeps."""
        across = -(-blocks_of(width) // self.tile_blocks)
        down = -(-height // self.tile_rows)
        return across * down, 2 * sweeps if down > 1 else 0, 1 if across > 1 else 0


def blocks_of(width: int) -> int:
    """Column blocks of 16 pixels."""
    return -(-width // 16)


def octets_of(height: int, width: int) -> int:
    """Octets of a whole image with its two empty rows (octets.h)."""
    return ((height + 1) // 2 * 2 + 2) * blocks_of(width)


def log2_odds_rates(beta: Tensor) -> Tensor:
    """``2 beta / ln 2`` in float32, limited as in grid.h."""
    return (2.0 * beta.to(torch.float64) * 1.4426950408889634).clamp(max=2.0**100).float()


def energy_units(unary: Tensor, right: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
    """Units in an energy of 1 (float32) and the energy of one unit (float64), as energy_units.h."""
    images, height, width = unary.shape
    largest = torch.full((images,), 2.0**-55, device=unary.device)
    for potentials in (unary, right, down):
        if potentials[0:1].numel():
            finite = torch.where(torch.isinf(potentials), 0.0, potentials.abs())
            largest = torch.maximum(largest, finite.flatten(1).amax(dim=1))
    exponent = torch.frexp(largest).exponent.to(torch.int64) - 1
    spare = max((height * width - 1).bit_length() - 11, 0)
    unit = exponent + 4 - 51 + spare
    one = torch.ones(images, dtype=torch.float64, device=unary.device)
    return torch.ldexp(one, -unit).float(), torch.ldexp(one, unit)


class GibbsRun:
    """One call of the operator `gibbs` on a device; `run()` gives what the operator returns."""

    def __init__(
        self,
        launcher: Launcher,
        unary: Tensor,
        right: Tensor,
        down: Tensor,
        periodic: bool,
        beta: Tensor,
        seed: Tensor,
        start: Tensor | None,
        chains: int,
        burn_in: int,
        sweep_offset: Tensor,
        keep_best: bool,
        keep_pairs: bool,
    ) -> None:
        device = unary.device
        self.launcher = launcher
        self.images, self.height, self.width = unary.shape
        self.chains, self.burn_in = chains, burn_in
        self.total = beta.shape[1]
        self.potentials = tuple(t.contiguous() for t in (unary, right, down))
        self.rates = log2_odds_rates(beta).to(device).contiguous()
        self.seed = seed.to(device).contiguous()
        self.offset = sweep_offset.to(device)
        self.periodic, self.given = periodic, start is not None
        self.units, self.unit_energy = energy_units(unary, right, down)
        shape = (self.images, chains, self.height, self.width)
        self.masks = (
            torch.zeros(shape, dtype=torch.bool, device=device)
            if start is None
            else start.to(device).clone(memory_format=torch.contiguous_format)
        )
        self.counts = torch.zeros(shape, dtype=torch.int32, device=device)
        kept = (self.images, chains, self.total - burn_in)
        self.energies = torch.zeros(kept, dtype=torch.int64, device=device)
        self.best = torch.zeros(
            shape if keep_best else (0, *shape[1:]), dtype=torch.bool, device=device
        )
        self.best_energy = torch.zeros(shape[:2], dtype=torch.int64, device=device)
        pairs = self.images if keep_pairs else 0
        self.right_equal = torch.zeros(pairs, *right.shape[1:], dtype=torch.int64, device=device)
        self.down_equal = torch.zeros(pairs, *down.shape[1:], dtype=torch.int64, device=device)
        self.keep_best, self.keep_pairs = keep_best, keep_pairs
        one_temperature = bool((beta == beta[:, :1]).all())
        kind, *numbers = _native.plan_gibbs(
            self.height,
            self.width,
            periodic,
            self.items,
            launcher.multiprocessors,
            launcher.shared_bytes,
            chains,
            one_temperature,
            keep_best,
            keep_pairs,
        )
        self.plan = Plan(Kind(kind), *numbers)

    @property
    def items(self) -> int:
        """Chains of all images."""
        return self.images * self.chains

    @property
    def shape(self) -> tuple[np.int32, np.int32, np.int32, np.int32]:
        """What most kernels take after the potentials."""
        return tuple(np.int32(n) for n in (self.height, self.width, self.periodic, self.chains))

    def run(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Does all sweeps; masks, counts, energies, best masks and counts of equal neighbours."""
        height, width, _, chains = self.shape
        self._pixels(
            "gibbs_start",
            self.items,
            self.potentials[0],
            height,
            width,
            chains,
            self.seed,
            np.int32(self.given),
            self.masks,
        )
        {
            Kind.HALF_SWEEPS: self._half_sweeps,
            Kind.RESIDENT: self._resident,
            Kind.TILES: self._tiles,
            Kind.CHAINS: self._many_chains,
        }[self.plan.kind]()
        energies = self.energies * self.unit_energy[:, None, None]
        return self.masks, self.counts, energies, self.best, self.right_equal, self.down_equal

    def _pixels(self, kernel: str, items: int, *arguments, shared_bytes: int = 0) -> None:
        """A kernel with a thread a pixel of every item."""
        blocks = -(-self.height * self.width // PIXEL_THREADS) * items
        self.launcher.launch(kernel, blocks, PIXEL_THREADS, shared_bytes, *arguments)

    def _sweep_arguments(self, first: int, sweeps: int) -> tuple:
        return (
            self.rates,
            np.int32(self.total),
            self.seed,
            self.offset,
            np.int32(self.burn_in),
            np.int32(first),
            np.int32(sweeps),
        )

    def _half_sweeps(self) -> None:
        parts = -(-self.height * self.width // PIXEL_THREADS)
        partial = torch.empty(self.items * parts, dtype=torch.int64, device=self.masks.device)
        odd = (self.width > 1 and self.width % 2) or (self.height > 1 and self.height % 2)
        colours = 3 if self.periodic and odd else 2
        for sweep in range(self.total):
            for colour in range(colours):
                self._pixels(
                    "gibbs_half_sweep",
                    self.items,
                    *self.potentials,
                    *self.shape,
                    self.rates,
                    np.int32(self.total),
                    self.seed,
                    self.offset,
                    np.int32(sweep),
                    np.int32(colour),
                    self.masks,
                )
            if sweep < self.burn_in:
                continue
            kept = sweep - self.burn_in
            states = np.int64(self.masks.numel())
            blocks = -(-self.masks.numel() // PIXEL_THREADS)
            self.launcher.launch(
                "gibbs_count", blocks, PIXEL_THREADS, 0, self.masks, states, self.counts
            )
            self._pixels(
                "gibbs_energy",
                self.items,
                *self.potentials,
                *self.shape,
                self.units,
                self.masks,
                partial,
                shared_bytes=32 * 8,
            )
            self._sum_energies(partial, parts, 1, kept)
            self._after_kept(kept)

    def _sum_energies(self, partial: Tensor, parts: int, columns: int, first_column: int) -> None:
        numbers = (parts, columns, self.energies.shape[2], first_column)
        self.launcher.launch(
            "gibbs_sum_energy",
            self.items * columns,
            32,
            0,
            partial,
            *(np.int32(n) for n in numbers),
            self.energies,
        )

    def _after_kept(self, kept: int) -> None:
        """What only single states can tell: equal neighbours, and the best state so far."""
        height, width, periodic, chains = self.shape
        if self.keep_pairs:
            self._pixels(
                "gibbs_count_equal",
                self.images,
                self.masks,
                height,
                width,
                periodic,
                chains,
                self.right_equal,
                self.down_equal,
            )
        if not self.keep_best:
            return
        numbers = (np.int32(self.energies.shape[2]), np.int32(kept))
        self._pixels(
            "gibbs_keep_best",
            self.items,
            self.masks,
            self.energies,
            self.best_energy,
            np.int32(self.height * self.width),
            *numbers,
            self.best,
        )
        self.launcher.launch(
            "gibbs_note_best",
            -(-self.items // 32),
            32,
            0,
            self.energies,
            np.int64(self.items),
            *numbers,
            self.best_energy,
        )

    def _resident(self) -> None:
        self.launcher.launch(
            f"gibbs_resident_{self.plan.octets}",
            self.items,
            self.plan.threads,
            self.plan.shared_bytes,
            *self.potentials,
            *self.shape,
            *self._sweep_arguments(0, self.total),
            self.units,
            self.masks,
            self.counts,
            self.energies,
            self.best if self.keep_best else None,
            self.best_energy,
        )

    def _many_chains(self) -> None:
        height, width, periodic, chains = self.shape
        device, octets = self.masks.device, octets_of(self.height, self.width)
        entries = self.images * octets * 16
        unaries = torch.empty(entries, device=device)
        fields = torch.empty(16 * entries, device=device)
        bars = torch.empty(16 * entries, dtype=torch.uint16, device=device)
        self.launcher.launch(
            "chain_tables_build",
            self.images * octets,
            256,
            0,
            *self.potentials,
            height,
            width,
            periodic,
            self.rates,
            np.int32(self.total),
            unaries,
            fields,
            bars,
        )
        groups = self.images * -(-self.chains // 32)
        most = min(MOST_TALLIED, max(HISTORY_BYTES // (groups * octets * 64), 1))
        history = torch.empty(groups * most * octets * 64, dtype=torch.uint8, device=device)
        first = 0
        while first < self.total:
            sweeps = self.burn_in if first < self.burn_in else min(most, self.total - first)
            kept = max(first + sweeps - max(first, self.burn_in), 0)
            self.launcher.launch(
                f"gibbs_chains_{self.plan.octets}",
                groups,
                self.plan.threads,
                self.plan.shared_bytes,
                self.potentials[0],
                *self.shape,
                *self._sweep_arguments(first, sweeps),
                unaries,
                fields,
                bars,
                self.units,
                self.masks,
                self.energies,
                history,
            )
            first += sweeps
            if kept:
                self.launcher.launch(
                    "gibbs_count_chains",
                    -(-groups * 2 * octets // 4),
                    128,
                    0,
                    history,
                    height,
                    width,
                    chains,
                    np.int32(self.images),
                    np.int32(kept),
                    self.counts,
                )

    def _tiles(self) -> None:
        height, width, periodic, _ = self.shape
        device, octets = self.masks.device, octets_of(self.height, self.width)

        def memory(count: int, size: int) -> Tensor:
            return torch.zeros(count * size, dtype=torch.uint8, device=device)

        packed = memory(self.images * RUNS * octets, FLOAT4)
        given = memory(self.images * 2 * octets, 1)
        states, others, tally = (memory(self.items * 2 * octets, UINT2) for _ in range(3))
        blocks = -(-2 * octets // PACK_THREADS)
        self.launcher.launch(
            "pack_potentials",
            blocks * self.images,
            PACK_THREADS,
            0,
            *self.potentials,
            height,
            width,
            periodic,
            np.int32(0),
            packed,
            given,
        )
        self.launcher.launch(
            "pack_states", blocks * self.items, PACK_THREADS, 0, self.masks, height, width, states
        )
        first = tallied = 0
        each = self.keep_best or self.keep_pairs
        while first < self.total:
            sweeps = min(self.plan.sweeps, self.total - first)
            kept = max(first + sweeps - max(first, self.burn_in), 0)
            tiles, halo_rows, halo_blocks = self.plan.tiling(self.height, self.width, sweeps)
            partial = torch.empty(self.items * tiles * kept, dtype=torch.int64, device=device)
            tiling = (self.plan.tile_rows, self.plan.tile_blocks, halo_rows, halo_blocks)
            self.launcher.launch(
                f"gibbs_tiles_{self.plan.octets}",
                self.items * tiles,
                self.plan.threads,
                self.plan.shared_bytes,
                packed,
                given,
                *self.shape,
                *self._sweep_arguments(first, sweeps),
                self.units,
                *(np.int32(n) for n in tiling),
                states,
                others,
                tally,
                partial,
            )
            states, others = others, states
            if kept:
                column = max(first, self.burn_in) - self.burn_in
                self._sum_energies(partial, tiles, kept, column)
            first += sweeps
            tallied += kept
            if first < self.total and tallied + self.plan.sweeps <= MOST_TALLIED and not each:
                continue
            self.launcher.launch(
                "unpack_states",
                blocks * self.items,
                PACK_THREADS,
                0,
                states,
                height,
                width,
                self.masks,
                tally,
                self.counts,
            )
            tallied = 0
            if kept and each:
                self._after_kept(first - 1 - self.burn_in)

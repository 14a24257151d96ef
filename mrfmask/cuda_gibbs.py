"""Gibbs sweeps on a CUDA device: which kernels run in which order (docs/cuda.md)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mrfmask import _native
from mrfmask.cuda import Launcher
from mrfmask.cuda_plan import (
    FLOAT4,
    PACK_THREADS,
    PIXEL_THREADS,
    RUNS,
    UINT2,
    Kind,
    Plan,
    energy_units,
    log2_odds_rates,
    octets_of,
)

# Kept sweeps that a byte can count.
MOST_TALLIED = 255
# Bytes for the states of kept sweeps of many chains, before they are counted.
HISTORY_BYTES = 2**28


class GibbsRun:
    """One call of the operator `gibbs` on a device; `run()` gives what the operator returns.

    Nothing here waits for the device or copies to it, so that a CUDA graph can hold a call: what is
    decided on the host follows from shapes and numbers, and all tensors are on the device.
    """

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
        sweeps: int,
        sweep_offset: Tensor,
        keep_best: bool,
        keep_pairs: bool,
    ) -> None:
        device = unary.device
        self.launcher = launcher
        self.images, self.height, self.width = unary.shape
        self.chains, self.burn_in = chains, burn_in
        self.total = burn_in + sweeps
        self.potentials = tuple(t.contiguous() for t in (unary, right, down))
        self.rates = log2_odds_rates(beta).expand(self.images, self.total).contiguous()
        self.seed, self.offset = seed.contiguous(), sweep_offset
        self.periodic, self.given = periodic, start is not None
        self.units, self.unit_energy = energy_units(unary, right, down)
        shape = (self.images, chains, self.height, self.width)
        self.masks = (
            torch.zeros(shape, dtype=torch.bool, device=device)
            if start is None
            else start.clone(memory_format=torch.contiguous_format)
        )
        self.counts = torch.zeros(shape, dtype=torch.int32, device=device)
        self.energies = torch.zeros((self.images, chains, sweeps), dtype=torch.int64, device=device)
        self.best = torch.zeros(
            shape if keep_best else (0, *shape[1:]), dtype=torch.bool, device=device
        )
        self.best_energy = torch.zeros(shape[:2], dtype=torch.int64, device=device)
        pairs = self.images if keep_pairs else 0
        self.right_equal = torch.zeros(pairs, *right.shape[1:], dtype=torch.int64, device=device)
        self.down_equal = torch.zeros(pairs, *down.shape[1:], dtype=torch.int64, device=device)
        self.keep_best, self.keep_pairs = keep_best, keep_pairs
        kind, *numbers = _native.plan_gibbs(
            self.height,
            self.width,
            periodic,
            self.items,
            launcher.multiprocessors,
            launcher.shared_bytes,
            chains,
            beta.shape[1] == 1,
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

    @property
    def colours(self) -> int:
        """Launches of a sweep, where there is one a colour."""
        odd = (self.width > 1 and self.width % 2) or (self.height > 1 and self.height % 2)
        return 3 if self.periodic and odd else 2

    def _colour(self, *arguments) -> None:
        self._pixels("gibbs_half_sweep", self.items, *self.potentials, *arguments)

    def _half_sweeps(self) -> None:
        for sweep in range(self.total):
            for colour in range(self.colours):
                self._colour(
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
            self._energy(kept)
            self._after_kept(kept)

    def _energy(self, kept: int) -> None:
        """Notes the energy of the states after a kept sweep."""
        parts = -(-self.height * self.width // PIXEL_THREADS)
        partial = torch.empty(self.items * parts, dtype=torch.int64, device=self.masks.device)
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

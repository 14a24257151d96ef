"""Mean-field sweeps on a CUDA device: which kernels run in which order (docs/cuda.md)."""

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
    Kind,
    Plan,
    log2_odds_rates,
    octets_of,
)

# Launches between two looks at whether all images are done: each look waits for the device.
LAUNCHES_A_LOOK = 8


class MeanFieldRun:
    """One call of the operator `mean_field` on a device; `run()` gives what it returns.

    A CUDA graph can hold a call: it then has the launches of `max_sweeps` sweeps, of which those
    after convergence change nothing.
    """

    def __init__(
        self,
        launcher: Launcher,
        unary: Tensor,
        right: Tensor,
        down: Tensor,
        periodic: bool,
        beta: Tensor,
        start: Tensor | None,
        max_sweeps: int,
        tolerance: float,
    ) -> None:
        device = unary.device
        self.launcher = launcher
        self.images, self.height, self.width = unary.shape
        self.potentials = tuple(t.contiguous() for t in (unary, right, down))
        self.periodic = periodic
        self.rates = log2_odds_rates(beta).contiguous()
        self.given = start is not None
        self.mean = torch.zeros_like(unary) if start is None else start.clone()
        self.mean = self.mean.contiguous()
        self.sweeps = torch.zeros(self.images, dtype=torch.int64, device=device)
        self.change = torch.zeros(self.images, device=device)
        self.limits = (np.int64(max_sweeps), np.float32(tolerance))
        kind, *numbers = _native.plan_mean_field(
            self.height,
            self.width,
            periodic,
            self.images,
            launcher.multiprocessors,
            launcher.shared_bytes,
        )
        self.plan = Plan(Kind(kind), *numbers)

    @property
    def shape(self) -> tuple[np.int32, np.int32, np.int32]:
        """What most kernels take after the potentials."""
        return np.int32(self.height), np.int32(self.width), np.int32(self.periodic)

    def run(self) -> tuple[Tensor, Tensor, Tensor]:
        """Sweeps until every image is done; means, sweeps done and the last change of each."""
        height, width, _ = self.shape
        self._pixels(
            "mean_field_start",
            self.potentials[0],
            height,
            width,
            self.rates,
            np.int32(self.given),
            self.mean,
            self.sweeps,
            self.change,
        )
        {
            Kind.HALF_SWEEPS: self._half_sweeps,
            Kind.RESIDENT: self._resident,
            Kind.TILES: self._tiles,
        }[self.plan.kind]()
        return self.mean, self.sweeps, self.change

    def _pixels(self, kernel: str, *arguments) -> None:
        blocks = -(-self.height * self.width // PIXEL_THREADS) * self.images
        self.launcher.launch(kernel, blocks, PIXEL_THREADS, 0, *arguments)

    @property
    def colours(self) -> int:
        """Launches of a sweep, where there is one a colour."""
        odd = (self.width > 1 and self.width % 2) or (self.height > 1 and self.height % 2)
        return 3 if self.periodic and odd else 2

    def _colour(self, *arguments) -> None:
        self._pixels("mean_field_half_sweep", *self.potentials, *self.shape, *arguments)

    def _half_sweeps(self) -> None:
        new_change = torch.zeros(self.images, dtype=torch.int32, device=self.mean.device)
        most, tolerance = self.limits
        for sweep in range(int(most)):
            if sweep % LAUNCHES_A_LOOK == 0 and self._all(~(self.change > float(tolerance))):
                return
            for colour in range(self.colours):
                self._colour(
                    self.rates,
                    *self.limits,
                    self.sweeps,
                    self.change,
                    np.int32(colour),
                    self.mean,
                    new_change,
                )
            self._images("mean_field_note_sweep", self.sweeps, self.change, new_change)

    def _all(self, done: Tensor) -> bool:
        """Whether all images are done; nobody can tell while a CUDA graph is being captured."""
        return not self.launcher.capturing() and bool(done.all())

    def _images(self, kernel: str, *arguments) -> None:
        """A kernel with a thread an image, which takes the limits first."""
        images = np.int64(self.images)
        blocks = -(-self.images // 32)
        self.launcher.launch(kernel, blocks, 32, 0, images, *self.limits, *arguments)

    def _resident(self) -> None:
        self.launcher.launch(
            f"mean_field_resident_{self.plan.octets}",
            self.images,
            self.plan.threads,
            self.plan.shared_bytes,
            *self.potentials,
            *self.shape,
            self.rates,
            *self.limits,
            self.limits[0],
            self.mean,
            self.sweeps,
            self.change,
        )

    def _tiles(self) -> None:
        height, width, periodic = self.shape
        device, octets = self.mean.device, octets_of(self.height, self.width)
        sweeps = self.plan.sweeps
        packed = torch.empty(self.images * RUNS * octets * FLOAT4, dtype=torch.uint8, device=device)
        given = torch.empty(self.images * 2 * octets, dtype=torch.uint8, device=device)
        means = [torch.zeros(self.images * 16 * octets, device=device) for _ in range(2)]
        todo = torch.zeros(self.images, dtype=torch.int32, device=device)
        which = torch.zeros_like(todo)
        changes = torch.zeros(self.images * sweeps, dtype=torch.int32, device=device)
        blocks = -(-2 * octets // PACK_THREADS) * self.images
        self.launcher.launch(
            "pack_potentials",
            blocks,
            PACK_THREADS,
            0,
            *self.potentials,
            height,
            width,
            periodic,
            np.int32(1),
            packed,
            given,
        )
        self.launcher.launch(
            "pack_means", blocks, PACK_THREADS, 0, self.mean, height, width, means[0]
        )
        count = np.int32(sweeps)
        state = (todo, which, changes)
        self._images("mean_field_begin_tiles", count, self.sweeps, self.change, *state)
        tiles, halo_rows, halo_blocks = self.plan.tiling(self.height, self.width, sweeps)
        tiling = (self.plan.tile_rows, self.plan.tile_blocks, halo_rows, halo_blocks)
        # The launch in which an image converged is done again with just its sweeps.
        for launch in range(-(-int(self.limits[0]) // sweeps) + 1):
            if launch % LAUNCHES_A_LOOK == 0 and self._all(todo == 0):
                break
            self.launcher.launch(
                f"mean_field_tiles_{self.plan.octets}",
                self.images * tiles,
                self.plan.threads,
                self.plan.shared_bytes,
                packed,
                height,
                width,
                periodic,
                self.rates,
                count,
                *(np.int32(n) for n in tiling),
                *means,
                self.sweeps,
                self.change,
                *state,
            )
            self._images("mean_field_end_tiles", count, self.sweeps, self.change, *state)
        self.launcher.launch(
            "unpack_means", blocks, PACK_THREADS, 0, *means, which, height, width, self.mean
        )

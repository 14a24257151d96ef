"""What launches on a CUDA device have in common: plans, sizes and numbers prepared for kernels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from mrfmask.powers_of_two import power_of_two

PIXEL_THREADS = 256
PACK_THREADS = 128
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


# A launch a colour, for what no other kind of kernel takes.
HALF_SWEEPS = Plan(Kind.HALF_SWEEPS, 0, 0, 0, 0, 0, 0)


def blocks_of(width: int) -> int:
    """Column blocks of 16 pixels."""
    return -(-width // 16)


def octets_of(height: int, width: int) -> int:
    """Octets of a whole image with its two empty rows (octets.h)."""
    return ((height + 1) // 2 * 2 + 2) * blocks_of(width)


def log2_odds_rates(beta: Tensor) -> Tensor:
    """``2 beta / ln 2`` in float32, limited as in grid.h."""
    return (2.0 * beta.to(torch.float64) * 1.4426950408889634).clamp(max=2.0**100).float()


def energy_units(unary: Tensor, *couplings: Tensor) -> tuple[Tensor, Tensor]:
    """Units in an energy of 1 (float32) and the energy of one unit (float64), as energy_units.h."""
    images, height, width = unary.shape
    largest = torch.full((images,), 2.0**-55, device=unary.device)
    for potentials in (unary, *couplings):
        if potentials[0:1].numel():
            finite = torch.where(torch.isinf(potentials), 0.0, potentials.abs())
            largest = torch.maximum(largest, finite.flatten(1).amax(dim=1))
    exponent = torch.frexp(largest).exponent.to(torch.int64) - 1
    spare = max((height * width - 1).bit_length() - 11, 0)
    unit = exponent + 4 - 51 + spare
    return power_of_two(-unit).float(), power_of_two(unit)

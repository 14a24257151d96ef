"""What a card allows at most, from instructions, shared memory and bytes (docs/cuda.md)."""

from __future__ import annotations

from dataclasses import dataclass

from mrfmask.cuda_plan import Kind, Plan

# Of a thread for an octet: instructions; and wavefronts in shared memory of its warp, 256 pixels.
# Counted in the machine code for sm_90; the table of docs/cuda.md.
COSTS = {
    "burn_in": (228, 51),
    "kept": (273, 63),
    "chains_burn_in": (200, 15),
    "chains_kept": (269, 24),
    "mean_field": (294, 88),
}
WARP_PIXELS = 256
WARPS_A_CLOCK = 4  # instructions that a multiprocessor issues in a clock, each for a warp


@dataclass(frozen=True)
class Card:
    """What counts of a device."""

    multiprocessors: int
    ghz: float
    copy_gb_per_s: float
    l2_bytes: int


def peak(card: Card, cost: str) -> float:
    """Updates a nanosecond when nothing ever waits, by instructions or shared memory."""
    instructions, wavefronts = COSTS[cost]
    clocks = max(instructions / WARPS_A_CLOCK, wavefronts)
    return card.multiprocessors * card.ghz * WARP_PIXELS / clocks


def bytes_an_update(plan: Plan, sweeps: int, kept: bool, chains: int = 1) -> float:
    """Bytes that must come from memory or go there for one update.

    Potentials are 12 bytes a pixel. Half-sweeps read them twice a sweep, with the states of all
    neighbours; tiles once a launch, with a byte of state read and one written, and as much for the
    tally; a resident image once a run. Chains write the bits of kept sweeps, 8 bytes a pixel of 32
    chains, and read them again.
    """
    if plan.kind == Kind.HALF_SWEEPS:
        return 27.0
    if plan.kind == Kind.TILES:
        return (14.0 + 2.0 * kept) / plan.sweeps
    if plan.kind == Kind.CHAINS:
        return 12.0 / (sweeps * chains) + 0.5 * kept
    return 12.0 / sweeps


def most_updates_per_ns(
    card: Card, plan: Plan, cost: str, pixels: int, sweeps: int, kept: bool, chains: int = 1
) -> float:
    """The lower of both bounds; that of bytes holds only where the potentials outgrow the L2."""
    bound = peak(card, cost)
    if 12 * pixels <= card.l2_bytes:
        return bound
    return min(bound, card.copy_gb_per_s / bytes_an_update(plan, sweeps, kept, chains))

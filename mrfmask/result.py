"""What a method returns: a MAP mask with its bound, marginals, or samples, each with a status."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Status(enum.Enum):
    """How a run ended, for one image. The value is the message for the user."""

    OPTIMAL = "a global minimum; any gap is the rounding that the method states"
    HEURISTIC = "a good mask without proof; the gap says how far it can be from the minimum"
    TIME_LIMIT = "stopped by time_limit_s; mask and bound are the best so far"
    EXACT = "exact up to rounding in float64"
    CONVERGED = "converged to the tolerance"
    SWEEP_LIMIT = "stopped by max_sweeps before convergence; raise max_sweeps or tolerance"
    MIXED = "all sweeps done; R-hat of the energy is at most 1.01"
    UNMIXED = (
        "all sweeps done, but R-hat of the energy is above 1.01, or unknown for under 4 sweeps; "
        "raise burn_in and sweeps"
    )


class Certificate(Protocol):
    """A proof of a lower bound that can be checked without trusting the solver."""

    def proves(
        self,
        model: Any,
        mask: Bool[Tensor, "batch height width"],
        lower_bound: Float[Tensor, " batch"],
    ) -> bool:
        """True if the proof holds for this model, this mask and this bound."""
        ...


# Rounding in float64 sums of a few million terms, relative to their size.
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class MapResult:
    """The best mask that a method found, with what is known about it.

    Attributes:
        mask: (batch, height, width) bool.
        energy: (batch,) float64, recomputed from the mask by the model.
        lower_bound: (batch,) float64; no mask has a lower energy. Never above `energy`.
        status: one Status an image.
        method: name of the method in METHODS.
        reason: why this method, when it was chosen by ``method="auto"``.
        stats: what the method wants to tell: scale, rounding, solver, sweeps, ...
        certificate: a proof of the bound that `verify` can check, where the method has one.
    """

    mask: Bool[Tensor, "batch height width"]
    energy: Float[Tensor, " batch"]
    lower_bound: Float[Tensor, " batch"]
    status: tuple[Status, ...]
    method: str
    reason: str = ""
    stats: Mapping[str, Any] = field(default_factory=dict)
    certificate: Certificate | None = None

    def __post_init__(self) -> None:
        # Two sums of the same terms differ in their last digits. Beyond that, a bound above the
        # energy of a mask is a broken promise and must not pass silently.
        above = False
        pairs = zip(self.lower_bound.tolist(), self.energy.tolist(), strict=True)
        for image, (bound, energy) in enumerate(pairs):
            if bound <= energy:
                continue
            above = True
            if not bound - energy <= ROUNDING * (1.0 + abs(energy)):
                raise RuntimeError(
                    f"lower_bound must not exceed energy; got {bound} and {energy} for image "
                    f"{image} from {self.method}. Please report this as a bug."
                )
        if above:
            object.__setattr__(self, "lower_bound", torch.minimum(self.lower_bound, self.energy))

    @property
    def gap(self) -> Float[Tensor, " batch"]:
        """``energy - lower_bound`` (batch,): the mask is at most this far from the minimum."""
        return self.energy - self.lower_bound

    def verify(self, model: Any) -> bool:
        """Checks the result against the model, independently of the solver.

        Recomputes the energy of the mask, and checks the certificate of the bound where there is
        one (graph_cut: capacities, conservation and cut = flow, in NumPy integers).
        """
        energy = model.energy(self.mask)
        slack = ROUNDING * (1.0 + energy.abs().nan_to_num(posinf=0.0))
        same = (energy == self.energy) | ((energy - self.energy).abs() <= slack)
        if not same.all() or (self.lower_bound > energy + slack).any():
            return False
        return self.certificate is None or self.certificate.proves(
            model, self.mask, self.lower_bound
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Marginals:
    """Probabilities of single pixels and of neighbouring pairs.

    Attributes:
        probability: (batch, height, width), P(pixel on) in [0, 1].
        right: like the model's `right`, E[x_i x_j] in [-1, 1] of the coupled pixels.
        down: like the model's `down`, the same.
        log_partition: (batch,) float64 in nats, or None where the method has no estimate of it.
        kind: "exact"; "lower": log_partition is a lower bound and the probabilities approximate;
            "upper" likewise; "estimate": Monte Carlo.
        status: one Status an image.
        method: name of the method in METHODS.
        stats: what the method wants to tell.
    """

    probability: Float[Tensor, "batch height width"]
    right: Float[Tensor, "batch height width-1"]
    down: Float[Tensor, "batch height-1 width"]
    log_partition: Float[Tensor, " batch"] | None
    kind: Literal["exact", "lower", "upper", "estimate"]
    status: tuple[Status, ...]
    method: str
    stats: Mapping[str, Any] = field(default_factory=dict)

    @property
    def entropy(self) -> Float[Tensor, "batch height width"]:
        """Entropy of each pixel's state in nats, 0 (certain) to log 2 (a fair coin)."""
        return torch.special.entr(self.probability) + torch.special.entr(1 - self.probability)

    @property
    def margin(self) -> Float[Tensor, "batch height width"]:
        """|P(on) - P(off)| of each pixel, 0 (a fair coin) to 1 (certain)."""
        return (2 * self.probability - 1).abs()


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Masks drawn from p(x), and what the sweeps on the way say about their quality.

    Attributes:
        masks: (batch, chains, height, width) bool, the state of each chain after the last sweep.
        mean: (batch, height, width), share of kept sweeps and chains in which a pixel was on.
        counts: (batch, chains, height, width) int32, kept sweeps in which a pixel was on.
        energies: (batch, chains, sweeps) float64, energy after each kept sweep, from float32
            fields: good to about 1e-7 of the sum of all terms. `model.energy(masks)` is exact.
        r_hat: (batch,) split R-hat of the energy; near 1 when chains agree.
        effective_sample_size: (batch,) of the energy over all chains.
        status: one Status an image.
        method: name of the method in METHODS.
        next_sweep: pass it as `sweep_offset`, and `masks` as `start`, to go on exactly.
        stats: what the method wants to tell.
    """

    masks: Bool[Tensor, "batch chains height width"]
    mean: Float[Tensor, "batch height width"]
    counts: Int[Tensor, "batch chains height width"]
    energies: Float[Tensor, "batch chains sweeps"]
    r_hat: Float[Tensor, " batch"]
    effective_sample_size: Float[Tensor, " batch"]
    status: tuple[Status, ...]
    method: str
    next_sweep: int
    stats: Mapping[str, Any] = field(default_factory=dict)

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
    COALESCED = "perfect samples: all chains have coalesced from the past; in float32"
    NOT_COALESCED = (
        "some chains have not coalesced within max_sweeps, and are mere Gibbs chains; stats say "
        "which; raise max_sweeps or lower beta"
    )
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


class PathCertificate(Protocol):
    """What checks a path of masks without trusting the solver."""

    def proves(self, model: Any, path: BudgetPath, cuts: int) -> bool:
        """True if the path is right for this model, `cuts` of its breakpoints by cuts of theirs."""
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
class BudgetPath:
    r"""The best masks for all prices of a pixel: the minima of ``E(x) + penalty * (pixels on)``.

    There are finitely many, nested, and numbered from 0, where only the pixels clamped on are on,
    by falling penalty. Mask m is optimal for penalties from ``penalty[b][m + 1]`` to
    ``penalty[b][m]``. Images have different numbers of masks: what goes by mask is a tuple with one
    tensor an image. Each (count, energy) is a vertex of the lower convex envelope of ``f(k)``, the
    least energy of a mask with k pixels on, and the envelope is a lower bound for every k.

    Penalties, order and blocks are exact for the potentials rounded to integers of one scale an
    image (`stats`: exponent, rounding); energies are those of the model itself, so a mask may miss
    the minimum of energy + penalty * count by up to twice `stats["rounding"]`, and the lower bounds
    account for it.

    Attributes:
        penalty: per image (masks,) float64, the largest at which each mask is optimal; not
            increasing, +inf first. Energy per pixel.
        count: per image (masks,) int64, pixels on, those clamped on included; increasing.
        energy: per image (masks,) float64, from the model's potentials.
        lower_bound: per image (masks,) float64; no mask with as many pixels on has less energy.
        entry: (batch, height, width) float64, the penalty below which each pixel is on: +inf
            clamped on, -inf clamped off. Bit for bit equal where `order` is.
        order: (batch, height, width) int32, number of the first mask that has the pixel on; for
            pixels clamped off the number of masks.
        block: (batch, height, width) int32, connected components, by couplings that are not 0, of
            equal order, numbered from 0 in reading order; -1 for clamped pixels.
        stats: exponent (batch,) of the scale, rounding (batch,) in energy.
        certificate: what `verify` checks the path with.

    Reference:
        Gallo, Grigoriadis and Tarjan, "A fast parametric maximum flow algorithm and applications",
        SIAM J. Comput. 1989.
    """

    penalty: tuple[Float[Tensor, " masks"], ...]
    count: tuple[Int[Tensor, " masks"], ...]
    energy: tuple[Float[Tensor, " masks"], ...]
    lower_bound: tuple[Float[Tensor, " masks"], ...]
    entry: Float[Tensor, "batch height width"]
    order: Int[Tensor, "batch height width"]
    block: Int[Tensor, "batch height width"]
    stats: Mapping[str, Any]
    certificate: PathCertificate

    def verify(self, model: Any, cuts: int = 16) -> bool:
        """Checks the path against the model, independently of the solver.

        Counts, entry map and blocks must follow from the masks, all energies from the potentials,
        penalties from what each step saves, and bounds lie no further below the energies than
        rounding explains. That masks are optimal, and none of the path is missing, is proven at
        some of the breakpoints, by a minimum cut each whose flow is checked.

        Args:
            model: the one that the path was found for.
            cuts: breakpoints an image that are proven, evenly along the path; at least 0. As many
                as there are, or more, prove all of it.

        Raises:
            TypeError, ValueError: `cuts` is no int of at least 0, or the model has another shape.
        """
        if isinstance(cuts, bool) or not isinstance(cuts, int):
            raise TypeError(f"cuts must be an int; got {type(cuts).__name__}. Use 16 if in doubt.")
        if cuts < 0:
            raise ValueError(f"cuts must be at least 0; got {cuts}. Use 16 if in doubt.")
        if getattr(model, "shape", None) != self.entry.shape:
            raise ValueError(
                f"model must be the one of shape {tuple(self.entry.shape)} that the path was found "
                f"for; got {getattr(model, 'shape', type(model).__name__)}. Check which it was."
            )
        return self.certificate.proves(model, self, cuts)

    def mask_at(
        self, penalty: float | Float[Tensor, " batch"]
    ) -> Bool[Tensor, "batch height width"]:
        """The best mask at a penalty, the smallest where several are best: entry > penalty.

        Args:
            penalty: one for all images or (batch,) one for each; energy per pixel, any sign.

        Raises:
            TypeError: it is no number.
            ValueError: it is NaN or has another shape.
        """
        if isinstance(penalty, bool) or not isinstance(penalty, int | float | Tensor):
            raise TypeError(
                f"penalty must be a number or a tensor; got {type(penalty).__name__}. Use 0.0 for "
                "the mask of lowest energy."
            )
        value = torch.as_tensor(penalty, dtype=torch.float64, device=self.entry.device)
        if value.shape not in ((), self.entry.shape[:1]) or value.isnan().any():
            raise ValueError(
                f"penalty must be a number or one for each of {len(self.entry)} images; got "
                f"{penalty}. Use 0 for the mask of lowest energy."
            )
        # Clamped pixels are on whatever the penalty, +inf included.
        return (self.entry > value.reshape(-1, 1, 1)) | (self.order == 0)

    def around(
        self, k: int | Int[Tensor, " batch"]
    ) -> tuple[Bool[Tensor, "batch height width"], Bool[Tensor, "batch height width"]]:
        """The largest mask of the path with at most k pixels on and the smallest with at least k.

        The first is part of the second; they are the same where the path has a mask of k pixels.

        Args:
            k: pixels on, clamped ones included; one for all images or (batch,) one for each.

        Raises:
            TypeError, ValueError: as for `bound`.
        """
        places = [self._place(b, pixels) for b, pixels in enumerate(self._budgets(k))]
        first, last = torch.tensor(places, device=self.order.device).T[:, :, None, None]
        return self.order <= first, self.order <= last

    def bound(self, k: int | Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        r"""A lower bound on the energy of all masks with k pixels on: the envelope at k, float64.

        Args:
            k: pixels on, clamped ones included; one for all images or (batch,) one for each.

        Raises:
            TypeError: k is neither an int nor an integer tensor.
            ValueError: k is of another shape, or no mask that honours the clamps has k pixels on.
        """
        bounds = []
        for b, pixels in enumerate(self._budgets(k)):
            first, last = self._place(b, pixels)
            (fewer, more), (low, high) = (
                (values[b][first].item(), values[b][last].item())
                for values in (self.count, self.lower_bound)
            )
            share = 0.0 if first == last else (pixels - fewer) / (more - fewer)
            bounds.append(low + share * (high - low))
        return torch.tensor(bounds, dtype=torch.float64, device=self.entry.device)

    def _budgets(self, k: int | Int[Tensor, " batch"]) -> list[int]:
        """One k an image, each of which some mask has."""
        images = len(self.count)
        if isinstance(k, Tensor) and not k.is_floating_point() and k.dtype != torch.bool:
            if k.shape != (images,):
                raise ValueError(
                    f"k must have shape ({images},), one value an image; got {tuple(k.shape)}. "
                    "Pass an int for all."
                )
            budgets = k.tolist()
        elif isinstance(k, int) and not isinstance(k, bool):
            budgets = [k] * images
        else:
            got = k.dtype if isinstance(k, Tensor) else type(k).__name__
            raise TypeError(f"k must be an int or an integer tensor; got {got}. Count pixels.")
        for b, pixels in enumerate(budgets):
            least, most = self.count[b][0].item(), self.count[b][-1].item()
            if not least <= pixels <= most:
                raise ValueError(
                    f"k must lie in {least}..{most} for image {b}, which has {least} pixels "
                    f"clamped on and {self.order[b].numel() - most} off; got {pixels}. "
                    "Choose a number in this range."
                )
        return budgets

    def _place(self, b: int, k: int) -> tuple[int, int]:
        """Numbers of the masks next to k pixels in image b."""
        last = int(torch.searchsorted(self.count[b], k))
        return (last if self.count[b][last] == k else last - 1), last


@dataclass(frozen=True, kw_only=True, eq=False)
class Marginals:
    """Probabilities of single pixels or nodes and of coupled pairs.

    Attributes:
        probability: (batch, height, width) or (batch, nodes), P(on) in [0, 1].
        right: like the model's `right`, E[x_i x_j] in [-1, 1] of the coupled pixels.
        down: like the model's `down`, the same.
        down_right: the same for a grid with diagonals, else None.
        down_left: the same.
        pairwise: of a graph, (batch, edges) E[x_i x_j]; it has none of the four above.
        log_partition: (batch,) float64 in nats, or None where the method has no estimate of it.
        kind: "exact"; "lower": log_partition is a lower bound and the probabilities approximate;
            "upper" likewise; "estimate": Monte Carlo.
        status: one Status an image.
        method: name of the method in METHODS.
        stats: what the method wants to tell.
    """

    probability: Float[Tensor, "batch ..."]
    right: Float[Tensor, "batch height width-1"] | None = None
    down: Float[Tensor, "batch height-1 width"] | None = None
    down_right: Float[Tensor, "batch height-1 width-1"] | None = None
    down_left: Float[Tensor, "batch height-1 width-1"] | None = None
    pairwise: Float[Tensor, "batch edges"] | None = None
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

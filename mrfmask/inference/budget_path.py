"""The best masks for all numbers of pixels: a path of minimum cuts, by divide and conquer."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mrfmask import ops
from mrfmask.inference.method import check_grid
from mrfmask.inference.path_proof import PathProof
from mrfmask.model import IsingGrid
from mrfmask.powers_of_two import power_of_two
from mrfmask.result import BudgetPath

# Rounding in float64 sums, relative to the sum of the sizes of all terms.
ROUNDING = 1e-11


def budget_path(model: IsingGrid) -> BudgetPath:
    r"""All masks that minimise ``E(x) + penalty * (pixels on)`` for some penalty.

    With ``y = (x + 1) / 2``, ``t = 2 unary`` and ``c = 2 pairwise >= 0`` this is a minimum cut for
    each penalty. The cuts are nested: ``mask(penalty) = {entry > penalty}`` for one entry map, the
    minimum of ``1/2 |v - t|^2 + sum c_ij |v_i - v_j|`` (total variation denoising). It is found on
    64-bit integers: a region is cut at its mean, both sides go on by themselves, what is decided is
    contracted, and a region that no cut divides is a block of the map. That takes the time of four
    to forty cuts, most of them for large smooth pictures.

    The strongest pixel of an image, ``|t| + 2 sum c``, gets ``61 - ceil(log2(pixels))`` bits: 47 at
    100x100, 37 at 4096x4096, and no sum overflows. ``stats["rounding"]`` is what that costs; it is
    0 for most float32 models.

    Args:
        model: a batch of images without negative couplings. The cuts run on the CPU, for models on
            CUDA, too.

    Raises:
        TypeError: `model` is no IsingGrid.
        ValueError: a coupling is negative.
        RuntimeError: the model is on a device that is neither.

    Example:
        >>> import torch, mrfmask as mm
        >>> model = mm.IsingGrid(torch.tensor([[[1.0, 0.5, -1.0]]]), torch.full((1, 1, 2), 0.5),
        ...                      torch.zeros(1, 0, 3))
        >>> path = mm.budget_path(model)
        >>> path.penalty[0].tolist(), path.count[0].tolist(), path.energy[0].tolist()
        ([inf, 1.0, -1.0], [0, 2, 3], [-0.5, -2.5, -1.5])
        >>> path.mask_at(0.0).int().tolist(), path.bound(1).tolist()
        ([[[1, 1, 0]]], [-1.5])

    Reference:
        Hochbaum, "An efficient algorithm for image segmentation, Markov random fields and related
        problems", JACM 2001; Chambolle and Darbon, "On total variation minimization and surface
        evolution using parametric maximum flows", IJCV 2009.
    """
    _check(model)
    tensors = [t.detach() for t in (model.unary, model.right, model.down)]
    order, block, penalties, drops, masks, exponents, rounding = ops.budget_path(
        *tensors, model.periodic
    )
    unit = power_of_two(-exponents)
    rounding = rounding * unit
    first_energy = model.energy(order == 0).detach()
    steps = _energy_steps(model, order, max(masks.tolist(), default=0))
    penalty, count, energy, lower_bound = [], [], [], []
    entry = torch.empty(order.shape, dtype=torch.float64, device=model.device)
    infinity = torch.tensor([torch.inf], dtype=torch.float64, device=model.device)
    for b, number in enumerate(masks.tolist()):
        values = torch.cat([infinity, penalties[b, : number - 1] * unit[b]])
        entry[b] = torch.cat([values, -infinity])[order[b].long()]
        penalty.append(values)
        count.append(torch.bincount(order[b].flatten(), minlength=number + 1)[:number].cumsum(0))
        energy.append(first_energy[b] + _sum_from_zero(steps[b, 1:number]))
        # By weak duality no mask is below the path of the rounded model by more than the rounding
        # of the terms in which it differs from mask 0. That itself is the only mask of its count.
        decided = first_energy[b] - _sum_from_zero(drops[b, : number - 1]).double() * unit[b]
        decided[1:] -= rounding[b]
        lower_bound.append(decided)
    _check_energies(model, energy, lower_bound, rounding)
    return BudgetPath(
        penalty=tuple(penalty),
        count=tuple(count),
        energy=tuple(energy),
        lower_bound=tuple(map(torch.minimum, lower_bound, energy)),
        entry=entry,
        order=order,
        block=block,
        stats={"exponent": exponents, "rounding": rounding},
        certificate=PathProof(),
    )


def _energy_steps(
    model: IsingGrid, order: Int[Tensor, "batch height width"], masks: int
) -> Float[Tensor, "batch masks+1"]:
    """By how much the energy of each mask is above the one before, from the model's potentials.

    A pixel changes its unary term when it turns on; a coupling is cut from the mask that turns on
    its first pixel to the one that turns on its second. Place 0 and the last one mean nothing.
    """
    batch, height, width = model.shape
    steps = torch.zeros(batch, masks + 1, dtype=torch.float64, device=model.device)
    order = order.long()

    def add(when: Tensor, change: Tensor) -> None:
        steps.scatter_add_(1, when.flatten(1), change.detach().flatten(1).double())

    add(order, torch.where(model.clamped, 0.0, -2 * model.unary))
    for dim, pairwise, size in ((2, model.right, width), (1, model.down, height)):
        last = order.roll(-1, dim) if model.periodic else order.narrow(dim, 1, size - 1)
        here = order.narrow(dim, 0, pairwise.shape[dim])
        last = last.narrow(dim, 0, pairwise.shape[dim])
        add(torch.minimum(here, last), 2 * pairwise)
        add(torch.maximum(here, last), -2 * pairwise)
    return steps


def _sum_from_zero(steps: Tensor) -> Tensor:
    """Partial sums, that of no steps first."""
    return torch.cat([steps.new_zeros(1), steps.cumsum(0)])


def _check(model: IsingGrid) -> None:
    check_grid(model, "budget_path")
    if model.device.type not in ("cpu", "cuda"):
        raise RuntimeError(
            f"model must be on cpu or cuda for budget_path; got {model.device}. "
            "Call model.to('cpu')."
        )
    for name, pairwise in (("right", model.right), ("down", model.down)):
        negative = pairwise < 0
        if negative.any():
            b, y, x = negative.nonzero()[0].tolist()
            raise ValueError(
                f"model must not have negative couplings for budget_path; got {name}[{b}, {y}, {x}]"
                f" = {pairwise[b, y, x].item():g}, and masks of repulsive models are not nested. "
                "Use find_map for one penalty at a time: subtract penalty / 2 from unary."
            )


def _check_energies(
    model: IsingGrid,
    energy: list[Tensor],
    lower_bound: list[Tensor],
    rounding: Float[Tensor, " batch"],
) -> None:
    """Raises unless the integer path agrees with the energies in float64 up to its rounding."""
    for b, (exact, bound) in enumerate(zip(energy, lower_bound, strict=True)):
        size = model.constant[b].abs() + sum(
            t[b].detach().abs().nan_to_num(posinf=0.0).sum(dtype=torch.float64)
            for t in (model.unary, model.right, model.down)
        )
        off = (exact - bound - rounding[b]).abs() > rounding[b] + ROUNDING * (1e-300 + size)
        if off[1:].any():
            mask = 1 + int(off[1:].nonzero()[0])
            raise RuntimeError(
                f"lower_bound must agree with energy; got {bound[mask].item()} and "
                f"{exact[mask].item()} for mask {mask} of image {b} of a budget path. "
                "Please report this as a bug."
            )

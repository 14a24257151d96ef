"""Masks between 0 and 1 from logits, with a given sum, and hard ones in their place."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

# Of the sum of a soft mask; what is promised is 1e-4.
TOLERANCE = 1e-9
# Newton steps kept within a bracket that halves at least every second step.
MOST_STEPS = 200


def soft_masks(
    logits: Float[Tensor, "batch height width"],
    counts: Int[Tensor, " batch"] | None,
    temperature: float,
    hard: bool,
) -> Float[Tensor, "batch height width"]:
    """``sigmoid((logits - tau) / temperature)`` with the sums `counts`, or hard masks.

    Without `counts`, ``tau = 0``. With them, tau solves ``sum_i m_i = count``, and gradients take
    account of its moving.

    Args:
        logits: any value; +inf and -inf are clamped pixels, which are 1 and 0.
        counts: (batch,), clamped pixels included; as many as the clamps allow.
        temperature: positive.
        hard: straight-through: forward the `counts` pixels of largest logits (without counts, those
            above 0), backward the gradient of the soft mask.

    Returns:
        In the dtype of `logits`.
    """
    clamped = torch.isinf(logits)
    on = logits > 0
    scaled = torch.where(clamped, 0.0, logits) / temperature
    if counts is None:
        soft = torch.sigmoid(scaled)
    else:
        counts = counts.to(logits.device)
        left = counts - (clamped & on).sum(dim=(1, 2))
        soft = _SumTo.apply(scaled, ~clamped, left)
    soft = torch.where(clamped, on.to(soft.dtype), soft)
    if not hard:
        return soft
    mask = (on if counts is None else top_pixels(logits, counts)).to(soft.dtype)
    return mask + (soft - soft.detach())


def top_pixels(
    values: Float[Tensor, "batch height width"], counts: Int[Tensor, " batch"]
) -> Bool[Tensor, "batch height width"]:
    """The `counts` pixels of largest value in each image; of equal ones, those that come first."""
    order = values.detach().flatten(1).argsort(dim=1, descending=True, stable=True)
    rank = torch.arange(order.shape[1], device=order.device).expand_as(order)
    chosen = rank < counts.to(order.device)[:, None]
    return torch.zeros_like(chosen).scatter(1, order, chosen).reshape(values.shape)


class _SumTo(torch.autograd.Function):
    """``sigmoid(z_i - tau)`` of the free pixels with the sum `left`; 0 at the others."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        scaled: Float[Tensor, "batch height width"],
        free: Bool[Tensor, "batch height width"],
        left: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch height width"]:
        z = scaled.to(torch.float64)
        tau = _tau(z, free, left.to(torch.float64)[:, None, None])
        soft = torch.sigmoid(z - tau).masked_fill(~free, 0.0)
        ctx.save_for_backward(soft)
        return soft.to(scaled.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (soft,) = ctx.saved_tensors
        # d tau = sum_j slope_j d z_j / sum_j slope_j.
        slope = soft * (1 - soft)
        total = slope.sum(dim=(1, 2), keepdim=True)
        mean = (slope * gradient).sum(dim=(1, 2), keepdim=True) / total
        change = slope * (gradient - torch.where(total > 0, mean, 0.0))
        return change.to(gradient.dtype), None, None


def _tau(z: Tensor, free: Tensor, left: Tensor) -> Float[Tensor, "batch 1 1"]:
    """Where the free pixels' ``sigmoid(z - tau)`` sum to `left`; inf for none, -inf for all."""
    pixels = free.sum(dim=(1, 2), keepdim=True)
    margin = torch.log(pixels.clamp(min=1).to(z.dtype)) + 1.0
    # All logits are beyond these by the margin, so that the sum is below 1, above pixels - 1.
    low = z.masked_fill(~free, torch.inf).amin(dim=(1, 2), keepdim=True) - margin
    high = z.masked_fill(~free, -torch.inf).amax(dim=(1, 2), keepdim=True) + margin
    none, every = left <= 0, left >= pixels
    done = none | every
    tau = torch.where(done, 0.0, (low + high) / 2)
    for step in range(MOST_STEPS):
        soft = torch.sigmoid(z - tau).masked_fill(~free, 0.0)
        excess = soft.sum(dim=(1, 2), keepdim=True) - left
        done = done | (excess.abs() <= TOLERANCE)
        if bool(done.all()):
            break
        low, high = torch.where(excess > 0, tau, low), torch.where(excess > 0, high, tau)
        newton = tau + excess / (soft * (1 - soft)).sum(dim=(1, 2), keepdim=True)
        inside = (newton > low) & (newton < high) & (step % 2 == 0)
        tau = torch.where(done, tau, torch.where(inside, newton, (low + high) / 2))
    return torch.where(none, torch.inf, torch.where(every, -torch.inf, tau))

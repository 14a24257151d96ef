"""Mean-field probabilities that gradients pass through, by implicit differentiation."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from mrfmask.inference.mean_field import MeanField
from mrfmask.inference.method import check_grid
from mrfmask.inference.neighbours import neighbour_sum
from mrfmask.model import IsingGrid


def mean_field_logits(
    model: IsingGrid, *, beta: float = 1.0, max_sweeps: int = 1000, tolerance: float = 1e-6
) -> Float[Tensor, "batch height width"]:
    r"""Log odds of every pixel at the mean-field fixed point, differentiable in the potentials.

    Forward: sweeps of `MeanField` to ``m_i = tanh(z_i)``, ``z_i = beta (unary_i + sum_j pairwise_ij
    m_j)``; the logits are ``2 z``, so ``sigmoid(logits)`` are the probabilities of "on", and no
    precision is lost where these are near 0 or 1. Backward: the derivative of the fixed point
    itself, not of the sweeps, whatever their number: ``dz = beta (dunary + dpairwise m) + beta J D
    dz`` with ``D = diag(1 - m^2)``. For a gradient g of the logits, ``a = 2 g + beta D J a`` is
    solved by conjugate gradients on the symmetric matrix ``1 - beta sqrt(D) J sqrt(D)``, which is
    positive definite where the fixed point is a strict local maximum of the bound; then ``dunary =
    beta a`` and ``dpairwise_ij = beta (a_i m_j + a_j m_i)``. Memory does not grow with the sweeps.

    The gradient is that of a fixed point: wrong by about as much as the means are where
    `max_sweeps` ends the sweeps first, and cut short, finite but of no meaning, where the search
    meets a direction that is not positive: at a saddle, as at zero unaries and strong couplings.
    Second derivatives are not supported.

    Args:
        model: float32 (native sweeps) or float64 (sweeps in PyTorch, slower).
        beta: inverse temperature, positive.
        max_sweeps: most sweeps, and most steps of the conjugate gradients.
        tolerance: largest change of a mean in the last sweep, and norm of the last residual over
            that of the right side; positive, at least about 1e-6 for float32.

    Returns:
        (batch, height, width) in the model's dtype; +inf and -inf at clamped pixels, which pass no
        gradient.

    Raises:
        TypeError: `model` is no IsingGrid, or an option of the wrong kind.
        ValueError: an option out of range.

    Example:
        >>> import torch, mrfmask as mm
        >>> from mrfmask.nn.mean_field import mean_field_logits
        >>> unary = torch.zeros(1, 1, 2, requires_grad=True)
        >>> model = mm.IsingGrid(unary, torch.full((1, 1, 1), 0.5), torch.zeros(1, 0, 2))
        >>> mean_field_logits(model)[0, 0, 0].backward()
        >>> unary.grad  # 2 / (1 - 0.5^2) and half of it
        tensor([[[2.6667, 1.3333]]])

    Reference:
        Bai, Kolter and Koltun, "Deep equilibrium models", NeurIPS 2019; Wainwright and Jordan,
        "Graphical models, exponential families, and variational inference", 2008, section 5.
    """
    method = MeanField(beta=beta, max_sweeps=max_sweeps, tolerance=tolerance)
    check_grid(model, "mean_field_logits")
    method.check_model(model)
    logits = _FixedPoint.apply(model.unary, model.right, model.down, model, method)
    clamp = torch.where(model.unary.detach() > 0, torch.inf, -torch.inf).to(logits.dtype)
    return torch.where(model.clamped, clamp, logits)


class _FixedPoint(torch.autograd.Function):
    """The logits ``2 z`` of free pixels, 0 at clamped ones."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        unary: Tensor,
        right: Tensor,
        down: Tensor,
        model: IsingGrid,
        method: MeanField,
    ) -> Tensor:
        mean, _, _ = method.means(model)
        clamped = model.clamped
        field = unary.masked_fill(clamped, 0.0) + neighbour_sum(right, down, mean)
        logits = (2 * method.beta * field).masked_fill(clamped, 0.0)
        ctx.save_for_backward(mean, logits, clamped, right, down)
        ctx.method = method
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        mean, logits, clamped, right, down = ctx.saved_tensors
        beta = ctx.method.beta
        g = (2 * gradient).masked_fill(clamped, 0.0)
        # sqrt(1 - tanh(z)^2) = 1 / cosh(z), exact in the tails; 0 takes clamped pixels out.
        root = (1 / torch.cosh(logits / 2)).masked_fill(clamped, 0.0)
        scaled_right, scaled_down = _per_pair(torch.mul, root, root, right, down)
        scaled_right, scaled_down = beta * right * scaled_right, beta * down * scaled_down
        side = beta * root * neighbour_sum(right, down, g)
        w = _conjugate_gradients(
            scaled_right, scaled_down, side, ctx.method.max_sweeps, ctx.method.tolerance
        )
        a = g + root * w
        first = _per_pair(torch.mul, a, mean, right, down)
        second = _per_pair(torch.mul, mean, a, right, down)
        pairs = [beta * (one + other) for one, other in zip(first, second, strict=True)]
        return beta * a, *pairs, None, None


def _per_pair(combine, first, second, right, down) -> list[Tensor]:
    """``combine(first_i, second_j)`` of every coupling (i, j): to the right, and down."""
    columns, rows = right.shape[2], down.shape[1]
    return [
        combine(first[:, :, :columns], second.roll(-1, 2)[:, :, :columns]),
        combine(first[:, :rows], second.roll(-1, 1)[:, :rows]),
    ]


def _conjugate_gradients(
    right: Tensor, down: Tensor, side: Tensor, most: int, tolerance: float
) -> Tensor:
    """Solves ``x - neighbour_sum(x) = side``, each image by itself.

    An image is done when its residual has `tolerance` times the norm of `side`, or when a direction
    is met along which the matrix is not positive.
    """

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(dim=(1, 2), keepdim=True)

    # At unit size, so that squares do not underflow.
    unit = side.abs().amax(dim=(1, 2), keepdim=True)
    side = torch.where(unit > 0, side / unit, 0.0)
    x = torch.zeros_like(side)
    residual = direction = side
    size = dot(side, side)
    goal = tolerance**2 * size
    active = size > goal
    for _ in range(most):
        if not bool(active.any()):
            break
        image = direction - neighbour_sum(right, down, direction)
        curvature = dot(direction, image)
        active = active & (curvature > 0)
        step = torch.where(active, size / curvature, 0.0)
        x = x + step * direction
        residual = residual - step * image
        new_size = dot(residual, residual)
        direction = residual + torch.where(active, new_size / size, 0.0) * direction
        size = torch.where(active, new_size, size)
        active = active & (size > goal)
    return unit * x

"""A Gaussian model of a map, from draws of it, and the pixels that say most about all others."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class GaussianField:
    r"""Zero-mean Gaussian map with the covariance of draws, faded with distance.

    ``K_ij = mean_m e_mi e_mj exp(-|i - j|^2 / (2 reach^2))``: fading takes out what distant pixels
    have in common by chance alone, and lets few draws be a model of full rank. It is a product of
    covariances, and so one itself.

    The fading is a product over rows and columns; K times a map is a few products of small
    matrices, and K itself, 10^8 numbers at 100x100, is never made.

    Args:
        draws: of the map, at least one, float64.
        reach: standard deviation of the fading in pixels, positive.

    Reference:
        Houtekamer and Mitchell, "A sequential ensemble Kalman filter for atmospheric data
        assimilation", Monthly Weather Review 2001, for covariances faded with distance.
    """

    def __init__(self, draws: Float[Tensor, "members height width"], reach: float) -> None:
        self.draws = draws
        self.sides = [_fading(length, reach).to(draws) for length in draws.shape[1:]]
        self.variance = draws.square().mean(0)

    def column(self, row: int, column: int) -> Float[Tensor, "height width"]:
        """Covariances of one pixel with all."""
        alike = torch.einsum("mhw,m->hw", self.draws, self.draws[:, row, column])
        faded = self.sides[0][:, row, None] * self.sides[1][None, :, column]
        return alike / len(self.draws) * faded

    def times(self, values: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
        """K times a map."""
        faded = self.sides[0] @ (self.draws * values) @ self.sides[1]
        return (self.draws * faded).mean(0)

    def squares(self, valid: Bool[Tensor, "height width"]) -> Float[Tensor, "height width"]:
        """Sums of the squared covariances of every pixel with all valid ones."""
        total = torch.zeros_like(self.variance)
        rows, columns = (side.square() for side in self.sides)
        for number, draw in enumerate(self.draws):
            products = self.draws[number:] * draw
            faded = rows @ (products * valid) @ columns
            # Pairs of different draws come twice.
            total += 2 * (products * faded).sum(0) - products[0] * faded[0]
        return total / len(self.draws) ** 2

    def greedy(
        self, valid: Bool[Tensor, "height width"], count: int, noise: float
    ) -> Bool[Tensor, "height width"]:
        r"""Pixels chosen one by one, each leaving the least summed variance of the valid ones.

        Measuring pixel i lowers the summed variance by ``sum_j K_ij^2 / (K_ii + noise)``, and
        leaves the covariance ``K - u u^T`` with ``u = K_i / sqrt(K_ii + noise)``. The sums of
        squares follow ``|K_j - u_j u|^2 = |K_j|^2 - 2 u_j (K u)_j + u_j^2 |u|^2``; nothing is
        approximated. Of pixels equally good the first in reading order is taken.

        Args:
            valid: pixels that may be chosen and that count.
            count: how many, at most the valid ones.
            noise: variance of a measurement's error, positive.
        """
        shape = valid.shape
        squares, left = self.squares(valid).flatten(), self.variance.flatten().clone()
        known = torch.zeros(count, left.numel(), dtype=left.dtype)
        free, on = valid.flatten().clone(), torch.zeros(left.numel(), dtype=torch.bool)
        weight = valid.flatten().to(left.dtype)
        for number in range(count):
            gain = squares.clamp(min=0) / (left.clamp(min=0) + noise)
            pick = int(gain.where(free, -1.0).argmax())
            on[pick], free[pick] = True, False
            before = known[:number]
            column = self.column(pick // shape[1], pick % shape[1]).flatten()
            column = column - before.T @ before[:, pick]
            u = column / (left[pick].clamp(min=0) + noise).sqrt()
            counted = u * weight
            product = self.times(counted.reshape(shape)).flatten() - before.T @ (before @ counted)
            squares += u * (u * (counted @ u) - 2 * product)
            left -= u.square()
            known[number] = u
        return on.reshape(shape)


def _fading(length: int, reach: float) -> Float[Tensor, "length length"]:
    place = torch.arange(length, dtype=torch.float64)
    return torch.exp(-(place[:, None] - place[None]).square() / (2 * reach**2))

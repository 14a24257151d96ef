"""Every mask of an image with few free pixels, its energy, and what follows from the list."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.model import IsingGrid

MOST_FREE_PIXELS = 20


class Enumeration:
    """All masks of one image, numbered by the bits of its free pixels (the first is bit 0)."""

    def __init__(self, model: IsingGrid) -> None:
        self.model = model
        self.height, self.width = model.shape[1:]
        unary = model.unary.detach()[0].flatten().to(torch.float64)
        self.base = unary > 0
        self.free = (~model.clamped[0].flatten()).nonzero().flatten()
        self.energies = self._enumerate(model, unary)

    def _enumerate(self, model: IsingGrid, unary: Tensor) -> Float[Tensor, " states"]:
        """Energies of all states, one free pixel at a time: each doubles the table."""
        (first, second), coupling = model.edges.T, model.pairwise.detach()
        bit = torch.full((unary.numel(),), -1, dtype=torch.int64, device=unary.device)
        bit[self.free] = torch.arange(len(self.free), device=unary.device)
        bits, sign = bit.tolist(), torch.where(self.base, 1.0, -1.0).tolist()
        field = torch.where(unary.isinf(), 0.0, unary).tolist()
        constant = float(model.constant[0])
        earlier: dict[int, list[tuple[int, float]]] = {k: [] for k in range(len(self.free))}
        edges = zip(first.tolist(), second.tolist(), coupling[0].double().tolist(), strict=True)
        for i, j, pairwise in edges:
            if bits[i] < 0 and bits[j] < 0:
                constant -= pairwise * sign[i] * sign[j]
            elif bits[i] < 0 or bits[j] < 0:
                free, fixed = (j, i) if bits[i] < 0 else (i, j)
                field[free] += pairwise * sign[fixed]
            else:
                low, high = sorted((bits[i], bits[j]))
                earlier[high].append((low, pairwise))
        table = torch.full((1,), constant, dtype=torch.float64, device=unary.device)
        for k, pixel in enumerate(self.free.tolist()):
            pull = torch.full_like(table, field[pixel])
            for low, pairwise in earlier[k]:
                pull.view(-1, 2, 2**low).add_(
                    torch.tensor([[-pairwise], [pairwise]], dtype=torch.float64).to(pull.device)
                )
            table = torch.cat([table + pull, table - pull])
        return table

    def mask_of(self, index: Tensor) -> Tensor:
        """(n, height, width) masks of states numbered `index` (n,)."""
        masks = self.base.repeat(len(index), 1)
        shifts = torch.arange(len(self.free), device=index.device)
        masks[:, self.free] = ((index[:, None] >> shifts) & 1).bool()
        return masks.reshape(-1, self.height, self.width)

    def minimum(self) -> tuple[Bool[Tensor, "height width"], Float[Tensor, ""]]:
        """A mask of minimum energy, the first in binary order among ties, and that energy."""
        best = self.energies.argmin()
        return self.mask_of(best.reshape(1))[0], self.energies[best]

    def marginals(self, beta: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """E[x] of the pixels, E[x x'] of the right and down couplings, log Z."""
        weights, log_partition = self._weights(beta)
        mean = torch.where(self.base, 1.0, -1.0).to(torch.float64)
        for k, pixel in enumerate(self.free.tolist()):
            mean[pixel] = 2 * weights.view(-1, 2, 2**k)[:, 1].sum() - 1
        right = self._correlation(weights, self.model.right[0], axis=1)
        down = self._correlation(weights, self.model.down[0], axis=0)
        return mean.reshape(self.height, self.width), right, down, log_partition

    def sample(
        self, beta: float, uniforms: Float[Tensor, "samples draws"]
    ) -> Bool[Tensor, "samples height width"]:
        """Independent masks by inverse transform; one draw a sample is used."""
        weights, _ = self._weights(beta)
        cumulative = weights.cumsum(0)
        index = torch.searchsorted(cumulative, uniforms[:, 0] * cumulative[-1], right=True)
        return self.mask_of(index.clamp(max=len(weights) - 1))

    def _weights(self, beta: float) -> tuple[Tensor, Tensor]:
        """Probability of every state, and log Z."""
        scores = -beta * self.energies
        log_partition = torch.logsumexp(scores, dim=0)
        return (scores - log_partition).exp(), log_partition

    def _correlation(self, weights: Tensor, coupling: Tensor, axis: int) -> Tensor:
        """E[x_i x_j] of the coupled pixels along an axis, shaped like `coupling`."""
        index = torch.arange(len(weights), device=weights.device)
        bit = {int(pixel): k for k, pixel in enumerate(self.free)}

        def spin(pixel: int) -> Tensor:
            if pixel in bit:
                return ((index >> bit[pixel]) & 1).to(torch.float64) * 2 - 1
            return torch.where(self.base[pixel], 1.0, -1.0).to(torch.float64)

        pixels = torch.arange(self.height * self.width).reshape(self.height, self.width)
        neighbours = pixels.roll(-1, dims=axis)
        out = torch.empty(coupling.shape, dtype=torch.float64, device=weights.device)
        for y in range(coupling.shape[0]):
            for x in range(coupling.shape[1]):
                product = spin(int(pixels[y, x])) * spin(int(neighbours[y, x]))
                out[y, x] = (weights * product).sum()
        return out

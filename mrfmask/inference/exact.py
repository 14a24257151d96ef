"""Exact answers by enumeration: MAP, log Z, marginals and independent samples of small models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from mrfmask.inference import diagnostics, seeds
from mrfmask.inference.method import Method, check_count, check_positive
from mrfmask.model import IsingGrid
from mrfmask.ops import exact_uniforms
from mrfmask.result import MapResult, Marginals, Samples, Status

MOST_FREE_PIXELS = 20


@dataclass(frozen=True, kw_only=True)
class Exact(Method):
    """Every mask of a model with at most 20 free pixels an image, any signs.

    Args:
        beta: inverse temperature of marginals and samples, positive.
        chains: independent samples an image.
        seed: of the samples, an int or one int an image.

    Raises:
        ValueError: an image has more than 20 pixels that are not clamped.

    Example:
        >>> import torch, mrfmask as mm
        >>> model = mm.IsingGrid(torch.zeros(1, 1, 2), torch.ones(1, 1, 1), torch.zeros(1, 0, 2))
        >>> mm.Exact().marginals(model).right  # tanh(1)
        tensor([[[0.7616]]])
    """

    beta: float = 1.0
    chains: int = 1
    seed: int | tuple[int, ...] = 0

    name: ClassVar = "exact"
    answers: ClassVar = ("map", "marginals", "sample")
    exact: ClassVar = True
    devices: ClassVar = ("cpu", "cuda")
    needs: ClassVar = f"at most {MOST_FREE_PIXELS} free pixels, any signs"

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)
        check_count("chains", self.chains, least=1)

    def find_map(self, model: IsingGrid) -> MapResult:
        """A mask of minimum energy; the first in binary order of the free pixels among ties."""
        self._check_size(model)
        masks, minima = [], []
        for states in _each_image(model):
            best = states.energies.argmin()
            masks.append(states.mask_of(best.reshape(1))[0])
            minima.append(states.energies[best])
        mask = _stack(masks, model.unary.bool())
        return MapResult(
            mask=mask,
            energy=model.energy(mask).detach(),
            lower_bound=_stack(minima, model.constant.detach()),
            status=(Status.OPTIMAL,) * len(model),
            method=self.name,
        )

    def marginals(self, model: IsingGrid) -> Marginals:
        """Exact probabilities, pair correlations and log partition function."""
        self._check_size(model)
        batch = {"probability": [], "right": [], "down": [], "log_partition": []}
        for image, states in zip(_split(model), _each_image(model), strict=True):
            weights, log_partition = states.weights(self.beta)
            on = states.expectation(weights)
            batch["probability"].append(on)
            batch["right"].append(states.correlation(weights, image.right[0], axis=1))
            batch["down"].append(states.correlation(weights, image.down[0], axis=0))
            batch["log_partition"].append(log_partition)
        like = model.unary.detach()
        return Marginals(
            probability=_stack(batch["probability"], like).to(model.dtype),
            right=_stack(batch["right"], model.right.detach()).to(model.dtype),
            down=_stack(batch["down"], model.down.detach()).to(model.dtype),
            log_partition=_stack(batch["log_partition"], model.constant.detach()),
            kind="exact",
            status=(Status.EXACT,) * len(model),
            method=self.name,
        )

    def sample(self, model: IsingGrid) -> Samples:
        """Independent exact samples, `chains` of them an image, by inverse transform."""
        self._check_size(model)
        seed = seeds.as_tensor(self.seed, len(model))
        uniforms = exact_uniforms(seed, self.chains).to(model.device)
        masks = []
        for draws, states in zip(uniforms, _each_image(model), strict=True):
            weights, _ = states.weights(self.beta)
            cumulative = weights.cumsum(0)
            index = torch.searchsorted(cumulative, draws * cumulative[-1], right=True)
            masks.append(states.mask_of(index.clamp(max=len(weights) - 1)))
        empty = model.unary.bool().unsqueeze(1).expand(-1, self.chains, -1, -1)
        return diagnostics.independent_samples(model, _stack(masks, empty), self.name)

    def _check_size(self, model: IsingGrid) -> None:
        self.check_model(model)
        free = (~model.clamped).sum(dim=(1, 2))
        if len(model) and int(free.max()) > MOST_FREE_PIXELS:
            image = int(free.argmax())
            raise ValueError(
                f"model must have at most {MOST_FREE_PIXELS} free pixels an image for exact; got "
                f"{int(free.max())} in image {image}. Use graph_cut, ilp, mean_field or gibbs."
            )


class _States:
    """All masks of one image, numbered by the bits of its free pixels (the first is bit 0)."""

    def __init__(self, model: IsingGrid) -> None:
        self.height, self.width = model.shape[1:]
        unary = model.unary.detach()[0].flatten().to(torch.float64)
        self.base = unary > 0
        self.free = (~model.clamped[0].flatten()).nonzero().flatten()
        self.energies = self._enumerate(model, unary)

    def _enumerate(self, model: IsingGrid, unary: Tensor) -> Float[Tensor, " states"]:
        """Energies of all states, one free pixel at a time: each doubles the table."""
        first, second, coupling = (t.detach() for t in model.edges())
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

    def weights(self, beta: float) -> tuple[Tensor, Tensor]:
        """Probability of every state, and log Z."""
        scores = -beta * self.energies
        log_partition = torch.logsumexp(scores, dim=0)
        return (scores - log_partition).exp(), log_partition

    def expectation(self, weights: Tensor) -> Tensor:
        """P(on) of every pixel, (height, width)."""
        on = self.base.to(torch.float64)
        for k, pixel in enumerate(self.free.tolist()):
            on[pixel] = weights.view(-1, 2, 2**k)[:, 1].sum()
        return on.reshape(self.height, self.width)

    def correlation(self, weights: Tensor, coupling: Tensor, axis: int) -> Tensor:
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


def _split(model: IsingGrid) -> list[IsingGrid]:
    return [model[i] for i in range(len(model))]


def _each_image(model: IsingGrid):
    """The states of one image after the other: memory for one at a time."""
    return (_States(image) for image in _split(model))


def _stack(parts: list[Tensor], empty: Tensor) -> Tensor:
    """Stacks per-image results; `empty` has the shape for a batch without images."""
    return torch.stack(parts) if parts else empty

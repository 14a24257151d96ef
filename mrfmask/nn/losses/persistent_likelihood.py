"""Likelihood training by samples: persistent contrastive divergence."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.inference.gibbs import Gibbs
from mrfmask.inference.method import check_count, check_positive
from mrfmask.model import IsingGrid
from mrfmask.nn.losses.exact_likelihood import check_size
from mrfmask.nn.losses.loss import Loss, LossDetails, check_example
from mrfmask.nn.losses.statistics import Statistics, score, statistics_of


class PersistentLikelihood(Loss):
    r"""``beta (E(target) - mean over chains of E(sample))``: its gradient is that of -log p.

    The value itself is no likelihood and can have either sign: near 0 the samples are as probable
    as the target. Its gradient ``beta (mean phi(samples) - phi(target))`` in the scores is an
    estimate of that of ``-log p(target)``, unbiased as far as the chains have mixed. Every image of
    the training set has chains of its own, which go on from where they were when the image was last
    seen: they follow a model that changes slowly. For images of any size; all pixels must be known.

    Chains and the number of the next sweep are buffers, so a state_dict resumes training with the
    same bits. In evaluation mode chains start from the buffers and leave them as they are. Put the
    module outside of what DistributedDataParallel wraps, which would copy the buffers of one
    process to all.

    Args:
        images: images in the training set (or in a batch, where all are one batch), at least 1.
            The buffer takes images * chains * height * width bytes.
        shape: (height, width) of the images.
        chains: independent chains an image.
        sweeps: sweeps a call.
        beta: inverse temperature, positive.
        seed: from 0 to 2^31 - 1; each image draws from a stream of its own.
        reduction: "mean" or "none".

    `details` returns as `found` the Samples.

    Reference:
        Tieleman, "Training restricted Boltzmann machines using approximations to the likelihood
        gradient", ICML 2008; Younes, "Estimation and annealing for Gibbsian fields", 1988.
    """

    states: Tensor
    next_sweep: Tensor

    def __init__(
        self,
        *,
        images: int,
        shape: tuple[int, int],
        chains: int = 4,
        sweeps: int = 10,
        beta: float = 1.0,
        seed: int = 0,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        check_count("images", images, least=1)
        check_size("shape", shape)
        check_count("chains", chains, least=1)
        check_count("sweeps", sweeps, least=1)
        check_positive("beta", beta)
        check_count("seed", seed, least=0)
        self.sweeps, self.beta, self.seed = sweeps, beta, seed
        coins = torch.Generator().manual_seed(seed)
        states = torch.randint(2, (images, chains, *shape), generator=coins, dtype=torch.uint8)
        self.register_buffer("states", states.bool())
        self.register_buffer("next_sweep", torch.zeros((), dtype=torch.int64))

    def forward(
        self,
        model: IsingGrid,
        target: Bool[Tensor, "batch height width"],
        weights: Float[Tensor, "batch height width"] | None = None,
        index: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, ""] | Float[Tensor, " batch"]:
        """The loss, reduced; moves the chains on in training mode.

        Args:
            model: a batch of models.
            target: bool, the masks that the models should give.
            weights: must be 1 everywhere, or None.
            index: (batch,) int64, number of each image in the training set, no two the same; None
                numbers the batch from 0.
        """
        return self._reduced(self.details(model, target, weights, index).value)

    def details(
        self,
        model: IsingGrid,
        target: Bool[Tensor, "batch height width"],
        weights: Float[Tensor, "batch height width"] | None = None,
        index: Int[Tensor, " batch"] | None = None,
    ) -> LossDetails:
        """The loss of every image, and the Samples as `found`; moves the chains on as a call."""
        weights = check_example(model, target, weights)
        if not bool((weights == 1).all()):
            raise ValueError(
                "weights must be 1 for PersistentLikelihood; got other values. Use ExactLikelihood "
                "with crop, or StructuredHinge, for pixels that are not known."
            )
        index = self._checked_index(model, index)
        start = int(self.next_sweep)
        found = Gibbs(
            beta=self.beta,
            sweeps=1,
            burn_in=self.sweeps - 1,
            chains=self.states.shape[1],
            seed=[(self.seed << 32) + image for image in index.tolist()],
            start=self.states[index],
            sweep_offset=start,
        ).sample(model)
        if self.training:
            self.states[index] = found.masks
            self.next_sweep.fill_(found.next_sweep)
        sampled = Statistics(*(t.mean(dim=1) for t in statistics_of(found.masks, model)))
        moved = sampled.minus(statistics_of(target, model))
        return LossDetails(value=self.beta * score(model, moved), found=found)

    def _checked_index(self, model: IsingGrid, index: Tensor | None) -> Int[Tensor, " batch"]:
        images, _, *shape = self.states.shape
        if model.shape[1:] != tuple(shape):
            raise ValueError(
                f"model must have images of {shape[0]}x{shape[1]}; got {model.shape[1]}x"
                f"{model.shape[2]}. Give the shape to PersistentLikelihood."
            )
        if self.states.device != model.device:
            raise ValueError(
                f"model must be on the device of the chains, {self.states.device}; got "
                f"{model.device}. Call .to(device) on the loss."
            )
        if index is None:
            index = torch.arange(len(model), device=model.device)
        if not isinstance(index, Tensor) or index.dtype != torch.int64:
            got = getattr(index, "dtype", type(index).__name__)
            raise TypeError(f"index must be an int64 tensor; got {got}. Call .long().")
        if index.shape != (len(model),):
            raise ValueError(
                f"index must have shape ({len(model)},); got {tuple(index.shape)}. One number an "
                "image."
            )
        numbers = index.tolist()
        if len(set(numbers)) < len(numbers) or any(not 0 <= n < images for n in numbers):
            raise ValueError(
                f"index must hold different numbers in 0..{images - 1}; got {numbers[:8]}. Give "
                "the number of training images as images."
            )
        return index.to(model.device)

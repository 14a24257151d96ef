"""A layer that turns Ising models into masks, with gradients to their potentials."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from mrfmask.inference import find_map
from mrfmask.inference.budget import Budget, budget_limit, check_budget
from mrfmask.inference.method import check_count, check_grid, check_positive
from mrfmask.inference.seeds import LARGEST_SEED
from mrfmask.model import IsingGrid
from mrfmask.nn.estimators import ESTIMATORS, Draw, Estimator
from mrfmask.nn.estimators.score_function import surrogate


class MaskLayer(nn.Module):
    r"""Masks of models for use within a network: what to measure, what to keep.

    ``layer(model)`` is a float tensor (batch, height, width) in the model's dtype that multiplies a
    depth map, a feature map, whatever; gradients go to `unary`, `right` and `down`, and 0 to
    clamped pixels. In training mode an estimator makes it. In evaluation mode it is the MAP mask
    (with a budget, the best that `find_map` knows for it) as 0 and 1, without gradients.

    ============== =========================== ========================= ==========================
    estimator      training mask               backward                  expected gradient
    ============== =========================== ========================= ==========================
    mean_field     probabilities               fixed point, implicit     biased to the mean field
    score_function S samples, 0 and 1          by `surrogate`            unbiased up to mixing
    covariance     mean of S samples           beta Cov[mask, phi]       unbiased up to mixing, for
                                                                         losses linear in the mask
    imle           MAP of perturbed unary      two MAP masks / lambda    biased
    gumbel         relaxed, independent pixels of the relaxation         biased
    tv_prox        sigmoid of the entry map    averages over blocks      biased; associative models
    ============== =========================== ========================= ==========================

    "Unbiased" and "biased" compare with the gradient of E[loss(mask)], mask drawn from p(x) =
    exp(-beta E(x)) / Z. Only score_function is unbiased for any loss, at the price of the highest
    variance. With `hard=True` mean_field, gumbel and tv_prox pass masks of 0 and 1 forward and the
    gradient of the soft mask backward (straight-through), a further bias.

    **Budget.** Samples are draws from p(x | budget pixels on), so the two sampling estimators stay
    unbiased; imle, and `hard=True`, give masks with exactly so many pixels on, the other masks sum
    to the budget.

    **Random numbers** are a pure function of (seed, rank in torch.distributed, `draws`, image,
    pixel), where the buffer `draws` counts training passes: every pass draws anew, a run that goes
    on from a state_dict draws what it would have drawn, processes draw differently. Do not put a
    random estimator within torch.utils.checkpoint, which would draw again for the same pass.

    Works under torch.compile (outside of the graph), autocast (nothing here loses precision by it;
    potentials are float32 or float64 there, too) and DistributedDataParallel. Only first
    derivatives are supported.

    Args:
        estimator: a name in ESTIMATORS.
        budget: pixels on, clamped ones included: an int, a fraction of all pixels as a float, or
            one of them an image; None for any number.
        beta: inverse temperature, positive. MAP masks and tv_prox do not depend on it.
        seed: of the random numbers, in 0..2^63-1.
        **options: of the estimator, e.g. ``samples=8`` for score_function; see ESTIMATORS[name].

    Raises:
        TypeError: an argument of another kind, or an option that the estimator does not have.
        ValueError: an unknown estimator, or an argument out of range. On a call: a budget that no
            mask can have, or a model that the estimator cannot take.

    Example:
        >>> import torch, mrfmask as mm
        >>> from mrfmask.nn import MaskLayer
        >>> unary = torch.tensor([[[1.0, -1.0, 0.5, -2.0]]], requires_grad=True)
        >>> model = mm.IsingGrid(unary, torch.full((1, 1, 3), 0.25), torch.zeros(1, 0, 4))
        >>> layer = MaskLayer("tv_prox", budget=2, temperature=0.1)
        >>> mask = layer(model)
        >>> round(mask.sum().item(), 4)
        2.0
        >>> (mask * torch.tensor([0.0, 1.0, 0.0, 0.0])).sum().backward()
        >>> layer.eval()(model)
        tensor([[[1., 0., 1., 0.]]])

    Reference:
        Mohamed, Rosca, Figurnov and Mnih, "Monte Carlo gradient estimation in machine learning",
        JMLR 2020; and those of the estimators.
    """

    def __init__(
        self,
        estimator: str = "mean_field",
        budget: Budget | None = None,
        *,
        beta: float = 1.0,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__()
        check_positive("beta", beta)
        check_count("seed", seed, least=0, most=LARGEST_SEED)
        if budget is not None:
            check_budget("budget", budget)
        self.estimator = make_estimator(estimator, options)
        self.budget = budget
        self.beta = float(beta)
        self.seed = seed
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))
        if self.estimator.temperature is not None:
            start = torch.tensor(self.estimator.temperature, dtype=torch.float64)
            self.register_buffer("_temperature", start)

    @property
    def temperature(self) -> float | None:
        """Of the relaxation (gumbel, tv_prox; else None); set it between passes to anneal."""
        return None if self.estimator.temperature is None else float(self._temperature)

    @temperature.setter
    def temperature(self, value: float) -> None:
        if self.estimator.temperature is None:
            raise ValueError(
                f"temperature must be left alone for {self.estimator.name}; got {value}. It "
                "relaxes nothing: use gumbel or tv_prox."
            )
        check_positive("temperature", value)
        self._temperature.fill_(value)

    # The compiler cannot look into native code, and would compile anew for every draw.
    @torch.compiler.disable
    def forward(self, model: IsingGrid) -> Float[Tensor, "*masks height width"]:
        """Masks: (batch, height, width); of score_function in training (batch, S, height, width).

        Args:
            model: a batch of models; gradients go to its potentials.
        """
        check_grid(model, "MaskLayer")
        counts = None if self.budget is None else budget_limit(model, self.budget, None).amount
        if not self.training:
            return find_map(model, budget=counts).mask.to(model.dtype)
        draw = Draw(
            beta=self.beta, counts=counts, key=self._next_key(), temperature=self.temperature
        )
        return self.estimator.masks(model, draw)

    @torch.compiler.disable
    def surrogate(
        self,
        model: IsingGrid,
        masks: Float[Tensor, "batch samples height width"],
        losses: Float[Tensor, "batch samples"],
    ) -> Float[Tensor, ""]:
        """What to call `backward` on after score_function: ``losses.mean()``, and its gradient.

        The gradient is an unbiased estimate of that of the expected loss: of what made the losses
        from the masks, and of the potentials by the score function, with the mean loss of an
        image's other samples as baseline. One loss an image and sample, of the whole image.

        Args:
            model: the model that the masks were drawn from.
            masks: what ``layer(model)`` gave, of 0 and 1.
            losses: the loss of every mask, with or without a graph.

        Raises:
            ValueError: another estimator, shapes that do not fit, masks that are not of 0 and 1 or
                violate a clamp, or losses that are not finite.

        Example:
            >>> import torch, mrfmask as mm
            >>> from mrfmask.nn import MaskLayer
            >>> unary = torch.zeros(1, 1, 2, requires_grad=True)
            >>> model = mm.IsingGrid(unary, torch.zeros(1, 1, 1), torch.zeros(1, 0, 2))
            >>> layer = MaskLayer("score_function", samples=1000, sweeps=1)
            >>> masks = layer(model)
            >>> layer.surrogate(model, masks, masks[:, :, 0, 0]).backward()
            >>> bool(abs(unary.grad[0, 0, 0] - 0.5) < 0.1)  # p(on) = sigmoid(2 unary)
            True
        """
        if self.estimator.name != "score_function":
            raise ValueError(
                f"estimator must be 'score_function' for surrogate; got {self.estimator.name!r}. "
                "Gradients of the others pass through the mask itself."
            )
        for name, tensor, shape in (
            ("masks", masks, (len(model), self.estimator.samples, *model.shape[1:])),
            ("losses", losses, (len(model), self.estimator.samples)),
        ):
            if tuple(tensor.shape) != shape:
                raise ValueError(
                    f"{name} must have shape {shape}; got {tuple(tensor.shape)}. One for every "
                    "image and sample."
                )
        if not bool(((masks == 0) | (masks == 1)).all()):
            raise ValueError(
                "masks must be 0 and 1; got other values. Pass what the layer gave, unscaled."
            )
        if not bool(losses.isfinite().all()):
            raise ValueError(
                "losses must be finite; got NaN or infinite ones. Check what computed them."
            )
        return surrogate(model, masks > 0.5, losses, self.beta)

    def extra_repr(self) -> str:
        """For `repr`: the settings and the estimator's options."""
        options = {f.name: getattr(self.estimator, f.name) for f in fields(self.estimator)}
        if self.estimator.temperature is not None:
            options["temperature"] = self.temperature
        settings = {"budget": self.budget, "beta": self.beta, "seed": self.seed, **options}
        listed = ", ".join(f"{name}={value!r}" for name, value in settings.items())
        return f"{self.estimator.name!r}, {listed}"

    def _next_key(self) -> int:
        """The key of this pass's random numbers; counts the pass."""
        groups = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank = torch.distributed.get_rank() if groups else 0
        sequence = np.random.SeedSequence(self.seed, spawn_key=(rank, int(self.draws)))
        self.draws += 1
        return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def make_estimator(name: str, options: dict[str, Any]) -> Estimator:
    """The named estimator with these options, if it exists and has them."""
    if name not in ESTIMATORS:
        raise ValueError(
            f"estimator must be one of {', '.join(ESTIMATORS)}; got {name!r}. ESTIMATORS of "
            "mrfmask.nn.estimators lists them."
        )
    known = {f.name for f in fields(ESTIMATORS[name])}
    for option in options:
        if option not in known:
            has = ", ".join(sorted(known))
            raise TypeError(f"options must be ones that {name} has; got {option!r}. It has: {has}.")
    return ESTIMATORS[name](**options)

"""The likelihood itself, with exact log Z and gradients, on narrow grids or narrow crops."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.inference.exact import Exact
from mrfmask.inference.method import check_count, check_positive
from mrfmask.model import IsingGrid
from mrfmask.nn.losses.loss import Loss, LossDetails, check_example, check_zero_or_one
from mrfmask.nn.losses.statistics import Statistics, score, statistics_of


class ExactLikelihood(Loss):
    r"""``-log p(target) = beta E(target) + log Z``, in nats, exact in value and gradient.

    log Z and the moments come from `Exact`, so images must be narrow or have few free pixels. The
    gradient in the scores is ``beta (E_p[phi] - phi(target))``. Pixels of weight 0 are summed out:
    ``-log p(target at the other pixels)``, by a second elimination. Weights must be 0 or 1.

    With `crop`, each call takes one random window of every image, by itself: couplings that leave
    the window are dropped, and nothing outside conditions it, so this is the likelihood of smaller
    models with the same potentials, not a part of that of the whole. Windows are drawn in turn from
    (seed, calls); a call in evaluation mode draws those that the next call in training will.

    Args:
        beta: inverse temperature, positive.
        crop: (height, width) of the window, or None for whole images.
        seed: of the windows, from 0 to 2^31 - 1.
        reduction: "mean" or "none".

    `details` returns as `found` the exact Marginals of the model (of the windows).

    Raises:
        ValueError: a call with images that are too large for exact elimination, or smaller than
            `crop`.

    Reference:
        Lafferty, McCallum and Pereira, "Conditional random fields", ICML 2001.
    """

    def __init__(
        self,
        *,
        beta: float = 1.0,
        crop: tuple[int, int] | None = None,
        seed: int = 0,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        check_positive("beta", beta)
        check_count("seed", seed, least=0)
        if crop is not None:
            check_size("crop", crop)
        self.beta, self.crop, self.seed = beta, crop, seed
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def details(
        self,
        model: IsingGrid,
        target: Bool[Tensor, "batch height width"],
        weights: Float[Tensor, "batch height width"] | None = None,
    ) -> LossDetails:
        """The loss of every image, and the exact Marginals as `found`."""
        weights = check_example(model, target, weights)
        check_zero_or_one(weights, "ExactLikelihood")
        if self.crop is not None:
            y, x = self._corners(model)
            model = window(model, y, x, self.crop)
            target, weights = (_window(t, y, x, self.crop) for t in (target, weights))
        method = Exact(beta=self.beta)
        if not method.accepts(model):
            _, height, width = model.shape
            raise ValueError(
                f"model must have {method.needs} for ExactLikelihood; got {height}x{width}. Give "
                "crop=(height, width) with a narrow side."
            )
        found = method.marginals(model)
        given, log_given = self._phase_of_target(model, target, weights > 0)
        # The gradient by the moments; the value, which has log Z in it, from what was computed.
        slope = self.beta * score(model, _moments(found.probability, found).minus(given))
        value = found.log_partition - log_given
        return LossDetails(value=slope + (value - slope).detach(), found=found)

    def _phase_of_target(
        self, model: IsingGrid, target: Tensor, known: Tensor
    ) -> tuple[Statistics, Tensor]:
        """Mean statistics and log partition function given the known pixels of the target."""
        if bool(known.all()):
            return statistics_of(target, model), -self.beta * model.energy(target).detach()
        given = model.clamp(on=target & known, off=~target & known)
        found = Exact(beta=self.beta).marginals(given)
        # A clamp takes a pixel's own score out of log Z, which is put back here.
        newly = given.clamped & ~model.clamped
        own = torch.where(newly, model.unary.detach() * torch.where(target, 1, -1), 0.0)
        log_given = found.log_partition + self.beta * own.to(torch.float64).sum(dim=(1, 2))
        return _moments(found.probability, found), log_given

    def _corners(self, model: IsingGrid) -> Int[Tensor, "2 batch"]:
        """The upper left pixels of this call's windows."""
        batch, height, width = model.shape
        if self.crop[0] > height or self.crop[1] > width:
            raise ValueError(
                f"crop must fit the images of {height}x{width}; got {self.crop}. Choose a smaller "
                "window."
            )
        generator = torch.Generator().manual_seed((self.seed << 32) + int(self.calls))
        if self.training:
            self.calls += 1
        free = (height - self.crop[0] + 1, width - self.crop[1] + 1)
        corners = [torch.randint(n, (batch,), generator=generator) for n in free]
        return torch.stack(corners).to(model.device)


def _moments(probability: Tensor, found) -> Statistics:
    return Statistics(2 * probability - 1, found.right, found.down)


def window(
    model: IsingGrid, y: Int[Tensor, " batch"], x: Int[Tensor, " batch"], size: tuple[int, int]
) -> IsingGrid:
    """A window of every image as an open grid; couplings that leave it are dropped."""
    height, width = size
    return IsingGrid(
        _window(model.unary, y, x, size),
        _window(model.right, y, x, (height, width - 1)),
        _window(model.down, y, x, (height - 1, width)),
        model.constant,
    )


def _window(values: Tensor, y: Tensor, x: Tensor, size: tuple[int, int]) -> Tensor:
    rows = y[:, None, None] + torch.arange(size[0], device=y.device)[:, None]
    columns = x[:, None, None] + torch.arange(size[1], device=y.device)
    return values[torch.arange(len(values), device=y.device)[:, None, None], rows, columns]


def check_size(name: str, size: tuple[int, int]) -> None:
    """Raises unless `size` is (height, width), two positive ints."""
    if not isinstance(size, tuple) or len(size) != 2:
        raise TypeError(f"{name} must be (height, width); got {size!r}. Use a tuple of two ints.")
    for part, value in zip(("height", "width"), size, strict=True):
        check_count(f"{name} {part}", value, least=1)

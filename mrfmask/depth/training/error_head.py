"""Trains heads that expect errors, by what picks that follow them would leave of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mrfmask.depth.buyer import base_buyers
from mrfmask.depth.error_head import LEAST, ErrorHead
from mrfmask.depth.losses import Mean
from mrfmask.depth.training.bought import Bought
from mrfmask.depth.training.fit import before_later_phases, fit_bought
from mrfmask.depth.training.predictor import BASE_PLAN
from mrfmask.depth.training.task import Task
from mrfmask.learn.loop import Watcher
from mrfmask.learn.plan import Plan

HEAD_PLAN = BASE_PLAN
# Picks of density rho leave squared errors that fall like rho^-0.7, as measured; those of density
# (expected error)^(1 / 1.7) then leave the least.
FALL = 0.7


def fit_error_head(
    task: Task,
    folder: Path,
    *,
    plan: Plan | None = None,
    watcher: Watcher | None = None,
) -> ErrorHead:
    """Trains a network that expects the squared error of the linear fill; goes on where stopped.

    It sees what `base_buyers` have bought before later phases begin, see `before_later_phases`, and
    learns by `error_loss` on valid pixels not bought.
    Kept is the network of the pass whose loss on validation frames is least.

    Args:
        task: frames and shares.
        folder: of this training alone, for its state and the network; made if need be.
        plan: how long and how fast; None for `HEAD_PLAN` with the seed of the task.
        watcher: is told how it goes.

    Returns:
        The network in evaluation mode. One that was trained before is read from the folder.

    Raises:
        ValueError: the folder is of another training.
        RuntimeError: the loss is no longer finite.
    """
    if plan is None:
        plan = replace(HEAD_PLAN, seed=task.seed)
    torch.manual_seed(plan.seed)
    return fit_bought(
        ErrorHead(),
        _loss_of,
        mean_loss,
        before_later_phases(task),
        folder,
        base_buyers(),
        plan=plan,
        settings={},
        watcher=watcher,
    )


def error_loss(
    expected: Float[Tensor, "batch height width"],
    squared: Float[Tensor, "batch height width"],
    wanted: Bool[Tensor, "batch height width"],
) -> Float[Tensor, " batch"]:
    """``log mean(q rho^-0.7)`` of every image: what further picks would leave of its errors.

    Of squared errors q, were picks made in the density ``rho = e^(1/1.7) / mean(e^(1/1.7))``, with
    e the expected errors. Least where e is the mean of q given all that the network sees, up to a
    factor an image: only how picks are shared out counts.

    Args:
        expected: e, positive.
        squared: q, at least 0, and positive somewhere on wanted pixels.
        wanted: pixels that means are over, at least one an image.
    """
    mean = Mean(wanted)
    log_rho = torch.where(wanted, expected, 1.0).log() / (1 + FALL)
    log_rho = log_rho - mean(log_rho.exp()).log()[:, None, None]
    return mean(torch.where(wanted, squared, 0.0) * (-FALL * log_rho).exp()).log()


def _loss_of(net: nn.Module, batch: Bought) -> Tensor:
    return _losses(net, batch).mean()


def mean_loss(net: nn.Module, batches: Sequence[Sequence[Bought]]) -> float:
    """Mean loss over all examples of all shares."""
    losses = [_losses(net, batch) for share in batches for batch in share]
    return torch.cat(losses).mean().item()


def _losses(net: nn.Module, batch: Bought) -> Float[Tensor, " batch"]:
    """Over the mean measured depth squared, so that images near and far count alike."""
    depth, valid, mask = batch.frames.depth, batch.frames.valid, batch.mask
    expected = net(batch.measured, mask, valid, fills=batch.fills)
    unit = Mean(mask)(depth)[:, None, None].square()
    squared = (batch.fills.linear - depth).square() / unit + LEAST**2
    # Where all was bought nothing is left to expect.
    rest = valid & ~mask
    some = rest.any(dim=(1, 2), keepdim=True)
    return error_loss(expected / unit, squared, rest.where(some, valid))

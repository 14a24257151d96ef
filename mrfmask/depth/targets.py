"""Target networks: slow copies of a network, so that what learns from it has a fixed aim."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor, nn

from mrfmask.depth.describe import digest_of
from mrfmask.inference.method import check_count, check_positive

Net = TypeVar("Net", bound=nn.Module)


class Target(nn.Module, Generic[Net]):
    r"""A copy of a network that follows it, and is never trained itself.

    With every update number k, Polyak averaging moves all weights a part of the way,
    ``target <- (1 - tau) * target + tau * net``, so that weights of n updates ago count
    ``(1 - tau)^n``; a periodic target takes them over whole when k is a multiple of `every`, and
    stays as it is in between. Buffers of floating point are averaged as well, others copied.

    The copy is in evaluation mode, whatever is asked of it, and has no gradients; ``state_dict``
    holds it and the number of updates, so that a stopped training goes on alike.

    Args:
        net: copied as it is now; later changes reach the copy by `update` alone.
        tau: of Polyak averaging, in (0, 1]; 1 copies at every update. None for a periodic target.
        every: updates between copies, >= 1. None for Polyak averaging.

    Raises:
        TypeError: an argument of another kind, or not just one of `tau` and `every`.
        ValueError: an argument out of its range.

    Example:
        >>> import torch
        >>> from mrfmask.depth.targets import Target
        >>> net = torch.nn.Linear(1, 1)
        >>> _ = net.weight.data.fill_(0)
        >>> target = Target(net, tau=0.25)
        >>> _ = net.weight.data.fill_(1)
        >>> target.update(net)
        >>> target.net.weight.item()
        0.25

    Reference:
        Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", SIAM Journal
        on Control and Optimization 1992; Mnih et al., "Human-level control through deep
        reinforcement learning", Nature 2015, for periodic targets; Lillicrap et al., "Continuous
        control with deep reinforcement learning", ICLR 2016, for averaged ones.
    """

    net: Net
    updates: Tensor

    def __init__(self, net: Net, *, tau: float | None = None, every: int | None = None) -> None:
        if not isinstance(net, nn.Module):
            raise TypeError(
                f"net must be a torch.nn.Module; got {type(net).__name__}. Pass the network."
            )
        if (tau is None) == (every is None):
            raise TypeError(
                f"tau or every must be given, and not both; got tau={tau}, every={every}. Use "
                "tau=0.01 if in doubt."
            )
        if tau is not None:
            check_positive("tau", tau)
            if tau > 1:
                raise ValueError(f"tau must lie in (0, 1]; got {tau}. 1 copies at every update.")
        else:
            check_count("every", every, least=1)
        super().__init__()
        self.tau, self.every = tau, every
        self.net = deepcopy(net).requires_grad_(False)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.train(False)

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, *args: Any, **options: Any) -> Any:
        """What the copy gives, without gradients."""
        return self.net(*args, **options)

    @torch.no_grad()
    def update(self, net: Net) -> None:
        """Counts an update, and follows the network.

        Args:
            net: has the weights of the network that was copied, by name and shape.

        Raises:
            ValueError: it has other weights.
            RuntimeError: one of its weights is not finite; the copy stays as it was.
        """
        own, new = self.net.state_dict(), net.state_dict()
        shapes = [{name: value.shape for name, value in state.items()} for state in (own, new)]
        if shapes[0] != shapes[1]:
            name = sorted(set(shapes[0].items()) ^ set(shapes[1].items()))[0][0]
            raise ValueError(
                f"net must have the weights of the one that was copied; got another {name}. Make a "
                "new Target."
            )
        for name, value in new.items():
            if not value.isfinite().all():
                raise RuntimeError(
                    f"net must have finite weights; got others in {name}. Its training diverged: "
                    "use a lower learning rate."
                )
        self.updates += 1
        if self.every is not None and int(self.updates) % self.every:
            return
        for name, value in own.items():
            if self.tau is not None and value.is_floating_point():
                value.lerp_(new[name].to(value), self.tau)
            else:
                value.copy_(new[name])

    def digest(self) -> str:
        """Tells these weights from others, e.g. for caches of what they gave: 16 hex digits."""
        return digest_of(self.net)

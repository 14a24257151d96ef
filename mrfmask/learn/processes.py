"""Training in several processes, as torchrun starts them, or in one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank: number of this one; 0 validates, writes and talks.
        count: how many there are.
        device: where this one computes.
    """

    rank: int
    count: int
    device: torch.device

    def wrap(self, net: nn.Module) -> nn.Module:
        """The network with gradients averaged over all processes."""
        net = net.to(self.device)
        return DistributedDataParallel(net) if self.count > 1 else net

    def share(self, make: Callable[[], Any]) -> Any:
        """What rank 0 makes, for all; an error of its is raised in all, so that none waits."""
        if self.count == 1:
            return make()
        box: list[Any] = [None, None]
        if self.rank == 0:
            try:
                box[0] = make()
            except Exception as error:
                box[1] = error
        dist.broadcast_object_list(box, src=0)
        if box[1] is not None:
            raise box[1]
        return box[0]

    def mean(self, value: float) -> float:
        """The mean over all processes."""
        if self.count == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.item() / self.count


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Joins the processes that torchrun started, or trains alone.

    Args:
        device: "cpu" or "cuda"; on cuda each process takes the GPU of its local rank.

    Raises:
        RuntimeError: cuda was asked for and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(
            "--device must be a device of this machine; got cuda, but PyTorch sees no GPU. Leave "
            "it out, or check the driver and install a PyTorch built for CUDA."
        )
    count = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    here = torch.device("cuda", local) if device == "cuda" else torch.device("cpu")
    if count == 1:
        yield Processes(0, 1, here)
        return
    if device == "cuda":
        torch.cuda.set_device(here)
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), count, here)
    finally:
        dist.destroy_process_group()

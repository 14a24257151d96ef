"""How a native function becomes a torch operator, on CPU and CUDA.

The only file that says ``mrfmask::``. Operators return what they compute and change nothing, so
they compose with torch.compile; inputs have been validated by `IsingGrid` and the methods.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LIBRARY = torch.library.Library("mrfmask", "DEF")


def on_cpu(function: Callable) -> Callable:
    """Defines the operator ``mrfmask::<name>`` with this CPU implementation.

    As torch.library.custom_op does, which however imports torch's compiler on the first call and so
    makes that one a second slower.
    """
    name = function.__name__
    LIBRARY.define(name + torch.library.infer_schema(function, mutates_args=()))
    LIBRARY.impl(name, function, "CPU")
    return getattr(torch.ops.mrfmask, name).default


def on_cuda(name: str) -> Callable:
    """Registers the implementation of an operator for CUDA tensors."""

    def register(function: Callable) -> Callable:
        LIBRARY.impl(name, function, "CUDA")
        return function

    return register


def shapes_of(op: Callable) -> Callable:
    """Registers what tracing calls instead of the operator: outputs of the right shapes."""
    return torch.library.register_fake(op.name(), lib=LIBRARY)


def as_numpy(tensor: Tensor):
    """A contiguous NumPy view; bool becomes uint8, which is what the kernels read and write."""
    tensor = tensor.detach().contiguous()
    return (tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor).numpy()


def check_devices(unary: Tensor, **others: Tensor | None) -> None:
    """Raises unless all tensors are on the device of `unary`: nothing is copied there in secret."""
    for name, tensor in others.items():
        if tensor is not None and tensor.device != unary.device:
            raise ValueError(
                f"{name} must be on the device of unary, {unary.device}; got {tensor.device}. "
                "Call .to(device)."
            )


def through_host(op: Callable, *arguments) -> tuple[Tensor, ...]:
    """What an operator gives on CPU threads for CUDA tensors, by way of pinned memory."""
    device = arguments[0].device

    def to_host(value):
        if not isinstance(value, Tensor):
            return value
        pinned = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
        return pinned.copy_(value.detach(), non_blocking=True)

    host = [to_host(value) for value in arguments]
    torch.cuda.current_stream(device).synchronize()
    outputs = op(*host)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return tuple(t.pin_memory().to(device, non_blocking=True) for t in outputs)

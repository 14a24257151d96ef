"""A CUDA device that is not there: tensors which say ``cuda:0`` and are kept on the CPU.

Within the mode `Card`, what PyTorch would refuse on a CUDA device is an error: tensors of two
devices in one operation (only single numbers may come from the CPU), NumPy on a device tensor and,
while a graph is captured, whatever waits for the device or copies to it. What the two devices round
differently is rounded differently here as well: sums run backwards, quotients by a number are
products with its inverse, and transcendental functions are off by one unit in the last place. The
operators run their CUDA implementations.
"""

from __future__ import annotations

import math
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

CARD = torch.device("cuda:0")
CUDA = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
READS_BACK = {
    *("item", "tolist", "__bool__", "__int__", "__float__", "__index__", "is_nonzero", "equal"),
    *("cpu", "nonzero", "unique", "masked_select", "bincount", "allclose"),
}
NOT_FOR_CARDS = {"numpy", "__array__", "ldexp"}  # CUDA rounds the power of two in ldexp
# These do not take single numbers from the CPU either.
OF_ONE_DEVICE = {"cat", "stack", "equal", "searchsorted", "__getitem__", "index_add_", "bincount"}
COPIES = {"copy_", "data_ptr"}
TRANSCENDENTAL = {"exp", "log", "tanh", "sigmoid", "pow", "__pow__", "__rpow__", "logaddexp"}
DIVISIONS = {"__truediv__", "__itruediv__", "div", "div_", "true_divide"}


class OnCard(Tensor):
    """A tensor of the device; `inner` holds its values."""

    inner: Tensor

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} got a tensor of the device outside of the mode Card")


def put(inner: Tensor) -> OnCard:
    """The tensor with these values on the device."""
    tensor = Tensor._make_wrapper_subclass(OnCard, inner.shape, dtype=inner.dtype)
    tensor.inner = inner
    return tensor


def _on_card(value) -> bool:
    return isinstance(value, OnCard)


def _is_device(value, kind: str) -> bool:
    return isinstance(value, str | torch.device) and str(value).startswith(kind)


class Card(TorchFunctionMode):
    """Within it there is a device ``cuda:0``.

    Attributes:
        capturing: whether a graph is being captured.
        waits: how often the host has waited for the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.capturing = False
        self.waits = 0

    def current_stream(self, device=None) -> SimpleNamespace:
        """For torch.cuda.current_stream."""
        return SimpleNamespace(synchronize=lambda: self._wait("synchronize"))

    def _wait(self, name: str) -> None:
        self.waits += 1
        if self.capturing:
            raise RuntimeError(f"{name} waits for the device or copies to it during a capture")

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", str(func))
        if name == "__get__":
            name = func.__self__.__name__
        if isinstance(func, torch._ops.OpOverload) and func.namespace == "mrfmask":
            return self._operator(func, args, kwargs)
        if name == "device" and _on_card(args[0]):
            return CARD
        if name == "pin_memory":
            return args[0]
        kwargs.pop("pin_memory", None)
        if name == "to":
            return self._to(func, args, kwargs)
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        here = any(map(_on_card, tensors))
        self._check(name, args, tensors)
        inner_args, inner_kwargs = tree_map_only(OnCard, lambda t: t.inner, (args, kwargs))
        if "device" in kwargs and _is_device(kwargs["device"], "cuda"):
            inner_kwargs["device"] = "cpu"
            here = True
            if name in ("tensor", "as_tensor"):
                self._wait(name)
        if here and name == "__iter__":
            return iter([put(t) for t in inner_args[0].unbind(0)])
        if not here or name in ("cpu", "data_ptr"):
            return func(*inner_args, **inner_kwargs)
        if name == "copy_":
            func(*inner_args, **inner_kwargs)
            return args[0]
        return self._wrapped(self._rounded(name, func, inner_args, inner_kwargs), tensors)

    def _operator(self, func, args, kwargs):
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        if not any(map(_on_card, tensors)):
            return func(*args, **kwargs)
        with self:
            return func.redispatch(CUDA, *args, **kwargs)

    def _to(self, func, args, kwargs):
        targets = [*args[1:], kwargs.get("device")]
        from_card = _on_card(args[0])
        to_card = any(_is_device(t, "cuda") for t in targets) or any(map(_on_card, targets))
        to_cpu = any(_is_device(t, "cpu") for t in targets)
        if (from_card and to_cpu) or (to_card and not from_card):
            self._wait("to")
        clean = ["cpu" if _is_device(t, "cuda") else t for t in args[1:]]
        clean = [t.inner if _on_card(t) else t for t in (args[0], *clean)]
        if "device" in kwargs:
            kwargs["device"] = "cpu"
        result = func(*clean, **kwargs)
        return put(result) if to_card or (from_card and not to_cpu) else result

    def _check(self, name: str, args, tensors: list[Tensor]) -> None:
        there = [t for t in tensors if _on_card(t)]
        if not there:
            return
        if name in NOT_FOR_CARDS:
            raise TypeError(f"{name} on a CUDA tensor")
        others = [t for t in tensors if not _on_card(t) and (t.dim() or name in OF_ONE_DEVICE)]
        if others and name not in COPIES:
            shapes = [tuple(t.shape) for t in others]
            raise RuntimeError(f"{name} got tensors of cuda:0 and, of shapes {shapes}, of the cpu")
        by_mask = name in ("__getitem__", "__setitem__", "index_put", "index_put_") and any(
            t.inner.dtype == torch.bool for t in there if t is not args[0]
        )
        copies = name == "copy_" and len(there) < len(tensors)
        if name in READS_BACK or by_mask or copies:
            self._wait(name)

    def _rounded(self, name: str, func, args, kwargs):
        """What the function gives on a device that rounds otherwise, where rounding is free."""
        first = args[0] if args else None
        floating = isinstance(first, Tensor) and first.is_floating_point()
        if name in DIVISIONS and floating and isinstance(args[1], int | float) and args[1]:
            times = torch.Tensor.mul_ if name in ("__itruediv__", "div_") else torch.mul
            return times(first, 1.0 / args[1])
        if name == "mean" and floating:
            total = torch.sum(first, *args[1:], **kwargs)
            count = first.numel() // max(total.numel(), 1)
            return total * (1.0 / max(count, 1))
        if name == "sum" and floating and first.dim():
            turned = func(first.flip(*range(first.dim())), *args[1:], **kwargs)
            return turned.flip(*range(turned.dim())) if turned.dim() else turned
        result = func(*args, **kwargs)
        if name in TRANSCENDENTAL and isinstance(result, Tensor) and result.is_floating_point():
            return torch.nextafter(result, torch.full_like(result, math.inf))
        return result

    def _wrapped(self, result, arguments: list[Tensor]):
        """Results on the device; an argument that was changed in place stays the same object."""
        known = {id(t.inner): t for t in arguments if _on_card(t)}
        return tree_map_only(Tensor, lambda t: known[id(t)] if id(t) in known else put(t), result)

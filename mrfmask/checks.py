"""Checks of what users pass in, and the wording of what they are told.

Every message reads ``<argument> must <rule>; got <value>. <what to do>``. All checks run before
anything is allocated or launched.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mrfmask.directions import place, reach

# Larger values would overflow float32 sums; nobody means them.
LARGEST_POTENTIAL = 2.0**100


def check_mask(name: str, mask: Tensor, shape: tuple[int, ...], device: torch.device) -> None:
    """Raises TypeError or ValueError unless `mask` is a bool tensor of this shape and device."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        got = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"{name} must be a bool tensor; got {got}. Use states > 0.")
    if tuple(mask.shape) != tuple(shape):
        site = "pixel" if len(shape) > 2 else "node"
        raise ValueError(
            f"{name} must have shape {tuple(shape)}; got {tuple(mask.shape)}. "
            f"A mask has one value a {site}, batch first."
        )
    if mask.device != device:
        raise ValueError(
            f"{name} must be on the model's device {device}; got {mask.device}. Call .to(device)."
        )


def check_tensors(unary: Tensor, **couplings: Tensor) -> None:
    """Raises unless the potentials are float tensors of one dtype on one device."""
    for name, tensor in {"unary": unary, **couplings}.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"{name} must be a torch.Tensor; got {type(tensor).__name__}. "
                "Use torch.as_tensor(array)."
            )
        if tensor.dtype not in (torch.float32, torch.float64):
            raise TypeError(
                f"{name} must be float32 or float64; got {tensor.dtype}. Call .float()."
            )
        if tensor.dtype != unary.dtype:
            raise TypeError(
                f"{name} must have the dtype of unary, {unary.dtype}; got {tensor.dtype}. "
                "Convert one of them."
            )
        if tensor.device != unary.device:
            raise ValueError(
                f"{name} must be on the device of unary, {unary.device}; got {tensor.device}. "
                "Call .to(device)."
            )


def check_shapes(unary: Tensor, periodic: bool, **couplings: Tensor) -> None:
    """Raises unless the shapes fit (batch, height, width) and open or wrapped boundaries."""
    if not isinstance(periodic, bool):
        raise TypeError(f"periodic must be a bool; got {type(periodic).__name__}. Use True.")
    if unary.dim() != 3:
        hint = "For one image pass unary[None]." if unary.dim() == 2 else "Squeeze or reshape it."
        raise ValueError(
            f"unary must have shape (batch, height, width); got {tuple(unary.shape)}. {hint}"
        )
    batch, height, width = unary.shape
    if height == 0 or width == 0:
        raise ValueError(
            f"unary must have at least one row and one column; got {tuple(unary.shape)}. "
            "Leave empty images out."
        )
    columns = width if periodic and width > 1 else width - 1
    rows = height if periodic and height > 1 else height - 1
    kind = "periodic" if periodic else "open"
    for name, tensor in couplings.items():
        down, across = reach(name)
        shape = (batch, rows if down else height, columns if across else width)
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"{name} must have shape {shape} for {kind} grids of {height}x{width}; got "
                f"{tuple(tensor.shape)}. {', '.join(place(one) for one in couplings)}."
            )


def check_edges(edges: Tensor, nodes: int, device: torch.device) -> None:
    """Raises unless `edges` is an int64 tensor (edges, 2) of pairs of different nodes."""
    if not isinstance(edges, Tensor) or edges.dtype != torch.int64:
        got = edges.dtype if isinstance(edges, Tensor) else type(edges).__name__
        raise TypeError(f"edges must be an int64 tensor; got {got}. Call .long().")
    if edges.dim() != 2 or edges.shape[1] != 2:
        hint = "Transpose it." if edges.dim() == 2 and edges.shape[0] == 2 else "One pair a row."
        raise ValueError(f"edges must have shape (edges, 2); got {tuple(edges.shape)}. {hint}")
    if edges.device != device:
        raise ValueError(
            f"edges must be on the device of unary, {device}; got {edges.device}. Call .to(device)."
        )
    outside = ((edges < 0) | (edges >= nodes)).any(dim=1)
    loops = edges[:, 0] == edges[:, 1]
    if outside.any():
        at = int(outside.nonzero()[0])
        raise ValueError(
            f"edges must join nodes 0..{nodes - 1}; got {tuple(edges[at].tolist())} in row {at}. "
            "Number nodes as the columns of unary."
        )
    if loops.any():
        at = int(loops.nonzero()[0])
        raise ValueError(
            f"edges must join different nodes; got {tuple(edges[at].tolist())} in row {at}. "
            "x_i x_i = 1: add what couples a node to itself to constant, negated."
        )


def check_constant(constant: Tensor, unary: Tensor) -> None:
    """Raises unless `constant` is a float tensor with one value an image."""
    if not isinstance(constant, Tensor) or not constant.is_floating_point():
        got = constant.dtype if isinstance(constant, Tensor) else type(constant).__name__
        raise TypeError(f"constant must be a floating-point tensor; got {got}. One value an image.")
    if constant.shape != unary.shape[:1]:
        raise ValueError(
            f"constant must have shape ({unary.shape[0]},); got {tuple(constant.shape)}. "
            "One value an image."
        )
    if constant.device != unary.device:
        raise ValueError(
            f"constant must be on the device of unary, {unary.device}; got {constant.device}. "
            "Call .to(device)."
        )


def check_values(**tensors: Tensor) -> None:
    """Raises on NaN, on infinities but those of unary, and on values beyond LARGEST_POTENTIAL."""
    for name, tensor in tensors.items():
        values = tensor.detach()
        bad = values.isnan()
        rule = "must not contain NaN"
        if not bad.any():
            rule = "must lie in [-2^100, 2^100]"
            bad = values.abs() > LARGEST_POTENTIAL
            if name == "unary":
                rule += " or be +-inf (a clamp)"
                bad &= ~values.isinf()
        if bad.any():
            where = tuple(bad.nonzero()[0].tolist())
            raise ValueError(
                f"{name} {rule}; got {values[where].item()} at {where}. Check what computed it."
            )


def check_cost(cost: Tensor, shape: tuple[int, ...], device: torch.device) -> None:
    """Raises TypeError or ValueError unless `cost` holds positive ints, one for each site."""
    if not isinstance(cost, Tensor) or cost.dtype.is_floating_point or cost.dtype == torch.bool:
        got = cost.dtype if isinstance(cost, Tensor) else type(cost).__name__
        raise TypeError(f"cost must be a tensor of ints; got {got}. Count in small units.")
    site = "pixel" if len(shape) > 2 else "node"
    if tuple(cost.shape) != tuple(shape) or cost.device != device:
        raise ValueError(
            f"cost must have shape {tuple(shape)} on {device}; got {tuple(cost.shape)} on "
            f"{cost.device}. It has one value a {site}."
        )
    if cost.numel() and int(cost.min()) < 1:
        raise ValueError(
            f"cost must be at least 1; got {int(cost.min())}. Scale all costs up and give "
            f"{site}s that cost next to nothing 1."
        )

"""Every message of IsingGrid: the argument, the rule, the value, what to do."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from mrfmask import IsingGrid

UNARY, RIGHT, DOWN = torch.zeros(2, 3, 4), torch.zeros(2, 3, 3), torch.zeros(2, 2, 4)


def with_value(tensor, value):
    tensor = tensor.clone()
    tensor.view(-1)[5] = value
    return tensor


BAD = [
    ((np.zeros((2, 3, 4)), RIGHT, DOWN), TypeError, "unary must be a torch.Tensor; got ndarray"),
    ((UNARY.half(), RIGHT, DOWN), TypeError, "unary must be float32 or float64; got torch.float16"),
    ((UNARY.int(), RIGHT, DOWN), TypeError, "unary must be float32 or float64; got torch.int32"),
    ((UNARY, RIGHT.double(), DOWN), TypeError, "right must have the dtype of unary, torch.float32"),
    ((UNARY, RIGHT, DOWN.to("meta")), ValueError, "down must be on the device of unary, cpu; got"),
    ((UNARY[0], RIGHT, DOWN), ValueError, "got (3, 4). For one image pass unary[None]."),
    ((UNARY[None], RIGHT, DOWN), ValueError, "unary must have shape (batch, height, width)"),
    ((UNARY[:, :0], RIGHT, DOWN), ValueError, "unary must have at least one row and one column"),
    ((UNARY, UNARY, DOWN), ValueError, "right must have shape (2, 3, 3) for open grids of 3x4"),
    ((UNARY, RIGHT, UNARY), ValueError, "down must have shape (2, 2, 4) for open grids of 3x4"),
    ((UNARY, RIGHT, DOWN, None, True), ValueError, "right must have shape (2, 3, 4) for periodic"),
    ((UNARY, RIGHT, DOWN, None, 1), TypeError, "periodic must be a bool; got int"),
    ((UNARY, RIGHT, DOWN, 1.0), TypeError, "constant must be a floating-point tensor; got float"),
    ((UNARY, RIGHT, DOWN, torch.zeros(3)), ValueError, "constant must have shape (2,); got (3,)"),
    (
        (UNARY, RIGHT, DOWN, torch.zeros(2, device="meta")),
        ValueError,
        "constant must be on the device of unary, cpu; got meta",
    ),
    (
        (with_value(UNARY, torch.nan), RIGHT, DOWN),
        ValueError,
        "unary must not contain NaN; got nan at (0, 1, 1)",
    ),
    (
        (UNARY, with_value(RIGHT, torch.inf), DOWN),
        ValueError,
        "right must lie in [-2^100, 2^100]; got inf at (0, 1, 2)",
    ),
    (
        (with_value(UNARY, 1e31), RIGHT, DOWN),
        ValueError,
        "unary must lie in [-2^100, 2^100] or be +-inf (a clamp); got",
    ),
    (
        (UNARY, RIGHT, DOWN, torch.tensor([0.0, torch.nan])),
        ValueError,
        "constant must not contain NaN; got nan at (1,)",
    ),
]


@pytest.mark.parametrize(("arguments", "kind", "message"), BAD, ids=lambda v: str(v)[:40])
def test_model_says_what_is_wrong(arguments, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        IsingGrid(*arguments)


MODEL = IsingGrid(UNARY, RIGHT, DOWN)
MASK = torch.zeros(2, 3, 4, dtype=torch.bool)
ONE = with_value(MASK, True)
CALLS = [
    (lambda: MODEL.energy(UNARY), TypeError, "mask must be a bool tensor; got torch.float32"),
    (lambda: MODEL.energy([True]), TypeError, "mask must be a bool tensor; got list"),
    (lambda: MODEL.energy(MASK[:1]), ValueError, "mask must have shape (2, 3, 4); got (1, 3, 4)"),
    (
        lambda: MODEL.energy(MASK[:, None, :2]),
        ValueError,
        "mask must have shape (2, 1, 3, 4); got (2, 1, 2, 4)",
    ),
    (lambda: MODEL.energy(MASK.to("meta")), ValueError, "mask must be on the model's device cpu"),
    (
        lambda: MODEL.log_prob(MASK, torch.zeros(1)),
        ValueError,
        "log_partition must have shape (2,), one value an image; got (1,)",
    ),
    (
        lambda: MODEL.log_prob(MASK, None),
        TypeError,
        "log_partition must be a tensor; got NoneType",
    ),
    (
        lambda: MODEL.clamp(on=ONE, off=ONE),
        ValueError,
        "off must not contradict another clamp; got pixel (1, 1) of image 0",
    ),
    (lambda: MODEL.clamp(on=ONE[0]), ValueError, "on must have shape (2, 3, 4); got (3, 4)"),
]
COSTS = (torch.zeros(2, 3, 4, 2), torch.zeros(2, 3, 3, 2, 2), torch.zeros(2, 2, 4, 2, 2))
FORBIDDEN = COSTS[0].clone()
FORBIDDEN[1, 2, 3] = torch.inf
CALLS += [
    (
        lambda: IsingGrid.from_costs(FORBIDDEN, *COSTS[1:]),
        ValueError,
        "unary must leave each pixel a state; got +inf for both states at (1, 2, 3)",
    ),
    (
        lambda: IsingGrid.from_costs(-FORBIDDEN, *COSTS[1:]),
        ValueError,
        "unary must hold finite costs or +inf",
    ),
    (
        lambda: IsingGrid.from_costs(UNARY, *COSTS[1:]),
        ValueError,
        "unary must have shape (batch, height, width, 2); got (2, 3, 4)",
    ),
    (
        lambda: IsingGrid.from_costs(COSTS[0], COSTS[2], COSTS[2]),
        ValueError,
        "right must have shape (2, 3, 3, 2, 2) for open grids of 3x4, (2, 3, 4, 2, 2) for",
    ),
    (
        lambda: IsingGrid.from_costs(COSTS[0], RIGHT, COSTS[2]),
        ValueError,
        "right must have shape (batch, height, width, 2, 2); got (2, 3, 3)",
    ),
    (
        lambda: IsingGrid.from_costs(COSTS[0], with_value(COSTS[1], torch.inf), COSTS[2]),
        ValueError,
        "right must hold finite costs; got NaN or inf",
    ),
    (
        lambda: IsingGrid.from_costs(COSTS[0].int(), *COSTS[1:]),
        TypeError,
        "unary must be a floating-point tensor; got torch.int32",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), CALLS)
def test_function_says_what_is_wrong(call, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        call()

"""Every message of select: the argument, the rule, the value, what to do; nothing is ignored."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import mrfmask as mm

SCORES = torch.zeros(2, 3, 4)
TAKEN = torch.zeros(2, 3, 4, dtype=torch.bool)
TAKEN[1, 0, :3] = True
COST = torch.ones(2, 3, 4, dtype=torch.int64)
FEATURES = torch.zeros(2, 5, 3, 4)


def with_value(tensor, value):
    tensor = tensor.clone()
    tensor.view(-1)[5] = value
    return tensor


BAD = [
    ({"method": "best"}, ValueError, "method must be one of random, grid, poisson_disk, "),
    ({"method": "grid", "seed": 1}, TypeError, "grid has; got 'seed'. It has: none."),
    ({"speed": 1}, TypeError, "options must be ones that long_range has; got 'speed'. It has: exp"),
    (
        {"scores": np.zeros((2, 3, 4))},
        TypeError,
        "scores must be a float32 or float64 tensor; got n",
    ),
    (
        {"scores": SCORES.half()},
        TypeError,
        "scores must be a float32 or float64 tensor; got torch.",
    ),
    ({"scores": SCORES[0]}, ValueError, "got (3, 4). For one image pass scores[None]."),
    (
        {"scores": SCORES[:, :0]},
        ValueError,
        "scores must have shape (batch, height, width); got (2",
    ),
    ({"scores": SCORES.to("meta")}, RuntimeError, "scores must be on cpu or cuda; got meta"),
    (
        {"scores": with_value(SCORES, torch.nan)},
        ValueError,
        "scores must be finite or -inf; got nan a",
    ),
    ({"scores": with_value(SCORES, torch.inf)}, ValueError, "got inf at (0, 1, 1). Mark pixels"),
    ({"budget": None}, TypeError, "budget or budget_new must be given, and one alone; got neither"),
    ({"budget_new": 2}, TypeError, "budget or budget_new must be given, and one alone; got both"),
    (
        {"budget": "2%"},
        TypeError,
        "budget must be an int, a share, or one of them an image; got str",
    ),
    ({"budget": True}, TypeError, "budget must hold numbers; got bool. Use e.g. 100 or 0.01."),
    ({"budget": [1, None]}, TypeError, "budget must hold numbers; got NoneType."),
    ({"budget": [1, 2, 3]}, ValueError, "budget must have one value for each of 2 images; got 3."),
    ({"budget": -1}, ValueError, "budget must be at least 0; got -1."),
    ({"budget": 1.5}, ValueError, "budget must lie in (0, 1] as a share of the pixels; got 1.5."),
    (
        {"budget": float("nan")},
        ValueError,
        "budget must lie in (0, 1] as a share of the pixels; got n",
    ),
    (
        {"budget": [12, 13]},
        ValueError,
        "budget must be at most 12 in image 1, where 12 pixels may be",
    ),
    (
        {"budget": None, "budget_new": [12, 10], "taken": TAKEN},
        ValueError,
        "budget_new must be at most 9 in image 1, where 9 pixels may be chosen; got 10.",
    ),
    (
        {"budget": 2, "taken": TAKEN},
        ValueError,
        "budget must be at least the number of the taken pixels, 3 in image 1; got 2. Use budget_n",
    ),
    (
        {"budget": 2, "taken": TAKEN, "cost": COST, "method": "top_k"},
        ValueError,
        "budget must be at least the cost of the taken pixels, 3 in image 1; got 2. Use budget_new",
    ),
    ({"taken": TAKEN.int()}, TypeError, "taken must be a bool tensor; got torch.int32."),
    ({"taken": TAKEN[:1]}, ValueError, "taken must have shape (2, 3, 4); got (1, 3, 4)."),
    (
        {"cost": COST},
        ValueError,
        "cost must not be given to long_range, which has no use for it; got",
    ),
    (
        {"cost": COST.float(), "method": "top_k"},
        TypeError,
        "cost must be a tensor of ints; got torch.f",
    ),
    (
        {"cost": COST[:1], "method": "top_k"},
        ValueError,
        "cost must have shape (2, 3, 4) on cpu; got (1",
    ),
    ({"cost": COST * 0, "method": "top_k"}, ValueError, "cost must be at least 1; got 0."),
    (
        {"cost": COST, "method": "top_k", "budget": 0.5},
        TypeError,
        "budget must be an int where cost is given; got 0.5.",
    ),
    (
        {"features": FEATURES},
        ValueError,
        "features must not be given to long_range, which has no use",
    ),
    (
        {"features": FEATURES.int(), "method": "k_center"},
        TypeError,
        "features must be a floating-point tensor; got torch.int32. Call .float().",
    ),
    (
        {"features": FEATURES[0], "method": "k_center"},
        ValueError,
        "features must have shape (2, channels, 3, 4) on cpu; got (5, 3, 4) on cpu.",
    ),
    (
        {"features": FEATURES * torch.nan, "method": "k_center"},
        ValueError,
        "features must be finite; got NaN or infinity.",
    ),
    ({"method": "random", "seed": -1}, ValueError, "seed must lie in 0..2^63-1; got -1."),
    ({"method": "random", "weighted": 1}, TypeError, "weighted must be a bool; got int. Use True."),
    (
        {"method": "superpixel", "compactness": 0},
        ValueError,
        "compactness must be positive and fin",
    ),
    (
        {"method": "ising", "coupling": "2"},
        TypeError,
        "coupling must be a number; got str. Use a float.",
    ),
    ({"method": "ising", "coupling": -1}, ValueError, "coupling must lie in 0..1000; got -1."),
    ({"exponent": 17}, ValueError, "exponent must lie in 1..16; got 17."),
    ({"exponent": 8.0}, TypeError, "exponent must be an int; got float."),
    ({"passes": -1}, ValueError, "passes must lie in 0..2147483647; got -1."),
]


@pytest.mark.parametrize(("arguments", "kind", "message"), BAD, ids=[m for *_, m in BAD])
def test_select_says_what_is_wrong(arguments, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        mm.select(**{"scores": SCORES, "budget": 3, **arguments})


def test_log_energy_checks_its_mask():
    with pytest.raises(TypeError, match="mask must be a bool tensor"):
        mm.LongRange().log_energy(SCORES, TAKEN.int())


def test_a_selector_that_breaks_its_promise_is_a_bug(monkeypatch):
    monkeypatch.setattr(mm.SELECTORS["top_k"], "_choose_one", lambda self, request: request.free)
    with pytest.raises(RuntimeError, match="top_k must keep the budget and the forbidden pixels"):
        mm.select(SCORES, "top_k", budget=3)

"""Depth on a CUDA device that is not there: see device_tracker.py."""

from __future__ import annotations

import pytest
import torch
from device_tracker import Card, OnCard

from mrfmask.depth.losses import LOSSES
from mrfmask.depth.metrics import depth_metrics
from mrfmask.depth.reconstruct import fill


@pytest.fixture
def card():
    with Card() as card:
        yield card


def frame():
    """Depths, measured pixels and valid ones."""
    rng = torch.Generator().manual_seed(0)
    depth = 1 + torch.rand(2, 9, 11, generator=rng, dtype=torch.float64)
    valid = torch.rand(2, 9, 11, generator=rng) < 0.6
    return depth, valid & (torch.rand(2, 9, 11, generator=rng) < 0.3), valid


def assert_same(here, there):
    assert isinstance(there, OnCard)
    torch.testing.assert_close(there.cpu(), here, rtol=1e-12, atol=1e-12)


def test_fills_keep_to_the_device(card):
    depth, mask, _ = frame()
    here, there = fill(depth, mask), fill(depth.to("cuda"), mask.to("cuda"))
    for name in ("nearest", "linear", "distance"):
        assert_same(getattr(here, name), getattr(there, name))


def test_metrics_keep_to_the_device(card):
    depth, bought, valid = frame()
    maps = (depth.flip(2), depth, valid, bought)
    here, there = depth_metrics(*maps), depth_metrics(*(x.to("cuda") for x in maps))
    for name, value in here.items():
        assert_same(value, there[name])


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_depth_keep_to_the_device(card, name):
    depth, _, valid = frame()
    maps = (depth.flip(2), depth, valid, depth.flip(1))
    loss = LOSSES[name]()
    assert_same(loss(*maps), loss(*(x.to("cuda") for x in maps)))

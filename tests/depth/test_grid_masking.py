"""Grid masking: the budget to the pixel, in one go and in phases, and what it looks at."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mrfmask.depth import cells
from mrfmask.depth.budget import budget_of
from mrfmask.depth.frames import collate_frames
from mrfmask.depth.masking import MASKINGS, first_view
from mrfmask.depth.masking.grid import evenly, open_cells
from mrfmask.depth.phases import Phases, buy
from mrfmask.depth.synthetic import SyntheticFrames
from mrfmask.nn import MaskNet

SSVM = MASKINGS["ising_ssvm"]


@pytest.fixture(scope="module")
def frames():
    return collate_frames(list(SyntheticFrames(3, seed=3, size=(48, 64))))


def net(channels=3, coupling="free", seed=0):
    """Potentials that differ visibly from pixel to pixel."""
    torch.manual_seed(seed)
    made = MaskNet(in_channels=channels, width=8, coupling=coupling)
    for name in ("unary", "pairwise"):
        torch.nn.init.normal_(getattr(made.head, name)[-1].weight, std=0.3)
    return made.eval()


@pytest.mark.parametrize("coupling", ["repulsive", "free"])
@pytest.mark.parametrize("spread", [0.0, 0.4])
@pytest.mark.parametrize("share", [0.005, 0.01, 0.05, 0.1])
def test_grid_masking_keeps_the_budget_in_one_go_and_in_phases(frames, share, spread, coupling):
    masking = SSVM(net=net(5, coupling), spread=spread, cells_per_pick=3)
    count = budget_of(frames.valid, share)
    for phases in (1, 4):
        mask = buy(masking, frames, count, Phases(count=phases))
        assert mask.sum((1, 2)).tolist() == [count] * len(frames)
        assert not (mask & ~frames.valid).any()


def test_grid_masking_spends_all_valid_pixels_when_told_to(frames):
    valid = frames.valid & (torch.rand(frames.valid.shape) < 0.02)
    count = int(valid.sum((1, 2)).min())
    one = replace(first_view(frames), valid=valid)
    mask = SSVM(net=net())(one, count)
    assert mask.sum((1, 2)).tolist() == [count] * len(frames)


def test_grid_masking_of_pixels_keeps_the_budget(frames):
    masking, view = SSVM(net=net(), by_cells=False), first_view(frames)
    mask = masking(view, 30)
    assert mask.sum((1, 2)).tolist() == [30] * len(frames)


def test_grid_masking_lays_out_a_part_evenly_and_buys_one_pixel_of_a_cell(frames):
    masking, view = SSVM(net=net(), spread=0.4, cells_per_pick=3), first_view(frames)
    mask = masking(view, 50)
    for image, valid in enumerate(frames.valid):
        first = evenly(valid, 20)
        side = cells.cell_side(valid, 50, 3)
        assert not (first & ~mask[image]).any()
        later = mask[image] & ~first
        # No two of the later ones share a cell, nor one of them with an early one.
        choice = open_cells(valid & ~first, first, side)
        assert int((cells.some(later[None], side)[0] & choice).sum()) == int(later.sum()) == 30


def test_grid_masking_keeps_what_was_taken_and_lays_out_nothing_more(frames):
    view = first_view(frames)
    taken = torch.stack([evenly(valid, 10) for valid in frames.valid])
    mask = SSVM(net=net(), spread=0.4)(replace(view, taken=taken), 11)
    assert not (taken & ~mask).any()
    assert (mask.sum((1, 2)) == 11).all()


def test_grid_masking_buys_where_bought_depths_ask_for_it(frames):
    """A log-weight that is high in one half outweighs the net; a low weight does not."""
    view = first_view(frames)
    left = torch.zeros_like(view.log_weight)
    left[:, :, :32] = 50.0
    valid = torch.ones_like(view.valid)
    for weight, all_left in ((1.0, True), (1e-6, False)):
        mask = SSVM(net=net(), weight=weight)(replace(view, valid=valid, log_weight=left), 40)
        assert bool((mask[:, :, :32].sum((1, 2)) == 40).all()) == all_left


def test_grid_masking_asks_valid_pixels_alone(frames):
    """What bought depths ask for where nothing can be bought does not matter."""
    view = first_view(frames)
    other = torch.where(view.valid, view.log_weight, 100.0)
    masking = SSVM(net=net())
    assert torch.equal(masking(view, 40), masking(replace(view, log_weight=other), 40))


@pytest.mark.parametrize("channels", [3, 5])
def test_grid_masking_hangs_on_the_picture(frames, channels):
    view, masking = first_view(frames), SSVM(net=net(channels), spread=0.4)
    mask = masking(view, 40)
    other = masking(replace(view, picture=view.picture.roll(1, 0)), 40)
    assert (mask != other).any((1, 2)).all()
    assert torch.equal(mask, masking(view, 40))


def test_grid_masking_of_a_batch_is_that_of_its_images(frames):
    view, masking = first_view(frames), SSVM(net=net(5), spread=0.4)
    mask = masking(view, 40)
    for image in range(len(frames)):
        part = slice(image, image + 1)
        one = replace(
            view,
            picture=view.picture[part],
            valid=view.valid[part],
            taken=view.taken[part],
            log_weight=view.log_weight[part],
            seeds=view.seeds[part],
        )
        assert torch.equal(masking(one, 40)[0], mask[image])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spread": 1.0}, r"spread must lie in \[0, 1\); got 1.0"),
        ({"spread": -0.1}, r"spread must lie in \[0, 1\); got -0.1"),
        ({"cells_per_pick": 0}, "cells_per_pick must"),
        ({"weight": 0.0}, "weight must"),
    ],
)
def test_grid_masking_refuses_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        SSVM(net=net(), **options)

"""Error maps, against errors computed mask by mask."""

from __future__ import annotations

from dataclasses import replace

import torch

import mrfmask as mm
from mrfmask.depth import SyntheticFrames
from mrfmask.depth.cache import FrameCache
from mrfmask.depth.error_maps import cached_error_maps, error_maps
from mrfmask.depth.reconstruct import linear

FRAME = SyntheticFrames(1, seed=3, size=(24, 32))[0]
SHARES = (0.02, 0.1)


def test_maps_are_the_squared_errors_of_the_masks(monkeypatch):
    monkeypatch.setattr("mrfmask.depth.error_maps.SELECTORS", ("long_range",))
    scores = torch.zeros(1, 24, 32).where(FRAME.valid[None], -torch.inf)
    for row, share in enumerate(SHARES):
        mask = mm.select(scores, "long_range", budget=round(share * 24 * 32))
        error = (linear(FRAME.depth[None], mask)[0] - FRAME.depth) ** 2
        expected = error / error[FRAME.valid].mean()
        found = error_maps(FRAME, SHARES)[row]
        assert torch.allclose(found[FRAME.valid], expected[FRAME.valid], rtol=1e-5)


def test_every_mask_counts_alike():
    maps = error_maps(FRAME, SHARES)
    assert (maps[:, ~FRAME.valid] == 0).all()
    assert (maps >= 0).all()
    assert torch.allclose(maps[:, FRAME.valid].mean(dim=1), torch.ones(2), rtol=1e-4)


def test_maps_hang_on_the_name_and_not_on_the_unit():
    double = replace(FRAME, depth=2 * FRAME.depth)
    assert torch.allclose(error_maps(double, SHARES), error_maps(FRAME, SHARES), rtol=1e-4)
    other = replace(FRAME, name="another")
    assert not torch.equal(error_maps(other, SHARES), error_maps(FRAME, SHARES))


def test_a_plane_has_even_errors():
    """Interpolation gets it right: nothing says where to measure."""
    plane = torch.full((24, 32), 3.0)
    frame = replace(FRAME, depth=plane, valid=torch.ones(24, 32, dtype=torch.bool))
    assert torch.equal(error_maps(frame, SHARES), torch.ones(2, 24, 32))


def test_frame_with_fewer_valid_pixels_than_a_share_has_an_even_map_for_it():
    valid = torch.zeros(24, 32, dtype=torch.bool)
    valid[::4, ::4] = True  # 6 % of the pixels
    frame = replace(FRAME, depth=(1 + torch.rand(24, 32)).where(valid, 0), valid=valid)
    few, many = error_maps(frame, (0.02, 0.1))
    assert torch.equal(many, valid.float())
    assert few[valid].std() > 0.1


def test_cached_maps_are_the_maps(tmp_path, monkeypatch):
    expected = error_maps(FRAME, SHARES)
    first = cached_error_maps(FRAME, SHARES, FrameCache(tmp_path, "key"))
    assert torch.allclose(first, expected, rtol=1e-3, atol=1e-6)
    monkeypatch.setattr("mrfmask.depth.error_maps.error_maps", None)
    again = cached_error_maps(FRAME, SHARES, FrameCache(tmp_path, "key"))
    assert torch.equal(again, first)

"""Large pictures are filled tile by tile, nearly as well as at once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mrfmask.depth import tiles
from mrfmask.depth.tiles import long_range_in_tiles
from mrfmask.select import LongRange

SCORES = torch.nn.functional.interpolate(
    torch.randn(1, 1, 5, 9, generator=torch.Generator().manual_seed(0)), (60, 110), mode="bilinear"
)[0, 0]


def test_small_pictures_are_not_cut():
    whole = LongRange(exponent=4)(SCORES[None], budget=60)[0]
    assert torch.equal(long_range_in_tiles(SCORES, 60, 4), whole)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_tiles_lose_little(monkeypatch, share):
    count, model = round(share * SCORES.numel()), LongRange()
    whole = model(SCORES[None], budget=count)
    greedy = LongRange(passes=0)(SCORES[None], budget=count)
    monkeypatch.setattr(tiles, "AT_ONCE", 2**16)
    assert len(tiles._tiles(60, 110, int((2**16 / share) ** 0.25))) > 2
    mask = long_range_in_tiles(SCORES, count, 8)
    assert mask.sum() == count
    best, ours, worse = (
        model.log_energy(SCORES[None], m).item() for m in (whole, mask[None], greedy)
    )
    # Some forty picks a tile are few; still the mask is better than one of insertion at once.
    assert best < ours < worse


@given(
    st.lists(
        st.tuples(st.floats(1e-6, 1e3), st.integers(1, 50)),
        min_size=1,
        max_size=12,
    ),
    st.floats(0, 1),
)
def test_shares_sum_to_the_budget_and_fit(parts, filled):
    shares, sizes = [s for s, _ in parts], [n for _, n in parts]
    count = round(filled * sum(sizes))
    given_ = tiles._apportion(count, shares, sizes)
    assert sum(given_) == count
    assert all(0 <= n <= size for n, size in zip(given_, sizes, strict=True))


def test_shares_are_proportional_where_there_is_room():
    assert tiles._apportion(10, [1.0, 2.0, 2.0], [50, 50, 50]) == [2, 4, 4]
    assert tiles._apportion(10, [1.0, 2.0, 7.0], [50, 50, 4]) == [2, 4, 4]
    assert tiles._apportion(3, [1.0, 1.0, 1.1], [5, 5, 5]) == [1, 1, 1]


@given(st.integers(1, 300), st.integers(1, 300), st.integers(16, 120))
def test_tiles_cover_every_pixel_once(height, width, side):
    seen = torch.zeros(height, width, dtype=torch.int32)
    for part in tiles._tiles(height, width, side):
        assert max(seen[part].shape) <= side + 1
        seen[part] += 1
    assert (seen == 1).all()

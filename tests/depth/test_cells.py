"""Cells of pixels: how large, what they hold, and which of their pixels is picked."""

from __future__ import annotations

import math

import pytest
import torch

from mrfmask.depth import cells

SIZES = [(7, 11), (12, 12), (1, 9), (10, 3)]


def random_mask(size, share, seed):
    return torch.rand(size, generator=torch.Generator().manual_seed(seed)) < share


def blocks(size, side):
    """Rows, columns and slices of every cell."""
    for row in range(math.ceil(size[0] / side)):
        for column in range(math.ceil(size[1] / side)):
            yield (
                row,
                column,
                (
                    slice(row * side, min((row + 1) * side, size[0])),
                    slice(column * side, min((column + 1) * side, size[1])),
                ),
            )


def occupied(mask, side):
    return sum(bool(mask[part].any()) for _, _, part in blocks(mask.shape, side))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [1, 2, 3, 5, 13])
def test_some_and_mean_look_at_every_cell(size, side):
    mask = random_mask(size, 0.2, side)
    maps = torch.rand(2, *size, dtype=torch.float64)
    found, means = cells.some(mask[None], side)[0], cells.mean(maps[None], side)[0]
    count = 0
    for row, column, part in blocks(size, side):
        assert found[row, column] == mask[part].any()
        torch.testing.assert_close(means[:, row, column], maps[:, *part].mean((1, 2)))
        count += 1
    assert found.numel() == means[0].numel() == count


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [1, 2, 3, 13])
def test_mean_of_looks_at_the_pixels_of_the_mask_alone(size, side):
    values, mask = torch.rand(size, dtype=torch.float64), random_mask(size, 0.3, side)
    found = cells.mean_of(values.where(mask, torch.nan), mask, side)
    for row, column, part in blocks(size, side):
        inside = values[part][mask[part]]
        expected = inside.mean() if len(inside) else torch.zeros((), dtype=torch.float64)
        torch.testing.assert_close(found[row, column], expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("share", [0.1, 0.4, 1.0])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_cell_side_is_the_largest_that_leaves_a_choice(size, share, count):
    for seed in range(10):
        valid = random_mask(size, share, seed)
        good = [s for s in range(1, 20) if occupied(valid, s) >= cells.CELLS_PER_PICK * count]
        assert cells.cell_side(valid, count) == max(good, default=1)


def test_cell_side_is_the_largest_where_smaller_cells_hold_fewer_pixels():
    # Both pixels lie in one cell of side 2 (or 4), and in two of side 3.
    valid = torch.tensor([[False, False, True, True]])
    assert [occupied(valid, side) for side in (1, 2, 3, 4)] == [2, 1, 2, 1]
    assert cells.cell_side(valid, 1) == 3


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [1, 2, 3, 4, 13])
def test_picks_take_the_free_pixel_nearest_to_the_middle_of_every_chosen_cell(size, side):
    for seed in range(5):
        free = random_mask(size, 0.5, seed)
        held = cells.some(free[None], side)[0]
        chosen = held & random_mask(held.shape, 0.6, seed + 100)
        mask = cells.picks(chosen, free, side)
        assert not (mask & ~free).any()
        for row, column, part in blocks(size, side):
            own, inside = mask[part], free[part]
            assert own.sum() == chosen[row, column]
            if chosen[row, column]:
                middle = (torch.tensor(own.shape).double() - 1) / 2
                away = (inside.nonzero() - middle).square().sum(1)
                picked = (own.nonzero()[0] - middle).square().sum()
                assert picked == away.min()

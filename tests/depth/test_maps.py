"""Depth maps and pictures: reading, and reduction against plain loops."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from depth_files import depth_png, sparse_steps
from PIL import Image

from mrfmask.depth.maps import middle, read_depth, reduce_depth, reduce_picture


def nearest_by_loop(depth, rows, columns):
    height, width = len(depth), len(depth[0])
    cells = [[0.0] * columns for _ in range(rows)]
    for y in range(height):
        for x in range(width):
            row, column = math.floor(y * rows / height), math.floor(x * columns / width)
            here = depth[y][x]
            if here > 0 and not 0 < cells[row][column] <= here:
                cells[row][column] = here
    return cells


@pytest.mark.parametrize(
    ("size", "cells"), [((7, 9), (3, 4)), ((35, 70), (10, 10)), ((5, 5), (5, 5)), ((6, 8), (1, 8))]
)
def test_reduced_depth_is_the_nearest_valid_return(size, cells):
    depth = torch.from_numpy(sparse_steps(size).astype(np.float32))
    assert reduce_depth(depth, cells).tolist() == nearest_by_loop(depth.tolist(), *cells)


@pytest.mark.parametrize(("size", "cells"), [((7, 9), (3, 4)), ((35, 70), (10, 10))])
def test_reduced_picture_is_the_mean_over_areas(size, cells):
    picture = torch.rand(3, *size, generator=torch.Generator().manual_seed(1))
    # Pixels repeated until cells hold whole ones.
    fine = picture.repeat_interleave(cells[0], 1).repeat_interleave(cells[1], 2)
    expected = fine.reshape(3, cells[0], size[0], cells[1], size[1]).mean(dim=(2, 4))
    assert torch.allclose(reduce_picture(picture, cells), expected, atol=1e-6)


def test_maps_are_not_enlarged():
    with pytest.raises(ValueError, match=re.escape("size must be at least 1x1 and at most")):
        reduce_depth(torch.ones(4, 4), (4, 5))
    with pytest.raises(ValueError, match="got 5x4"):
        reduce_picture(torch.ones(3, 4, 4), (5, 4))


@pytest.mark.parametrize(
    ("height", "width", "size", "expected"),
    [
        (480, 640, (100, 100), ((0, 480), (80, 560))),
        (640, 480, (100, 100), ((80, 560), (0, 480))),
        (100, 300, (50, 100), ((0, 100), (50, 250))),
        (9, 12, (9, 12), ((0, 9), (0, 12))),
    ],
)
def test_middle_has_the_shape_asked_for(height, width, size, expected):
    rows, columns = middle(height, width, size)
    assert ((rows.start, rows.stop), (columns.start, columns.stop)) == expected


@pytest.mark.parametrize(("unit", "step"), [("mm", 0.001), ("metres/256", 1 / 256)])
def test_depth_is_read_in_metres(tmp_path, unit, step):
    steps = np.array([[0, 1, 256], [1000, 40000, 65535]])
    depth = read_depth(depth_png(tmp_path / "a.png", steps), unit)
    assert depth.dtype == torch.float32
    assert depth.numpy() == pytest.approx(steps * step, rel=1e-6)


def test_other_files_are_no_depth(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "grey.png")
    with pytest.raises(ValueError, match=r"depth must be 16-bit grey .* of mode L"):
        read_depth(tmp_path / "grey.png", "mm")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ValueError, match="depth must be a PNG that can be read"):
        read_depth(tmp_path / "text.png", "mm")
    with pytest.raises(ValueError, match="unit must be one of 'mm', 'metres/256'; got 'cm'"):
        read_depth(tmp_path / "text.png", "cm")
    with pytest.raises(FileNotFoundError):
        read_depth(tmp_path / "nothing.png", "mm")

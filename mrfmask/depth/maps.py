"""Depth maps and pictures: read, cut and reduced, with validity kept.

A reduced cell holds its nearest valid return, as what is near hides what is far; a mean of near and
far would be a place in the air, and a mean with pixels that were not measured means nothing.
"""

from __future__ import annotations

import os
import warnings

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from mrfmask.files import LARGEST_PICTURE, reason
from mrfmask.inference.method import check_choice

# Metres for a step of a 16-bit PNG.
UNITS = {"mm": 1e-3, "metres/256": 1 / 256}
# How Pillow names 16-bit grey; older versions widen it.
_GREY16 = ("I;16", "I;16B", "I;16L", "I")

Size = tuple[int, int]


def read_depth(path: str | os.PathLike, unit: str) -> Float[Tensor, "height width"]:
    """Reads a 16-bit grey PNG as metres; 0 is no measurement.

    Args:
        path: the file.
        unit: name in UNITS.

    Raises:
        ValueError: no such unit; the file is broken, no 16-bit grey PNG, or has over 2^27 pixels.
        FileNotFoundError: there is no such file.
    """
    check_choice("unit", unit, tuple(UNITS))
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures; the size is checked below, before decoding.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=("PNG",)) as image:
                mode, pixels = image.mode, image.width * image.height
                if mode in _GREY16 and pixels <= LARGEST_PICTURE:
                    image.load()
                    steps = np.asarray(image).astype(np.float32)
                    return torch.from_numpy(steps * np.float32(UNITS[unit]))
    except FileNotFoundError:
        raise
    # Damaged files make the decoder raise almost anything: OSError, SyntaxError, struct.error, ...
    except Exception as error:
        raise ValueError(
            f"depth must be a PNG that can be read; got {str(path)!r}: {reason(error)}. "
            "Copy it again."
        ) from error
    raise ValueError(
        f"depth must be 16-bit grey of at most {LARGEST_PICTURE} pixels; got {str(path)!r} of mode "
        f"{mode} with {pixels} pixels. Save distances as 16-bit PNG."
    )


def reduce_depth(depth: Float[Tensor, "height width"], size: Size) -> Float[Tensor, "rows columns"]:
    """The nearest valid return in each cell of a coarser grid, 0 where there is none.

    Pixel i of n belongs to cell ``i * cells // n``, as in the 100x100 cuts of KITTI's frames.

    Args:
        depth: metres, 0 for no measurement.
        size: rows and columns, at most those of `depth`.

    Raises:
        ValueError: `size` is larger.
    """
    _check_smaller(depth, size)
    if tuple(depth.shape) == tuple(size):
        return depth
    row, column = (
        torch.arange(n, device=depth.device) * cells // n
        for n, cells in zip(depth.shape, size, strict=True)
    )
    cell = row[:, None] * size[1] + column
    valid = depth > 0
    nearest = depth.new_full((size[0] * size[1],), torch.inf)
    nearest = nearest.scatter_reduce(0, cell[valid], depth[valid], "amin")
    return torch.where(nearest.isinf(), 0.0, nearest).reshape(size)


def reduce_picture(
    picture: Float[Tensor, "channels height width"], size: Size
) -> Float[Tensor, "channels rows columns"]:
    """The mean colour over the area of each cell of a coarser grid; cells split pixels exactly.

    Args:
        picture: values in [0, 1].
        size: rows and columns, at most those of `picture`.

    Raises:
        ValueError: `size` is larger.
    """
    _check_smaller(picture, size)
    if tuple(picture.shape[1:]) == tuple(size):
        return picture
    rows, columns = (
        _overlaps(n, cells).to(picture) for n, cells in zip(picture.shape[1:], size, strict=True)
    )
    return (rows @ picture @ columns.T).clamp(0, 1)


def middle(height: int, width: int, size: Size) -> tuple[slice, slice]:
    """The largest part about the middle that has the shape of `size`."""
    rows, columns = height, width
    if height * size[1] > width * size[0]:
        rows = max(size[0], round(width * size[0] / size[1]))
    else:
        columns = max(size[1], round(height * size[1] / size[0]))
    top, left = (height - rows) // 2, (width - columns) // 2
    return slice(max(top, 0), max(top, 0) + rows), slice(max(left, 0), max(left, 0) + columns)


def _overlaps(pixels: int, cells: int) -> Tensor:
    """What share of each cell (row) each pixel (column) covers, along one side."""
    edges = torch.arange(cells + 1, dtype=torch.float64) * pixels / cells
    left = torch.arange(pixels, dtype=torch.float64)
    end = torch.minimum(edges[1:, None], left + 1)
    return (end - torch.maximum(edges[:-1, None], left)).clamp(min=0) * cells / pixels


def _check_smaller(plane: Tensor, size: Size) -> None:
    height, width = plane.shape[-2:]
    if not (1 <= size[0] <= height and 1 <= size[1] <= width):
        raise ValueError(
            f"size must be at least 1x1 and at most that of the map, {height}x{width}; got "
            f"{size[0]}x{size[1]}. Reduce less: depth is never made up."
        )

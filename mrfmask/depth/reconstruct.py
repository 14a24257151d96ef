"""Dense depth from sparse measurements, without training: nearest pixel, linear interpolation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt
from scipy.spatial import Delaunay
from torch import Tensor

from mrfmask.depth.checks import check_depth, check_known

# Pixels whose triangle is looked for at a time: bounds the memory.
CHUNK = 2**18


@dataclass(frozen=True, kw_only=True, eq=False)
class Fills:
    """What measured pixels say about all others; computed once, they can be kept and flipped.

    Attributes:
        nearest: depth of the nearest measured pixel, as `nearest` gives it.
        linear: interpolated depth, as `linear` gives it.
        distance: to the nearest measured pixel, in pixels; 0 on measured ones.
    """

    nearest: Float[Tensor, "batch height width"]
    linear: Float[Tensor, "batch height width"]
    distance: Float[Tensor, "batch height width"]

    def map(self, change: Callable[[Tensor], Tensor]) -> Fills:
        """The same change of all three: some images, mirrored ones, another device or dtype."""
        return Fills(
            nearest=change(self.nearest),
            linear=change(self.linear),
            distance=change(self.distance),
        )


def nearest(
    depth: Float[Tensor, "batch height width"], mask: Bool[Tensor, "batch height width"]
) -> Float[Tensor, "batch height width"]:
    """The depth of the nearest measured pixel; of several equally near, any one.

    Args:
        depth: in any unit, positive where measured; what it holds elsewhere is never read.
        mask: the measured pixels, at least one an image.

    Returns:
        Depths of the dtype and on the device of `depth`, differentiable in the measured ones.
        Distances are found on the CPU.

    Raises:
        TypeError: depth is no float tensor, or mask no bool tensor.
        ValueError: shapes or devices differ, an image has no measured pixel, or a measured depth
            is not positive and finite.

    Example:
        >>> import torch
        >>> from mrfmask.depth.reconstruct import nearest
        >>> depth = torch.tensor([[[2.0, 0.0, 0.0, 5.0]]])
        >>> nearest(depth, depth > 0)
        tensor([[[2., 2., 5., 5.]]])
    """
    check_depth("depth", depth)
    check_known("depth", depth, "mask", mask)
    return _weighted(depth, [_nearest_pixels(image)[0] for image in _images(mask)])


def linear(
    depth: Float[Tensor, "batch height width"], mask: Bool[Tensor, "batch height width"]
) -> Float[Tensor, "batch height width"]:
    """Linear interpolation over the Delaunay triangles of the measured pixels.

    It goes through all measured depths, and is exact where depth is linear in row and column.
    Outside the convex hull of the measured pixels, and everywhere if they lie on one line, it is
    the depth of the nearest one. Of corners on one circle any triangulation may be taken.

    Args, Returns, Raises: as `nearest`.

    Example:
        >>> import torch
        >>> from mrfmask.depth.reconstruct import linear
        >>> depth = torch.tensor([[[1.0, 0.0, 3.0], [0.0, 0.0, 0.0], [5.0, 0.0, 7.0]]])
        >>> linear(depth, depth > 0)
        tensor([[[1., 2., 3.],
                 [3., 4., 5.],
                 [5., 6., 7.]]])

    Reference:
        Barber, Dobkin and Huhdanpaa, "The quickhull algorithm for convex hulls", ACM Transactions
        on Mathematical Software 1996.
    """
    return fill(depth, mask).linear


def fill(
    depth: Float[Tensor, "batch height width"], mask: Bool[Tensor, "batch height width"]
) -> Fills:
    """Both reconstructions and the distance to the nearest measured pixel.

    Args, Raises: as `nearest`.
    """
    check_depth("depth", depth)
    check_known("depth", depth, "mask", mask)
    images = _images(mask)
    found = [_nearest_pixels(image) for image in images]
    corners = [_corners(image, pixels) for image, (pixels, _) in zip(images, found, strict=True)]
    distance = torch.from_numpy(np.array([distance for _, distance in found]).reshape(depth.shape))
    return Fills(
        nearest=_weighted(depth, [pixels for pixels, _ in found]),
        linear=_weighted(depth, [pixels for pixels, _ in corners], [w for _, w in corners]),
        distance=distance.to(depth.device, depth.dtype),
    )


def distance_to(mask: Bool[Tensor, "batch height width"]) -> Float[Tensor, "batch height width"]:
    """Euclidean distance in pixels to the nearest pixel of a mask, in float64; inf if it has none.

    Args:
        mask: bool; the distance is found on the CPU and put on its device.
    """
    distance = torch.full(mask.shape, torch.inf, dtype=torch.float64)
    for b, image in enumerate(_images(mask)):
        if image.any():
            distance[b] = torch.from_numpy(_nearest_pixels(image)[1])
    return distance.to(mask.device)


Reconstructor = Callable[[Tensor, Tensor], Tensor]
# Training-free ways from measured to dense depth: each is called with depth and mask.
RECONSTRUCTORS: dict[str, Reconstructor] = {"nearest": nearest, "linear": linear}


def _images(mask: Tensor) -> Bool[np.ndarray, "batch height width"]:
    return mask.cpu().numpy()


def _nearest_pixels(
    mask: Bool[np.ndarray, "height width"],
) -> tuple[Int[np.ndarray, "pixels 1"], Float[np.ndarray, "height width"]]:
    """Flat index of the nearest measured pixel of every pixel, and its distance."""
    distance, (rows, columns) = distance_transform_edt(~mask, return_indices=True)
    return (rows.astype(np.int64) * mask.shape[1] + columns).reshape(-1, 1), distance


def _corners(
    mask: Bool[np.ndarray, "height width"], nearest_pixels: Int[np.ndarray, "pixels 1"]
) -> tuple[Int[np.ndarray, "pixels 3"], Float[np.ndarray, "pixels 3"]]:
    """Three measured pixels for every pixel, as flat indices, and the weight of each.

    Weights are quotients of integers, positive or 0, and sum to 1 up to rounding.
    """
    index = np.repeat(nearest_pixels, 3, axis=1)
    weight = np.zeros(index.shape)
    weight[:, 0] = 1.0
    samples = np.argwhere(mask)
    if _on_one_line(samples):
        return index, weight
    triangles = samples[Delaunay(samples).simplices]
    for first, last in _chunks(triangles):
        part = triangles[first:last]
        triangle, pixels = _boxes(part)
        # Twice the areas of the triangles that the pixel makes with each side: exact integers.
        a, b, c = (part[triangle, i] - pixels for i in range(3))
        areas = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)], axis=1)
        areas *= np.sign(areas.sum(axis=1, keepdims=True))
        inside = (areas >= 0).all(axis=1) & areas.any(axis=1)
        # Measured pixels keep their own depth to the last bit: only the others are interpolated.
        inside &= ~mask[pixels[:, 0], pixels[:, 1]]
        areas, corners = areas[inside], part[triangle[inside]]
        where = pixels[inside, 0] * mask.shape[1] + pixels[inside, 1]
        index[where] = corners[..., 0] * mask.shape[1] + corners[..., 1]
        weight[where] = areas / areas.sum(axis=1, keepdims=True)
    return index, weight


def _chunks(triangles: Int[np.ndarray, "triangles 3 2"]) -> Iterator[tuple[int, int]]:
    """Ranges of triangles whose boxes have about CHUNK pixels together, one triangle at least."""
    total = (np.ptp(triangles, axis=1) + 1).prod(axis=1).cumsum()
    ends = np.searchsorted(total, np.arange(CHUNK, total[-1], CHUNK), side="right")
    ends = np.unique(np.append(ends, len(triangles)))
    yield from zip(np.append(0, ends[:-1]), ends, strict=True)


def _boxes(
    triangles: Int[np.ndarray, "triangles 3 2"],
) -> tuple[Int[np.ndarray, " pixels"], Int[np.ndarray, "pixels 2"]]:
    """All pixels of the box around each triangle, and the triangle's number.

    SciPy's search for the triangle of a point would do, but for its linear algebra: it waits for
    threads that it has no work for, up to a second an image where the cores are busy.
    """
    low = triangles.min(axis=1)
    height, width = (np.ptp(triangles, axis=1) + 1).T
    area = height * width
    triangle = np.repeat(np.arange(len(triangles)), area)
    place = np.arange(area.sum()) - np.repeat(area.cumsum() - area, area)
    rows, columns = np.divmod(place, width[triangle])
    return triangle, low[triangle] + np.stack([rows, columns], axis=1)


def _on_one_line(samples: Int[np.ndarray, "samples 2"]) -> bool:
    """Whether there is no triangle of samples."""
    along = samples - samples[0]
    return not _cross(along, along[-1]).any()


def _cross(u: Int[np.ndarray, "... 2"], v: Int[np.ndarray, "... 2"]) -> np.ndarray:
    """Twice the area of the triangle that two sides span, with its sign."""
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]


def _weighted(
    depth: Float[Tensor, "batch height width"],
    pixels: list[Int[np.ndarray, "pixels corners"]],
    weights: list[Float[np.ndarray, "pixels corners"]] | None = None,
) -> Float[Tensor, "batch height width"]:
    """For every pixel the weighted sum, in float64, of the depths of some measured pixels."""
    index = torch.from_numpy(np.array(pixels, dtype=np.int64)).to(depth.device)
    values = depth.flatten(1).gather(1, index.reshape(len(depth), -1))
    if weights is not None:
        weight = torch.from_numpy(np.array(weights)).to(depth.device)
        values = (values.reshape(weight.shape) * weight).sum(dim=-1)
    return values.reshape(depth.shape).to(depth.dtype)

"""Grids of features with their target masks, checked, for models linear in the features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

# One array for all images, or one an image where their sizes differ.
Arrays = np.ndarray | Tensor | Sequence[np.ndarray] | Sequence[Tensor]


@dataclass(frozen=True)
class FeatureGrid:
    """The features of one image.

    Attributes:
        nodes: of the pixels, float32 or float64.
        right: of the pairs (y, x)-(y, x+1), >= 0, float32 or float64.
        down: of the pairs (y, x)-(y+1, x), the same.
    """

    nodes: Float[Tensor, "height width features"]
    right: Float[Tensor, "height width-1 edge_features"]
    down: Float[Tensor, "height-1 width edge_features"]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.nodes.shape[0], self.nodes.shape[1]


@dataclass(frozen=True)
class LabelledGrid:
    """An image's features, its target mask, and what each wrong pixel costs (float64, >= 0)."""

    features: FeatureGrid
    target: Bool[Tensor, "height width"]
    loss: Float[Tensor, "height width"]


def read_features(
    nodes: Arrays, edges: tuple[Arrays, Arrays] | None, counts: tuple[int, int] | None = None
) -> list[FeatureGrid]:
    """Checked features, an image each; arguments are called X_nodes and X_edges in messages.

    Args:
        nodes: (images, height, width, features), or a list of (height, width, features).
        edges: to the right and down, likewise; None is the one feature 1 for every pair.
        counts: numbers of node and edge features that are expected; None takes any.

    Raises:
        TypeError: not arrays of real numbers; edges are no pair.
        ValueError: shapes or numbers of features do not fit, a value is not finite, or an edge
            feature is negative.
    """
    nodes = [_floats("X_nodes", array) for array in _images("X_nodes", nodes, 3)]
    if not nodes:
        raise ValueError("X_nodes must hold at least one image; got none. Pass more.")
    for b, array in enumerate(nodes):
        if 0 in array.shape:
            raise ValueError(
                "X_nodes must have pixels and features in every image; got shape "
                f"{tuple(array.shape)} for image {b}. Leave empty images out."
            )
    if edges is None:
        one = torch.ones(())
        right = [one.expand(n.shape[0], n.shape[1] - 1, 1) for n in nodes]
        down = [one.expand(n.shape[0] - 1, n.shape[1], 1) for n in nodes]
    else:
        if not isinstance(edges, tuple | list) or len(edges) != 2:
            got = f"{len(edges)} of them" if isinstance(edges, tuple | list) else type(edges)
            raise TypeError(
                f"X_edges must be a pair (right, down) or None; got {got}. None is a constant 1."
            )
        right, down = (
            [_floats(name, array) for array in _images(name, arrays, 3)]
            for name, arrays in zip(("X_edges[0]", "X_edges[1]"), edges, strict=True)
        )
        _check_edges(nodes, right, down)
    found = (nodes[0].shape[2], right[0].shape[2])
    for b, array in enumerate(nodes):
        if array.shape[2] != (counts or found)[0]:
            raise ValueError(
                f"X_nodes must have {(counts or found)[0]} features as "
                f"{'in fit' if counts else 'image 0 has'}; got {array.shape[2]} for image {b}. "
                "Compute the same features for all."
            )
    if counts is not None and found[1] != counts[1]:
        raise ValueError(
            f"X_edges must have {counts[1]} features as in fit; got {found[1]}. Compute the same "
            "features, or pass None where fit had None."
        )
    return [FeatureGrid(*arrays) for arrays in zip(nodes, right, down, strict=True)]


def read_targets(
    grids: list[FeatureGrid], targets: Arrays, weights: Arrays | None
) -> tuple[list[Bool[Tensor, "height width"]], list[Float[Tensor, "height width"]]]:
    """Checked masks and pixel weights (float64); called Y and weights in messages.

    Args:
        grids: the images that they belong to.
        targets: (images, height, width) or a list of (height, width); bool, or 0 and 1.
        weights: likewise, >= 0; None is 1 for every pixel.

    Raises:
        TypeError: not arrays of numbers.
        ValueError: shapes do not fit, targets other than 0 and 1, weights negative or not finite.
    """
    masks = _images("Y", targets, 2)
    _check_sizes("Y", masks, grids)
    for b, mask in enumerate(masks):
        bad = (mask != 0) & (mask != 1)
        if bad.any():
            raise ValueError(
                f"Y must hold 0 and 1 or bools; got {mask[bad][0].item()} in image {b}. "
                "For pixels without a label use weights of 0."
            )
    if weights is None:
        return [m == 1 for m in masks], [torch.ones(g.size, dtype=torch.float64) for g in grids]
    pixels = [_floats("weights", array).double() for array in _images("weights", weights, 2)]
    _check_sizes("weights", pixels, grids)
    for b, array in enumerate(pixels):
        if (array < 0).any():
            raise ValueError(
                f"weights must not be negative; got {array.min().item()} in image {b}. "
                "0 leaves a pixel out of the loss."
            )
    return [mask == 1 for mask in masks], pixels


def _images(name: str, arrays: Arrays, dims: int) -> list[Tensor]:
    """One tensor of `dims` dimensions an image."""
    if isinstance(arrays, np.ndarray | Tensor):
        if arrays.ndim != dims + 1:
            raise ValueError(
                f"{name} must have {dims + 1} dimensions, images first; got shape "
                f"{tuple(arrays.shape)}. For one image pass array[None]."
            )
        return list(_tensor(name, arrays))
    if not isinstance(arrays, list | tuple):
        raise TypeError(
            f"{name} must be an array, a tensor or a list of them; got {type(arrays).__name__}. "
            "Use numpy.asarray."
        )
    images = [_tensor(name, array) for array in arrays]
    for b, image in enumerate(images):
        if image.dim() != dims:
            raise ValueError(
                f"{name} must be a list of arrays with {dims} dimensions; got shape "
                f"{tuple(image.shape)} for image {b}. Pass one array an image."
            )
    return images


def _tensor(name: str, array: Any) -> Tensor:
    """An array as a CPU tensor; only read-only arrays are copied."""
    if isinstance(array, Tensor):
        array = array.detach().cpu()
        real = not array.is_complex()
    else:
        real = isinstance(array, np.ndarray) and array.dtype.kind in "biuf"
    if not real:
        got = getattr(array, "dtype", type(array).__name__)
        raise TypeError(f"{name} must hold arrays of real numbers; got {got}. Convert it first.")
    if isinstance(array, np.ndarray):
        array = torch.from_numpy(array if array.flags.writeable else array.copy())
    return array


def _floats(name: str, array: Tensor) -> Tensor:
    """float32 or float64, finite."""
    array = array if array.dtype in (torch.float32, torch.float64) else array.float()
    if not array.isfinite().all():
        where = tuple((~array.isfinite()).nonzero()[0].tolist())
        raise ValueError(
            f"{name} must be finite; got {array[where].item()} at {where} of an image. "
            "Check what computed it."
        )
    return array


def _check_edges(nodes: list[Tensor], right: list[Tensor], down: list[Tensor]) -> None:
    """Raises unless the edge features fit the grids and are not negative."""
    for i, (arrays, step) in enumerate(((right, (0, 1)), (down, (1, 0)))):
        name = f"X_edges[{i}]"
        if len(arrays) != len(nodes):
            raise ValueError(
                f"{name} must have as many images as X_nodes, {len(nodes)}; got {len(arrays)}. "
                "Pass features for each."
            )
        for b, (array, grid) in enumerate(zip(arrays, nodes, strict=True)):
            shape = (grid.shape[0] - step[0], grid.shape[1] - step[1], right[0].shape[2])
            if tuple(array.shape) != shape:
                raise ValueError(
                    f"{name} must have shape {shape} for image {b}; got {tuple(array.shape)}. "
                    "X_edges[0] belongs to (y, x)-(y, x+1), X_edges[1] to (y, x)-(y+1, x)."
                )
            if (array < 0).any():
                raise ValueError(
                    f"{name} must not be negative; got {array.min().item()} in image {b}. Use "
                    "features such as exp(-contrast); a weight >= 0 then keeps inference exact."
                )


def _check_sizes(name: str, arrays: list[Tensor], grids: list[FeatureGrid]) -> None:
    """Raises unless there is one value a pixel."""
    if len(arrays) != len(grids):
        raise ValueError(
            f"{name} must have as many images as X_nodes, {len(grids)}; got {len(arrays)}. "
            "Pass one for each."
        )
    for b, (array, grid) in enumerate(zip(arrays, grids, strict=True)):
        if tuple(array.shape) != grid.size:
            raise ValueError(
                f"{name} must have shape {grid.size} for image {b}; got {tuple(array.shape)}. "
                "Give one value a pixel."
            )

"""The middles of superpixels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from mrfmask.inference.method import check_positive
from mrfmask.select.budget import Request
from mrfmask.select.farthest import PixelDistances
from mrfmask.select.selector import Selector
from mrfmask.select.snap import snap


@dataclass(frozen=True, kw_only=True, eq=False)
class Superpixel(Selector):
    """The free pixels nearest to the centroids of SLIC superpixels.

    Superpixels are made of the `features` that come with the scores, RGB in [0, 1] for instance,
    or of the scores alone. One that holds a taken pixel gets no other. SLIC seldom makes as many
    as it is asked for: of too many, centroids are taken each farthest from all pixels on, the
    largest superpixel's first; where some are missing, pixels are chosen in that way.

    Args:
        compactness: weight of space against colour, positive; higher is squarer.

    Example:
        >>> import torch, mrfmask as mm
        >>> picture = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))
        >>> mask = mm.select(torch.zeros(1, 20, 30), "superpixel", budget=12, features=picture)
        >>> int(mask.sum())
        12

    Reference:
        Achanta, Shaji, Smith, Lucchi, Fua and Suesstrunk, "SLIC superpixels compared to
        state-of-the-art superpixel methods", PAMI 2012; as scikit-image has it.
    """

    compactness: float = 10.0

    name: ClassVar = "superpixel"
    uses: ClassVar = frozenset({"scores", "features"})

    def __post_init__(self) -> None:
        check_positive("compactness", self.compactness)

    def _choose_one(self, request: Request) -> Bool[np.ndarray, "height width"]:
        if request.count == 0:
            return np.zeros_like(request.free)
        labels = self._segment(request)
        held = np.unique(labels[request.taken])
        sizes = np.bincount(labels[labels >= 0])
        sizes[held] = 0
        order = np.argsort(-sizes, kind="stable")[: int((sizes > 0).sum())]
        middles = _centroids(labels)[order]
        if len(middles) > request.count:
            middles = _spread(middles, request.count, np.argwhere(request.taken))
        return fill(request, snap(middles, request.free))

    def _segment(self, request: Request) -> Int[np.ndarray, "height width"]:
        """Labels of superpixels over free and taken pixels, -1 elsewhere."""
        # Imported late: it takes a second, and only this selector needs it.
        from skimage.segmentation import slic

        allowed = request.free | request.taken
        count = request.count + int(request.taken.sum())
        with warnings.catch_warnings():
            # Of k-means, on masks with few pixels: an empty cluster does no harm here.
            warnings.simplefilter("ignore")
            labels = slic(
                _channels_last(request),
                n_segments=count,
                compactness=self.compactness,
                start_label=1,
                mask=None if allowed.all() else allowed,
                channel_axis=-1,
            )
        return np.where(allowed, labels - 1, -1)


def fill(
    request: Request, chosen: Bool[np.ndarray, "height width"]
) -> Bool[np.ndarray, "height width"]:
    """Adds the free pixels farthest from all that are on, until there are enough."""
    distances = PixelDistances(request.free)
    distances.add_all(request.taken | chosen)
    for _ in range(request.count - int(chosen.sum())):
        _, place = distances.farthest()
        distances.add(*place)
        chosen[place] = True
    return chosen


def _centroids(labels: Int[np.ndarray, "height width"]) -> Float[np.ndarray, "labels 2"]:
    """The mean place of each label; those that no pixel has are at 0."""
    inside = labels >= 0
    sizes = np.maximum(np.bincount(labels[inside]), 1)
    sums = [np.bincount(labels[inside], weights=places) for places in np.nonzero(inside)]
    return np.stack(sums, axis=1) / sizes[:, None]


def _spread(
    points: Float[np.ndarray, "points 2"], count: int, taken: Int[np.ndarray, "taken 2"]
) -> Float[np.ndarray, "count 2"]:
    """So many of the points, each farthest from the taken places and those before it."""
    squared = np.full(len(points), np.inf)
    for place in taken:
        squared = np.minimum(squared, np.square(points - place).sum(axis=1))
    chosen = []
    for _ in range(count):
        chosen.append(int(squared.argmax()))
        squared = np.minimum(squared, np.square(points - points[chosen[-1]]).sum(axis=1))
        squared[chosen] = -1.0
    return points[chosen]


def _channels_last(request: Request) -> Float[np.ndarray, "height width channels"]:
    if request.features is not None:
        return np.moveaxis(request.features, 0, -1)
    finite = np.isfinite(request.scores)
    low = request.scores[finite].min() if finite.any() else 0.0
    high = request.scores[finite].max() if finite.any() else 0.0
    span = high - low if high > low else 1.0
    return (np.where(finite, request.scores - low, 0.0) / span)[:, :, None]

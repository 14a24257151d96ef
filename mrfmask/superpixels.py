"""From a segmentation of a picture to the graph of its regions."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mrfmask.checks import check_tensors, check_values
from mrfmask.graph import IsingGraph


def superpixel_graph(
    labels: Int[Tensor | np.ndarray, "height width"],
    unary: Float[Tensor, "batch height width"] | None = None,
    pairwise: float = 1.0,
) -> IsingGraph:
    """The model whose nodes are the regions of a segmentation, neighbours coupled.

    ``unary_r = sum of the pixels' unary in region r``, and ``pairwise_rs = pairwise * the number
    of pairs of neighbouring pixels (4 neighbours) with one in r and one in s``: the energies of
    the grid with that coupling everywhere, for masks that keep regions whole, up to a constant.
    Node r is region r; ``mask[:, labels]`` takes masks of nodes (batch, nodes) to pixels.

    Args:
        labels: the region of every pixel, 0..nodes-1, each used at least once. Regions need not be
            connected.
        unary: of the pixels, (batch, height, width); a clamped pixel clamps its region. Zeros of
            one model, float32, if left out. The model has its dtype and device.
        pairwise: of a pair of neighbouring pixels; finite.

    Returns:
        The model, with edges (r, s), r < s, in order, each once.

    Raises:
        TypeError: `labels` is no tensor or array of ints, `unary` no float tensor, or `pairwise` no
            number.
        ValueError: a shape does not fit, labels are negative or leave one out, a region has pixels
            clamped both on and off, or `pairwise` is not finite.

    Example:
        >>> import torch, mrfmask as mm
        >>> from skimage.segmentation import slic
        >>> picture = torch.rand(40, 60, 3, generator=torch.Generator().manual_seed(0))
        >>> labels = slic(picture.numpy(), n_segments=50, start_label=0)
        >>> model = mm.superpixel_graph(labels, picture.mean(dim=2)[None] - 0.5, pairwise=0.1)
        >>> mm.find_map(model).mask[:, labels].shape
        torch.Size([1, 40, 60])

    Reference:
        Fulkerson, Vedaldi and Soatto, "Class segmentation and object localization with superpixel
        neighborhoods", ICCV 2009.
    """
    labels = _check_labels(labels)
    _check_pairwise(pairwise)
    regions = int(labels.max()) + 1
    if unary is None:
        unary = torch.zeros(1, *labels.shape)
    check_tensors(unary)
    if tuple(unary.shape[1:]) != tuple(labels.shape):
        raise ValueError(
            f"unary must have shape (batch, {', '.join(map(str, labels.shape))}), as labels; got "
            f"{tuple(unary.shape)}. For one picture pass unary[None]."
        )
    check_values(unary=unary)
    region = labels.flatten().to(unary.device)
    sums = unary.new_zeros(len(unary), regions, dtype=torch.float64)
    sums = sums.index_add(1, region, unary.flatten(1).double())
    # Infinities of both signs.
    if sums.isnan().any():
        image, both = sums.isnan().nonzero()[0].tolist()
        raise ValueError(
            f"unary must not clamp pixels of a region both on and off; got region {both} of image "
            f"{image}. Split the region, or choose one."
        )
    edges, lengths = _boundaries(labels, regions)
    couplings = (pairwise * lengths.double()).to(unary).expand(len(unary), -1)
    return IsingGraph(sums.to(unary.dtype), edges.to(unary.device), couplings)


def _boundaries(
    labels: Int[Tensor, "height width"], regions: int
) -> tuple[Int[Tensor, "edges 2"], Int[Tensor, " edges"]]:
    """The pairs of regions that touch, in order, and in how many pairs of pixels."""
    first = torch.cat([labels[:, :-1].flatten(), labels[:-1].flatten()])
    second = torch.cat([labels[:, 1:].flatten(), labels[1:].flatten()])
    key = torch.minimum(first, second) * regions + torch.maximum(first, second)
    pairs, lengths = key[first != second].unique(return_counts=True)
    return torch.stack([pairs // regions, pairs % regions], dim=1), lengths


def _check_pairwise(pairwise: float) -> None:
    if isinstance(pairwise, bool) or not isinstance(pairwise, Real):
        raise TypeError(
            f"pairwise must be a number; got {type(pairwise).__name__}. For a coupling of its own "
            "for every edge build an IsingGraph."
        )
    if not math.isfinite(pairwise):
        raise ValueError(f"pairwise must be finite; got {pairwise}. Choose another number.")


def _check_labels(labels: Tensor | np.ndarray) -> Int[Tensor, "height width"]:
    """The labels as int64, if they are 0..n-1 and each is used."""
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        labels = torch.from_numpy(labels.astype(np.int64))
    whole = isinstance(labels, Tensor) and not (labels.is_floating_point() or labels.is_complex())
    if not whole or labels.dtype == torch.bool:
        got = labels.dtype if isinstance(labels, Tensor | np.ndarray) else type(labels).__name__
        raise TypeError(f"labels must be a tensor or array of ints; got {got}. Number the regions.")
    if labels.dim() != 2 or labels.numel() == 0:
        raise ValueError(
            f"labels must have shape (height, width) with at least one pixel; got "
            f"{tuple(labels.shape)}. One region a pixel."
        )
    labels = labels.long()
    low, high = int(labels.min()), int(labels.max())
    # Each label is used, so that there are no more than pixels; checked before they are counted.
    used = low >= 0 and high < labels.numel() and labels.flatten().bincount().all()
    if not used:
        raise ValueError(
            f"labels must be 0..n-1 with each used; got labels from {low} to {high}, "
            f"{len(labels.unique())} different ones. Renumber them: "
            "numpy.unique(labels, return_inverse=True)[1].reshape(labels.shape)."
        )
    return labels

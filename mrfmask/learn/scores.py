"""How good predicted masks are: overlap, borders, pieces."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import label
from skimage.morphology import dilation, disk
from skimage.segmentation import find_boundaries
from torch import Tensor

# Share of the diagonal by which a border may be off, as in the DAVIS benchmark.
BORDER_TOLERANCE = 0.008


def mask_scores(
    mask: Bool[Tensor, "batch height width"],
    target: Bool[Tensor, "batch height width"],
    weights: Float[Tensor, "batch height width"] | None = None,
) -> dict[str, float]:
    """Means over images of the scores of predicted masks.

    Args:
        mask: predicted.
        target: true.
        weights: 0 where a pixel does not count (for iou and accuracy); None counts all.

    Returns:
        iou: pixels on in both over pixels on in either, 1 where there are none; accuracy: share of
        right pixels; boundary_f: harmonic mean of the shares of predicted borders near true ones
        and of true ones near predicted, near being 0.8 % of the diagonal, rounded up; components:
        8-connected pieces of the predicted mask; target_components: those of the target.

    Reference:
        Perazzi et al., "A benchmark dataset and evaluation methodology for video object
        segmentation", CVPR 2016, for boundary_f.
    """
    known = torch.ones_like(mask) if weights is None else weights > 0
    both = (mask & target & known).sum(dim=(1, 2)).double()
    either = ((mask | target) & known).sum(dim=(1, 2)).double()
    right = ((mask == target) & known).sum(dim=(1, 2)).double()
    pairs = list(zip(mask.cpu().numpy(), target.cpu().numpy(), strict=True))
    return {
        "iou": torch.where(either > 0, both / either.clamp(min=1), 1.0).mean().item(),
        "accuracy": (right / known.sum(dim=(1, 2)).clamp(min=1)).mean().item(),
        "boundary_f": float(np.mean([boundary_f(*pair) for pair in pairs])),
        "components": float(np.mean([components(m) for m, _ in pairs])),
        "target_components": float(np.mean([components(t) for _, t in pairs])),
    }


def boundary_f(mask: np.ndarray, target: np.ndarray) -> float:
    """The boundary F-score of one mask (height, width)."""
    near = disk(math.ceil(BORDER_TOLERANCE * math.hypot(*mask.shape)))
    ours, theirs = (find_boundaries(m, mode="inner") for m in (mask, target))
    if not ours.any() or not theirs.any():
        return float(ours.any() == theirs.any())
    precision = dilation(theirs, near)[ours].mean()
    recall = dilation(ours, near)[theirs].mean()
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def components(mask: np.ndarray) -> int:
    """Number of 8-connected pieces of one mask (height, width)."""
    return label(mask, structure=np.ones((3, 3)))[1]

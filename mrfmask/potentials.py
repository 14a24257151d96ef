"""From a picture to a model: simple potentials that need no training.

Each function takes a picture (3, height, width) in [0, 1] and gives a model of one image, with its
weights as keyword options. POTENTIALS names them all; to add one, write the function and add it
there, and the command line knows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from mrfmask.model import IsingGrid

# A difference this small is noise of 8-bit pictures, not contrast.
SMALLEST_STEP = 1 / 255


def contrast(
    picture: Float[Tensor, "3 height width"], *, unary: float = 1.0, pairwise: float = 1.0
) -> IsingGrid:
    r"""Bright foreground against dark background, with borders drawn where the colour changes.

    ``unary_i = unary tanh(2 (I_i - t) / mean|I - t|)`` for the brightness I and its Otsu threshold
    t; ``pairwise_ij = pairwise exp(-|c_i - c_j|^2 / (2 mean|c_i - c_j|^2))`` for the colours c. All
    couplings are associative: a minimum cut finds the best mask.

    Args:
        picture: RGB in [0, 1].
        unary: strength of the brightness; negative takes the dark parts as foreground.
        pairwise: strength of the smoothing, at least 0.

    Raises:
        TypeError: the picture is no floating-point tensor.
        ValueError: a picture of another shape or range, or a weight out of range.

    Reference:
        Boykov and Jolly, "Interactive graph cuts for optimal boundary and region segmentation of
        objects in N-D images", ICCV 2001. Otsu, "A threshold selection method from gray-level
        histograms", IEEE SMC 1979.
    """
    _check_picture(picture)
    _check_weight("unary", unary, least=-math.inf)
    _check_weight("pairwise", pairwise)
    grey = brightness(picture)
    distance = grey - otsu_threshold(grey)
    typical = distance.abs().mean().clamp(min=SMALLEST_STEP)
    field = unary * (2 * distance / typical).tanh()
    return _grid(field, *_similarity(picture, pairwise))


def edge(
    picture: Float[Tensor, "3 height width"],
    *,
    unary: float = 1.0,
    pairwise: float = 0.5,
    threshold: float = 2.0,
) -> IsingGrid:
    r"""Measure where the picture changes.

    ``unary_i = unary log(g_i / (threshold mean g))``, held within +-2 unary, for the local gradient
    g; all couplings are ``pairwise``, which drops specks and closes small gaps. Associative: a
    minimum cut finds the best mask.

    Args:
        picture: RGB in [0, 1].
        unary: strength of the gradient, at least 0.
        pairwise: strength of the smoothing, at least 0.
        threshold: the gradient, in multiples of the mean gradient, that is worth a measurement;
            positive. Higher picks fewer pixels.

    Raises:
        TypeError: the picture is no floating-point tensor.
        ValueError: a picture of another shape or range, or a weight out of range.
    """
    _check_picture(picture)
    _check_weight("unary", unary)
    _check_weight("pairwise", pairwise)
    _check_weight("threshold", threshold, above=0.0)
    slope = gradient(picture)
    # A flat picture has no edges: its noise must not count as a typical gradient.
    typical = slope.mean().clamp(min=SMALLEST_STEP)
    field = unary * (slope / (threshold * typical)).clamp(min=1e-6).log().clamp(-2.0, 2.0)
    return _grid(field, *_uniform(field, pairwise))


def spread(
    picture: Float[Tensor, "3 height width"],
    *,
    unary: float = -6.0,
    detail: float = 4.0,
    pairwise: float = 1.0,
) -> IsingGrid:
    r"""Spread the picks out, and pick more where there is detail.

    ``unary_i = unary + detail r_i / (r_i + mean r)`` for the roughness r, the distance of a pixel's
    colour from the mean around it; all couplings are ``-pairwise``: neighbours repel each other.
    In the best mask a pixel below ``-4 pairwise`` is off, and where all lie between that and
    ``4 pairwise`` every second pixel is on. All-repulsive: flipping every second pixel, like the
    colours of a checkerboard, makes it a minimum cut.

    Args:
        picture: RGB in [0, 1].
        unary: what every pixel gets; negative prefers off.
        detail: what the roughest pixels get on top, at least 0; 0 ignores the picture.
        pairwise: strength of the repulsion, at least 0.

    Raises:
        TypeError: the picture is no floating-point tensor.
        ValueError: a picture of another shape or range, or a weight out of range.
    """
    _check_picture(picture)
    _check_weight("unary", unary, least=-math.inf)
    _check_weight("detail", detail)
    _check_weight("pairwise", pairwise)
    local = roughness(picture)
    field = unary + detail * local / (local + local.mean().clamp(min=SMALLEST_STEP))
    return _grid(field, *_uniform(field, -pairwise))


def edge_scores(
    picture: Float[Tensor, "3 height width"], *, floor: float = 0.5
) -> Float[Tensor, "height width"]:
    r"""Where a measurement tells more, for `mm.select`: the logarithm of a density.

    ``log(g_i + floor mean g)`` for the local gradient g, each as its mean over 5x5 pixels: both
    sides of an edge are worth measuring, and flat parts are not left without any.

    Args:
        picture: RGB in [0, 1].
        floor: density of flat parts, in multiples of the mean gradient; positive.

    Raises:
        TypeError: the picture is no floating-point tensor.
        ValueError: a picture of another shape or range, or a floor out of range.
    """
    _check_picture(picture)
    _check_weight("floor", floor, above=0.0)
    slope = torch.nn.functional.avg_pool2d(
        gradient(picture)[None], 5, stride=1, padding=2, count_include_pad=False
    )[0]
    return (slope + floor * slope.mean().clamp(min=SMALLEST_STEP)).log()


POTENTIALS: dict[str, Callable[..., IsingGrid]] = {
    "contrast": contrast,
    "edge": edge,
    "spread": spread,
}


def brightness(picture: Float[Tensor, "3 height width"]) -> Float[Tensor, "height width"]:
    """Luma of an RGB picture in [0, 1] (ITU-R BT.601)."""
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=picture.dtype, device=picture.device)
    return torch.einsum("c,chw->hw", weights, picture)


def otsu_threshold(grey: Float[Tensor, "height width"]) -> float:
    """The brightness that splits a picture best in two, midway between the means of both parts."""
    # Imported late: it takes a second.
    from skimage.filters import threshold_otsu

    # The level that scikit-image returns is the upper end of the dark part: in a drawing of two
    # colours that is the dark colour itself.
    bright = grey > float(threshold_otsu(grey.cpu().numpy()))
    if bright.all() or not bright.any():
        return float(grey.mean())
    return float(grey[bright].mean() + grey[~bright].mean()) / 2


def gradient(picture: Float[Tensor, "3 height width"]) -> Float[Tensor, "height width"]:
    """Colour change per pixel around each pixel, by Sobel filters; edges of the picture repeat."""
    padded = torch.nn.functional.pad(picture[None], (1, 1, 1, 1), mode="replicate")
    smooth = torch.tensor([1.0, 2.0, 1.0], dtype=picture.dtype, device=picture.device) / 4
    slope = torch.tensor([-0.5, 0.0, 0.5], dtype=picture.dtype, device=picture.device)
    kernels = torch.stack([torch.outer(smooth, slope), torch.outer(slope, smooth)])
    channels = padded.transpose(0, 1)
    changes = torch.nn.functional.conv2d(channels, kernels[:, None])
    return changes.square().sum(dim=(0, 1)).sqrt()


def roughness(picture: Float[Tensor, "3 height width"]) -> Float[Tensor, "height width"]:
    """Distance of each pixel's colour from the mean of the 3x3 pixels around it."""
    padded = torch.nn.functional.pad(picture[None], (1, 1, 1, 1), mode="replicate")
    mean = torch.nn.functional.avg_pool2d(padded, 3, stride=1)[0]
    return (picture - mean).square().sum(dim=0).sqrt()


def _similarity(picture: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Couplings to the right and down, `weight` for equal colours and less the more they differ."""
    right = (picture[:, :, 1:] - picture[:, :, :-1]).square().sum(dim=0)
    down = (picture[:, 1:] - picture[:, :-1]).square().sum(dim=0)
    mean = torch.cat([right.flatten(), down.flatten()]).mean().nan_to_num()
    scale = 2 * mean.clamp(min=SMALLEST_STEP**2)
    return weight * (-right / scale).exp(), weight * (-down / scale).exp()


def _uniform(field: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    return torch.full_like(field[:, 1:], weight), torch.full_like(field[1:], weight)


def _grid(field: Tensor, right: Tensor, down: Tensor) -> IsingGrid:
    return IsingGrid(field[None], right[None], down[None])


def _check_picture(picture: Tensor) -> None:
    if not isinstance(picture, Tensor) or picture.dtype not in (torch.float32, torch.float64):
        got = picture.dtype if isinstance(picture, Tensor) else type(picture).__name__
        raise TypeError(
            f"picture must be a float32 or float64 tensor; got {got}. Use read_picture(path)."
        )
    if picture.dim() != 3 or picture.shape[0] != 3 or picture.numel() == 0:
        raise ValueError(
            f"picture must have shape (3, height, width); got {tuple(picture.shape)}. "
            "Repeat a grey channel three times."
        )
    if not ((picture >= 0) & (picture <= 1)).all():
        raise ValueError(
            f"picture must lie in [0, 1]; got values from {picture.min().item():g} to "
            f"{picture.max().item():g}. Divide 8-bit values by 255."
        )


def _check_weight(name: str, value: float, least: float = 0.0, above: float = -math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number; got {type(value).__name__}. Use a float.")
    if not math.isfinite(value) or value < least or value <= above:
        rule = "positive" if above == 0.0 else "at least 0" if least == 0.0 else "finite"
        raise ValueError(f"{name} must be {rule}; got {value}. Leave it out for the default.")

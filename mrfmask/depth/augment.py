"""Random changes of frames, alike for all that belongs to a pixel."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from mrfmask.depth.frames import Frame

# Largest zoom into a frame.
ZOOM = 1.25
# Largest change of contrast, of brightness, and of a colour's strength.
LIGHT, TINT = 0.3, 0.1
# Share of frames that turn grey, and the largest standard deviation of noise.
GREY, NOISE = 0.1, 0.03


def augment_frame(frame: Frame, draws: torch.Generator) -> Frame:
    """Zooms into a part, mirrors, and changes colours and noise of the picture; keeps the size.

    Zooming in by z is going nearer by z: depth is divided by z, so that the same camera could have
    taken the frame. Depth and validity take the value of the nearest pixel, never a mean. The frame
    may be left without valid depth where little was valid; then only the picture changes.

    Args:
        frame: of any size.
        draws: the frame is a pure function of its state.
    """
    return augment_with(frame, torch.zeros(0, *frame.depth.shape), draws)[0]


def augment_with(
    frame: Frame, maps: Float[Tensor, "maps height width"], draws: torch.Generator
) -> tuple[Frame, Float[Tensor, "maps height width"]]:
    """The same, along with maps that belong to the frame's pixels; they go the way of the depth.

    Args:
        frame: of any size.
        maps: values of its pixels; unlike depths they are not divided by the zoom.
        draws: as in `augment_frame`, whose frame this is.

    Raises:
        ValueError: maps of another size than the frame's.
    """
    if maps.dim() != 3 or maps.shape[1:] != frame.depth.shape:
        raise ValueError(
            f"maps must have shape (maps, {', '.join(map(str, frame.depth.shape))}); got "
            f"{tuple(maps.shape)}. They belong to the frame's pixels."
        )
    uniform = torch.rand(9, generator=draws).tolist()
    noise = torch.randn(frame.picture.shape, generator=draws)
    height, width = frame.depth.shape
    rows = max(1, round(height / (1 + uniform[0] * (ZOOM - 1))))
    columns = max(1, round(width * rows / height))
    top, left = round(uniform[1] * (height - rows)), round(uniform[2] * (width - columns))
    window = (slice(top, top + rows), slice(left, left + columns))
    picture, planes = frame.picture, torch.cat([frame.depth[None], maps])
    if frame.valid[window].any():
        size = (height, width)
        picture = _resize(picture[:, *window], size, "bilinear")
        planes = _resize(planes[:, *window], size, "nearest-exact")
        planes[0] *= rows / height
    if uniform[3] < 0.5:
        picture, planes = picture.flip(-1), planes.flip(-1)
    picture = _recolour(picture, uniform[4:8], grey=uniform[8] < GREY)
    level = NOISE * torch.rand((), generator=draws)
    picture, depth = (picture + level * noise).clamp(0, 1), planes[0]
    return Frame(picture, depth, depth > 0, frame.place, frame.name), planes[1:]


def _recolour(picture: Tensor, uniform: list[float], grey: bool) -> Tensor:
    """Contrast, brightness, and the strengths of red and blue."""
    contrast, shift, red, blue = (2 * u - 1 for u in uniform)
    picture = (picture - 0.5) * (1 + LIGHT * contrast) + 0.5 + 0.5 * LIGHT * shift
    strength = torch.tensor([1 + TINT * red, 1.0, 1 + TINT * blue]).reshape(3, 1, 1)
    picture = picture * strength
    return picture.mean(dim=0, keepdim=True).expand(3, -1, -1) if grey else picture


def _resize(planes: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    return interpolate(planes[None], size, mode=mode)[0]

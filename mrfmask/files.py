"""Files appear whole or not at all; pictures are read and written."""

from __future__ import annotations

import math
import os
import secrets
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image, ImageOps
from torch import Tensor

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
# 3 float32 channels of this many pixels are 1.5 GiB; a small file can claim far more.
LARGEST_PICTURE = 2**27
# The name of a file on its way; one that a killed process left behind can be told by it.
PART_PREFIX, PART_SUFFIX = ".mrfmask-", ".part"
# A light, saturated blue stands off from skin, leaves, wood and stone.
TINT = (0.10, 0.55, 1.00)


def write_whole(path: str | os.PathLike, write: Callable[[BinaryIO], None]) -> None:
    """Writes a file so that readers see the old content or the new, never a part.

    Args:
        path: the file; replaced if it exists. A symbolic link stays, its target is replaced.
        write: called with a new binary file to write the content to.

    Raises:
        FileNotFoundError: the folder does not exist.
        OSError: the disk is full, or the folder cannot be written to.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"path must lie in a folder that exists; got {str(path)!r}. Create the folder first."
        )
    # In the same folder, so that the rename stays within one file system and is atomic.
    part = target.with_name(f"{PART_PREFIX}{secrets.token_hex(8)}{PART_SUFFIX}")
    try:
        with open(part, "xb") as file:
            write(file)
            file.flush()
            # Without it a power cut can leave the new name with no content.
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def read_picture(path: str | os.PathLike) -> Float[Tensor, "3 height width"]:
    """Reads a PNG or JPEG picture as RGB in [0, 1], turned the way its EXIF data says.

    Grey, palette, 1-bit, 16-bit grey, CMYK and transparent pictures become RGB; transparent parts
    show white, like paper. 16-bit grey keeps its precision, 16-bit colour is read at 8 bits. Of an
    animation, the first frame.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty, broken, no PNG or JPEG, or has over 2^27 pixels.
    """
    check_exists(path)
    path = Path(path)
    if path.stat().st_size == 0:
        raise ValueError(
            f"path must hold a picture; got {str(path)!r}, an empty file. Copy it again."
        )
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures; the size is checked below, before decoding.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                width, height = image.size
                if width * height <= LARGEST_PICTURE:
                    image.load()
                    return _to_tensor(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError:
        width = height = None
    # Damaged files make the decoders raise almost anything: OSError, SyntaxError, struct.error, ...
    except Exception as error:
        raise ValueError(
            f"path must be a PNG or JPEG picture that can be read; got {str(path)!r}: "
            f"{reason(error)}. Copy or convert it again."
        ) from error
    size = f" of {width}x{height}" if width else ""
    raise ValueError(
        f"path must hold a picture of at most {LARGEST_PICTURE} pixels; got {str(path)!r}{size}. "
        "Scale it down or cut it up."
    )


def write_mask(path: str | os.PathLike, mask: Bool[Tensor, "height width"]) -> None:
    """Writes a mask as a 1-bit PNG, white where it is on."""
    image = Image.fromarray(mask.cpu().numpy())
    write_whole(path, lambda file: image.save(file, format="PNG"))


def write_marginals(path: str | os.PathLike, probability: Float[Tensor, "height width"]) -> None:
    """Writes probabilities as a 16-bit grey PNG, 0 for 0 and 65535 for 1."""
    grey = (probability.detach().cpu().double() * 65535).round().clamp(0, 65535)
    image = Image.fromarray(grey.numpy().astype(np.uint16))
    write_whole(path, lambda file: image.save(file, format="PNG"))


def entry_range(entry: Float[Tensor, "height width"]) -> tuple[float, float]:
    """The smallest and the largest entry of pixels that are not clamped; 0 and 0 without any."""
    finite = entry[entry.isfinite()]
    return (finite.min().item(), finite.max().item()) if finite.numel() else (0.0, 0.0)


def write_entry(path: str | os.PathLike, entry: Float[Tensor, "height width"]) -> None:
    """Writes the entry map of a path as a 16-bit grey PNG.

    Linear from 1 for the smallest to 65534 for the largest entry, see `entry_range`; 0 is clamped
    off (-inf) and 65535 clamped on (+inf).
    """
    low, high = entry_range(entry)
    share = (entry.cpu() - low) / max(high - low, np.finfo(np.float64).tiny)
    grey = (1 + share * 65533).round().clamp(0, 65535)
    image = Image.fromarray(grey.numpy().astype(np.uint16))
    write_whole(path, lambda file: image.save(file, format="PNG"))


def write_overlay(
    path: str | os.PathLike,
    picture: Float[Tensor, "3 height width"],
    mask: Bool[Tensor, "height width"],
) -> None:
    """Writes the picture as an RGB PNG with the mask tinted and the rest dimmed."""
    picture, mask = picture.detach().cpu(), mask.cpu()
    tint = torch.tensor(TINT, dtype=picture.dtype)[:, None, None]
    shown = torch.where(mask, 0.45 * picture + 0.55 * tint, 0.75 * picture)
    pixels = (shown * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
    image = Image.fromarray(pixels.contiguous().numpy())
    write_whole(path, lambda file: image.save(file, format="PNG"))


# Half of a dot's width is at most this part of the shorter side; yellow on black is seen on all.
DOTS_A_SIDE = 150
DOT, RIM = (1.0, 0.87, 0.1), (0.08, 0.08, 0.08)


def write_picks(
    path: str | os.PathLike,
    picture: Float[Tensor, "3 height width"],
    mask: Bool[Tensor, "height width"],
) -> None:
    """Writes the picture as an RGB PNG with a dot on every pixel of the mask.

    Dots are discs with a dark rim, as large as the picture and their distances allow; what lies
    below is to be seen in the mask itself.
    """
    # Imported late: it takes longer than reading and writing.
    from scipy.ndimage import distance_transform_edt

    on = mask.cpu().numpy()
    away = distance_transform_edt(~on) if on.any() else np.full(on.shape, np.inf)
    radius = min(min(on.shape) / DOTS_A_SIDE, 0.25 * math.sqrt(on.size / max(on.sum(), 1)))
    pixels = picture.detach().cpu().permute(1, 2, 0).numpy().copy()
    pixels[away <= radius + 1] = RIM
    pixels[away <= radius] = DOT
    image = Image.fromarray((pixels * 255).round().clip(0, 255).astype(np.uint8))
    write_whole(path, lambda file: image.save(file, format="PNG"))


def _to_tensor(image: Image.Image) -> Float[Tensor, "3 height width"]:
    if image.mode.startswith("I"):
        # 16-bit grey, which older Pillow versions widen to 32 bits.
        grey = np.asarray(image).astype(np.float32) / 65535
        return torch.from_numpy(grey).clamp(0, 1).expand(3, -1, -1).clone()
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    pixels = np.asarray(image.convert("RGB")).astype(np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def check_exists(path: str | os.PathLike) -> None:
    """Raises FileNotFoundError or ValueError unless `path` names a file."""
    if not Path(path).exists():
        raise FileNotFoundError(
            f"path must name a file that exists; got {str(path)!r}. Check the spelling."
        )
    if not Path(path).is_file():
        raise ValueError(f"path must name a file; got {str(path)!r}, a folder. Name a file in it.")


def reason(error: Exception) -> str:
    """The first sentence of a library's message, fit to stand within one of ours."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__

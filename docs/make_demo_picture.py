"""Makes docs/demo.png, the picture at the top of the README, from the demo photograph."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

import mrfmask as mm
from mrfmask.depth.checkpoint import default_depth_model
from mrfmask.depth.full_size import choose_at_full_size
from mrfmask.files import read_picture
from mrfmask.potentials import POTENTIALS

ROOT = Path(__file__).parents[1]
SIDE, GAP, MEASURED = 300, 6, 100
BLUE = torch.tensor([0.30, 0.66, 1.0])[:, None, None]


def resized(picture: torch.Tensor, side: int) -> torch.Tensor:
    """The picture (3, height, width) at side x side pixels."""
    return torch.nn.functional.interpolate(
        picture[None], (side, side), mode="bilinear", antialias=True
    )[0].clamp(0, 1)


def panel(picture: torch.Tensor, potentials: str, side: int) -> torch.Tensor:
    """The picture at side x side pixels with its MAP mask in blue, enlarged to SIDE."""
    small = resized(picture, side)
    mask = mm.find_map(POTENTIALS[potentials](small)).mask[0]
    shown = torch.where(mask, 0.25 * small + 0.75 * BLUE, 0.8 * small)
    return torch.nn.functional.interpolate(shown[None], (SIDE, SIDE), mode="nearest")[0]


def where_to_measure(picture: torch.Tensor) -> torch.Tensor:
    """The picture with the picks of the shipped depth model, 2 % of 100x100 pixels, as blocks."""
    small = resized(picture, MEASURED)
    mask = choose_at_full_size(default_depth_model().masking, small, MEASURED**2 // 50, 0)
    shown = torch.where(mask, BLUE, 0.8 * small)
    return torch.nn.functional.interpolate(shown[None], (SIDE, SIDE), mode="nearest")[0]


def main() -> None:
    """Photo, where to measure depth, contrast and edge side by side."""
    picture = read_picture(ROOT / "demo/astronaut.jpg")
    panels = [resized(picture, SIDE), where_to_measure(picture)]
    panels += [panel(picture, "contrast", 300), panel(picture, "edge", 300)]
    gap = torch.ones(3, SIDE, GAP)
    row = [part for p in panels for part in (p, gap)][:-1]
    pixels = (torch.cat(row, dim=2) * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).quantize(128).save(ROOT / "docs/demo.png", optimize=True)


if __name__ == "__main__":
    main()

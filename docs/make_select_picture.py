"""Makes docs/select.png: the demo photograph with what each selector chooses at 1, 5 and 10 %."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

import mrfmask as mm
from mrfmask.files import read_picture
from mrfmask.potentials import edge_scores

ROOT = Path(__file__).parents[1]
SIDE, SCALE, GAP = 60, 3, 8
TOP, LEFT = 26, 50
BLUE = torch.tensor([0.10, 0.35, 1.00])[:, None, None]
BUDGETS = {"1 %": 0.01, "5 %": 0.05, "10 %": 0.10}


def panel(small: torch.Tensor, mask: torch.Tensor) -> Image.Image:
    """The picture paled, with a pixel on in blue."""
    grey = small.mean(dim=0, keepdim=True).expand(3, -1, -1)
    shown = torch.where(mask, BLUE, 0.45 * grey + 0.55)
    large = shown.repeat_interleave(SCALE, 1).repeat_interleave(SCALE, 2)
    return Image.fromarray((large * 255).round().byte().permute(1, 2, 0).numpy())


def main() -> None:
    """A row for each budget, a column for each selector."""
    picture = read_picture(ROOT / "demo/astronaut.jpg")
    small = torch.nn.functional.interpolate(
        picture[None], (SIDE, SIDE), mode="bilinear", antialias=True
    )[0].clamp(0, 1)
    scores = edge_scores(small)[None]
    step = SIDE * SCALE + GAP
    size = (LEFT + step * len(mm.SELECTORS), TOP + step * len(BUDGETS))
    page = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for row, (label, budget) in enumerate(BUDGETS.items()):
        middle = TOP + row * step + SIDE * SCALE // 2
        draw.text((LEFT - 8, middle), label, fill="black", font=font, anchor="rm")
        for column, name in enumerate(mm.SELECTORS):
            features = small[None] if name == "superpixel" else None
            mask = mm.select(scores, name, budget=budget, features=features)[0]
            page.paste(panel(small, mask), (LEFT + column * step, TOP + row * step))
    for column, name in enumerate(mm.SELECTORS):
        middle = LEFT + column * step + SIDE * SCALE // 2
        draw.text((middle, TOP // 2), name, fill="black", font=font, anchor="mm")
    page.quantize(64).save(ROOT / "docs/select.png", optimize=True)


if __name__ == "__main__":
    main()

"""Makes the pictures of docs/select.md: the demo photograph with what is chosen under budgets.

docs/select.png has each selector at 1, 5 and 10 %, docs/select_5.png at 5 % alone, docs/budget.png
the mask of lowest energy with 1, 5 and 10 % of the pixels on, of an associative and a repulsive
model.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

import mrfmask as mm
from mrfmask import IsingGrid
from mrfmask.files import read_picture
from mrfmask.potentials import edge, edge_scores, spread

ROOT = Path(__file__).parents[1]
BLUE = torch.tensor([0.10, 0.35, 1.00])[:, None, None]
BUDGETS = {"1 %": 0.01, "5 %": 0.05, "10 %": 0.10}
COLUMNS = 5
GAP, TOP = 8, 32
FONT = ImageFont.load_default(20)


def picture_of(side: int) -> Tensor:
    """The photograph at this size, (3, side, side)."""
    picture = read_picture(ROOT / "demo/astronaut.jpg")
    return torch.nn.functional.interpolate(
        picture[None], (side, side), mode="bilinear", antialias=True
    )[0].clamp(0, 1)


def panel(small: Tensor, mask: Tensor, scale: int) -> Image.Image:
    """The picture paled, with a pixel on in blue."""
    grey = small.mean(dim=0, keepdim=True).expand(3, -1, -1)
    shown = torch.where(mask, BLUE, 0.45 * grey + 0.55)
    large = shown.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    return Image.fromarray((large * 255).round().byte().permute(1, 2, 0).numpy())


def save_table(name: str, bands: list[dict[str, list[Image.Image]]], labels: list[str]) -> None:
    """Bands one below the other; in each, a column of panels for every title, a row for a label."""
    side = next(iter(bands[0].values()))[0].width
    step = side + GAP
    left = max(int(FONT.getlength(label)) + 2 * GAP if label else 0 for label in labels)
    band_height = TOP + len(labels) * step
    columns = max(map(len, bands))
    page = Image.new("RGB", (left + columns * step - GAP, band_height * len(bands) - GAP), "white")
    draw = ImageDraw.Draw(page)
    for number, band in enumerate(bands):
        top = number * band_height
        for row, label in enumerate(labels):
            middle = top + TOP + row * step + side // 2
            draw.text((left - GAP, middle), label, fill="black", font=FONT, anchor="rm")
        for column, (title, panels) in enumerate(band.items()):
            middle = left + column * step + side // 2
            draw.text((middle, top + TOP // 2), title, fill="black", font=FONT, anchor="mm")
            for row, one in enumerate(panels):
                page.paste(one, (left + column * step, top + TOP + row * step))
    page.quantize(64).save(ROOT / "docs" / name, optimize=True)


def selections(small: Tensor, budgets: list[float]) -> list[dict[str, list[Image.Image]]]:
    """What each selector chooses, by their names, in bands."""
    scores = edge_scores(small)[None]
    panels = {}
    for name in mm.SELECTORS:
        features = small[None] if name == "superpixel" else None
        masks = [mm.select(scores, name, budget=b, features=features)[0] for b in budgets]
        panels[name] = [panel(small, mask, 4) for mask in masks]
    titles = list(panels)
    starts = range(0, len(titles), COLUMNS)
    return [{name: panels[name] for name in titles[s : s + COLUMNS]} for s in starts]


def lowest_energies(small: Tensor, models: dict[str, IsingGrid]) -> dict[str, list[Image.Image]]:
    """The masks of lowest energy of the models, by budget; prints their gaps."""
    panels = {}
    for label, budget in BUDGETS.items():
        panels[label] = []
        for name, model in models.items():
            result = mm.find_map(model, budget=budget)
            print(f"{name}, {label}: energy {result.energy[0]:.6g}, gap {result.gap[0]:.2g}")
            panels[label].append(panel(small, result.mask[0], 5))
    return panels


def main() -> None:
    """All three pictures."""
    small = picture_of(60)
    save_table("select.png", selections(small, list(BUDGETS.values())), list(BUDGETS))
    save_table("select_5.png", selections(small, [0.05]), [""])
    large = picture_of(80)
    models = {"associative": edge(large), "repulsive": spread(large)}
    save_table("budget.png", [lowest_energies(large, models)], list(models))


if __name__ == "__main__":
    main()

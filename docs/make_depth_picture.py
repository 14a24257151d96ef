"""Makes docs/depth.png: a synthetic street, what is bought of it, and what comes of that."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from PIL import Image

from mrfmask.depth import SyntheticFrames, budget_of, collate_frames
from mrfmask.depth.checkpoint import default_depth_model
from mrfmask.depth.evaluate import reconstructions
from mrfmask.depth.masking import MASKINGS, Masking
from mrfmask.depth.phases import Phases, buy
from mrfmask.depth.pictures import draw_frame
from mrfmask.files import write_whole

PICTURE = Path(__file__).parent / "depth.png"
# A seed that no training has seen.
SEED, INDEX, BUDGET = 2026, 1, 0.02


def main() -> None:
    """Random picks, the model's in one phase, and its in four."""
    model = default_depth_model()
    # At home, as in training: the shipped model is more careful.
    density = replace(model.masking, sharpness=1.0)
    frame = SyntheticFrames(INDEX + 1, SEED, (100, 100))[INDEX]
    batch = collate_frames([frame])
    count = budget_of(batch.valid, BUDGET)
    ways: dict[str, tuple[Masking, int]] = {
        "random": (MASKINGS["random"](), 1),
        "k_center": (MASKINGS["k_center"](), 1),
        "ising_density": (density, 1),
        "ising_density, 4 phases": (density, 4),
    }
    shown = {}
    for title, (masking, phases) in ways.items():
        mask = buy(masking, batch, count, Phases(count=phases))
        filled = reconstructions(batch, mask, {"net": model.predictor})["net"]
        error = (filled - batch.depth)[batch.valid].square().mean().sqrt()
        shown[f"{title}: {error:.2f} m"] = (mask[0], filled[0])
    # Few colours: the page is read on slow lines, too.
    image = Image.open(io.BytesIO(draw_frame(frame, shown))).convert("RGB").quantize(160)
    write_whole(PICTURE, lambda file: image.save(file, format="PNG", optimize=True))


if __name__ == "__main__":
    main()

"""The shipped model on sensors that it has never seen.

Its training data are synthetic, DDAD and mOSD. How much of its density to trust on one of the two
other sets is tuned on the other one of these: a source that is held out as well.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset, Subset

from mrfmask.depth.checkpoint import default_depth_model
from mrfmask.depth.evaluate import evaluate_frame
from mrfmask.depth.frames import Frame
from mrfmask.depth.masking import MASKINGS, Masking
from mrfmask.depth.masking.density import IsingDensity
from mrfmask.depth.phases import Phases
from mrfmask.depth.sources import open_frames
from mrfmask.depth.training.sharpness import TRIED

SETS = {"kitti_sfnd78.npz": "sevenscenes100.npz", "sevenscenes100.npz": "kitti_sfnd78.npz"}
SHARES, PHASES = (0.01, 0.05), (1, 4)
# Every so many frames are looked at.
TUNED_ON, MEASURED_ON = 6, 2


def unseen_records(data: Path, name: str) -> list[dict[str, Any]]:
    """Records of the frames of one set, with the sharpness that the other one asks for."""
    model = default_depth_model()
    sharpness = _tuned(model.masking, _some(data / SETS[name], TUNED_ON))
    density = replace(model.masking, sharpness=sharpness)
    maskings: list[Masking] = [MASKINGS[m]() for m in ("random", "k_center", "long_range")]
    frames = _some(data / name, MEASURED_ON)
    predictors = {"shared": model.predictor}
    return [
        {
            "domain": f"unseen sensor, {name}, sharpness {sharpness}",
            "seed": 0,
            **evaluate_frame(frame, masking, Phases(count=count), share, predictors),
        }
        for share in SHARES
        for masking in (*maskings, density)
        for count in PHASES
        for frame in frames
    ]


def _some(path: Path, step: int) -> list[Frame]:
    frames: Dataset = open_frames(str(path))
    some = Subset(frames, range(0, len(frames), step))
    return [some[i] for i in range(len(some))]


def _tuned(masking: IsingDensity, frames: list[Frame]) -> float:
    """The sharpness with the least mean error of the linear fill, relative to even masks."""

    def errors(tried: Masking, share: float) -> float:
        records = [evaluate_frame(frame, tried, Phases(), share, {}) for frame in frames]
        return sum(record["metrics"]["linear"]["rmse"] for record in records)

    even = {share: errors(MASKINGS["long_range"](), share) for share in SHARES}
    return min(
        TRIED,
        key=lambda sharpness: sum(
            errors(replace(masking, sharpness=sharpness), share) / even[share] for share in SHARES
        ),
    )

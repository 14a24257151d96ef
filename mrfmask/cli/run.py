"""The work on one image: read, make a model, ask the method, write the results."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mrfmask.cli.graphs import write_nodes
from mrfmask.cli.inputs import Input
from mrfmask.cli.journal import Record, key_of, sha256_of
from mrfmask.cli.selection import Picks, SelectSettings
from mrfmask.cli.settings import PictureSettings, Settings
from mrfmask.cli.versions import versions
from mrfmask.files import (
    read_picture,
    write_marginals,
    write_mask,
    write_overlay,
    write_picks,
    write_whole,
)
from mrfmask.graph import IsingGraph
from mrfmask.model import IsingGrid
from mrfmask.model_files import load_model, save_model
from mrfmask.result import MapResult, Marginals, Samples

if TYPE_CHECKING:
    from mrfmask.cli.depth_infer import DepthSettings

# Those that a kind of model has.
MARGINAL_ARRAYS = (
    "probability",
    *("right", "down", "down_right", "down_left", "pairwise"),
    "log_partition",
)

# A file of potentials is read once for all its images, which come one after another.
_load_last = functools.lru_cache(maxsize=1)(load_model)


def output_names(image: Input, settings: Settings | SelectSettings | DepthSettings) -> list[str]:
    """The files of an image, relative to the output folder."""
    endings = ["nodes.csv"] if image.is_graph else ["mask.png", "overlay.png"]
    endings += ["marginals.png"] * (settings.task == "marginals" and not image.is_graph)
    endings += ["potentials.npz"] * settings.npz
    endings += ["marginals.npz"] * (settings.npz and settings.task == "marginals")
    return [f"{image.stem}.{ending}" for ending in endings]


def key(
    image: Input, settings: Settings | SelectSettings | DepthSettings
) -> tuple[str, int | None, str]:
    """What the journal knows the image and these settings by."""
    return key_of(_heading(image, settings))


def run(image: Input, settings: Settings | SelectSettings | DepthSettings, folder: Path) -> Record:
    """Does one image, writes its files and returns its line of results.jsonl.

    Raises:
        OSError, RuntimeError, TypeError, ValueError: the input is broken, the method cannot take
            it, or the results cannot be written.
    """
    source = sha256_of(image.path)
    picture, model = read_input(image, settings)
    seed = None if settings.seed is None else image.seed(settings.seed)
    solver, model = settings.solver(seed, picture), model.to(settings.device)
    start = time.perf_counter()
    result = solver(model)
    seconds = time.perf_counter() - start
    mask, numbers = _describe(result, model)
    sites = "nodes" if image.is_graph else "pixels"
    (folder / image.stem).parent.mkdir(parents=True, exist_ok=True)
    outputs = {}
    for name in output_names(image, settings):
        _WRITERS[name.removeprefix(image.stem)](folder / name, picture, model, mask, result)
        outputs[name] = sha256_of(folder / name)
    return {
        **_heading(image, settings),
        "input_sha256": source,
        "seed": seed,
        "method": result.method,
        **({"reason": result.reason} if getattr(result, "reason", "") else {}),
        "status": result.status[0].name.lower(),
        **numbers,
        f"{sites}_on": int(mask.sum()),
        sites: mask.numel(),
        "outputs": outputs,
        "seconds": round(seconds, 4),  # of the method, without reading and writing
        **versions(),
    }


def read_input(
    image: Input, settings: PictureSettings | SelectSettings | DepthSettings
) -> tuple[Tensor | None, IsingGrid | IsingGraph]:
    """The picture (3, height, width), None for a graph, and the model of one image."""
    if image.is_picture:
        picture = read_picture(image.path)
        if settings.size is not None:
            picture = torch.nn.functional.interpolate(
                picture[None], settings.size, mode="bilinear", antialias=True
            )[0].clamp(0, 1)
        return picture, settings.model(picture)
    model = _load_last(image.path, image.evidence)
    model = model[image.image or 0]
    return None if image.is_graph else _picture_of(model.unary[0]), model


def _heading(image: Input, settings: Settings | SelectSettings | DepthSettings) -> Record:
    record = settings.record(image.is_picture)
    if image.evidence is not None:
        record["evidence_sha256"] = sha256_of(image.evidence)
    return {**image.heading, "settings": record}


def _picture_of(unary: Tensor) -> Tensor:
    """The unary as a grey picture: 0 is mid-grey, the strongest and the clamps black and white."""
    strongest = unary[~unary.isinf()].abs().max() if (~unary.isinf()).any() else unary.new_ones(())
    grey = 0.5 + 0.5 * (unary / strongest.clamp(min=1e-30)).clamp(-1, 1)
    return grey.float().expand(3, -1, -1)


def _describe(
    result: MapResult | Marginals | Samples | Picks, model: IsingGrid | IsingGraph
) -> tuple[Tensor, dict[str, Any]]:
    """The mask, (height, width) or (nodes,), to show for a result, and its numbers."""
    if isinstance(result, Picks):
        return result.mask[0], {"energy": None, "lower_bound": None, "gap": None}
    if isinstance(result, MapResult):
        numbers = {"energy": result.energy, "lower_bound": result.lower_bound, "gap": result.gap}
        return result.mask[0].cpu(), {n: _number(v) for n, v in numbers.items()}
    if isinstance(result, Marginals):
        mask = (result.probability[0] > 0.5).cpu()
        numbers = {"log_partition": _number(result.log_partition), "kind": result.kind}
    else:
        mask = result.masks[0, 0].cpu()
        numbers = {
            "r_hat": _number(result.r_hat),
            "effective_sample_size": _number(result.effective_sample_size),
        }
    energy = _number(model.energy(mask[None]))
    return mask, {"energy": energy, "lower_bound": None, "gap": None} | numbers


def _number(values: Tensor | None) -> float | None:
    """The value of the only image; None stands for infinity and NaN, which JSON does not have."""
    value = math.nan if values is None else float(values[0])
    return value if math.isfinite(value) else None


def _write_marginal_arrays(path: Path, result: Marginals) -> None:
    arrays = {name: getattr(result, name) for name in MARGINAL_ARRAYS}
    arrays = {n: t.detach().cpu().numpy() for n, t in arrays.items() if t is not None}
    write_whole(path, lambda file: np.savez(file, **arrays))


_WRITERS: dict[str, Callable[[Path, Tensor | None, IsingGrid | IsingGraph, Tensor, Any], None]] = {
    ".nodes.csv": lambda path, picture, model, mask, result: write_nodes(
        path, mask, result.probability[0].cpu() if isinstance(result, Marginals) else None
    ),
    ".mask.png": lambda path, picture, model, mask, result: write_mask(path, mask),
    # Single pixels, apart from each other, would hardly be seen.
    ".overlay.png": lambda path, picture, model, mask, result: (
        write_picks if isinstance(result, Picks) else write_overlay
    )(path, picture, mask),
    ".marginals.png": lambda path, picture, model, mask, result: write_marginals(
        path, result.probability[0]
    ),
    ".potentials.npz": lambda path, picture, model, mask, result: save_model(model, path),
    ".marginals.npz": lambda path, picture, model, mask, result: _write_marginal_arrays(
        path, result
    ),
}

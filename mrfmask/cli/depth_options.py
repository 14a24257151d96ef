"""Options that the commands about depth share."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from mrfmask.cli.journal import sha256_of
from mrfmask.cli.settings import parse_size
from mrfmask.depth.checkpoint import (
    DEPTH_FILE,
    MASKING_FOLDER,
    PREDICTOR_FOLDER,
    WEIGHT_FOLDER,
    DepthModel,
    default_depth_model,
    load_depth_model,
)
from mrfmask.depth.maps import UNITS, Size
from mrfmask.inference.method import check_choice, check_count
from mrfmask.nn.hub import CONFIG, WEIGHTS

# Names of no folder.
NONE, DEFAULT = "none", "default"
MOST_PHASES = 64


@dataclass(frozen=True)
class NamedModel:
    """A depth model and what results remember of it.

    Attributes:
        model: masking, predictor, phases.
        digest: of its files.
    """

    model: DepthModel
    digest: str


def load_named_model(name: str) -> NamedModel:
    """Reads the depth model of a folder, or the one that comes with the package.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: there is none, or it cannot be read.
    """
    if name == DEFAULT:
        return NamedModel(default_depth_model(), _digest(default_folder()))
    folder = Path(name)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"--checkpoint must name a folder that exists, or be {DEFAULT}; got {name}. Check the "
            "spelling."
        )
    try:
        model = load_depth_model(folder)
    except (FileNotFoundError, ValueError) as error:
        # The argument has the option's name where it is typed.
        text = str(error)
        raise type(error)(
            f"--checkpoint{text.removeprefix('folder')}" if text.startswith("folder ") else text
        ) from error
    return NamedModel(model, _digest(folder))


def default_folder() -> Path:
    """Where the package has its model."""
    return Path(str(files("mrfmask.depth"))) / DEFAULT


def _digest(folder: Path) -> str:
    """Of the files of a model; those of its training, which lie beside them, do not matter."""
    parts = [folder / DEPTH_FILE]
    for name in (MASKING_FOLDER, PREDICTOR_FOLDER, WEIGHT_FOLDER):
        parts += sorted(p for p in (folder / name).rglob("*") if p.name in (CONFIG, WEIGHTS))
    text = "".join(sha256_of(path) for path in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def parse_shares(flag: str, text: str) -> tuple[float, ...]:
    """Budgets, rising, from percentages apart by commas."""
    shares = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,3}(?:\.\d{0,12})?)%\s*", part, flags=re.ASCII)
        if not match or not 0 < float(match[1]) <= 100:
            raise ValueError(
                f"{flag} must be shares of all pixels, above 0% and up to 100%; got {part!r}. "
                "Write e.g. 1% or 0.5%,1%,5%."
            )
        shares.append(float(match[1]) / 100)
    return tuple(sorted(set(shares)))


def parse_share(flag: str, text: str) -> float:
    """One budget."""
    shares = parse_shares(flag, text)
    if len(shares) > 1:
        raise ValueError(f"{flag} must be one share; got {text!r}. Write e.g. 1%.")
    return shares[0]


def parse_phases(text: str) -> tuple[int, ...]:
    """Numbers of phases, rising, apart by commas."""
    counts = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,3})\s*", part, flags=re.ASCII)
        if not match:
            raise ValueError(f"--phases must be whole numbers; got {part!r}. Write e.g. 1,4.")
        counts.append(check_phases(int(match[1])))
    return tuple(sorted(set(counts)))


def check_phases(count: int) -> int:
    """The number of phases, if it can be one."""
    check_count("--phases", count, 1, MOST_PHASES)
    return count


def check_data(data: Sequence[str], unit: str, size: str | None) -> Size | None:
    """The size to reduce to, if data sets and their options are what they must be."""
    if not data:
        raise ValueError("--data must name a data set; got none. synthetic is always there.")
    check_choice("--unit", unit, tuple(UNITS))
    return None if size is None else parse_size(size)

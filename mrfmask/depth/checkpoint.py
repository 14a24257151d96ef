"""All that chooses and completes depth in one folder: masking, predictor, phases."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from importlib.resources import files
from numbers import Real
from pathlib import Path
from typing import Any

from torch import nn

from mrfmask.depth.masking import MASKINGS, Masking
from mrfmask.depth.phases import Phases
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.saved_weights import NETS, put_together, taken_apart
from mrfmask.files import reason, write_whole
from mrfmask.nn.hub import CARD, CONFIG, WEIGHTS

FORMAT_VERSION = 1
DEPTH_FILE = "depth.json"
MASKING_FOLDER, PREDICTOR_FOLDER, WEIGHT_FOLDER = "masking", "predictor", "weight"
MOST_NETS = 1000
KEYS = ("version", "method", "options", "predictor", "phases", "budget", "info")


@dataclass(frozen=True, kw_only=True, eq=False)
class DepthModel:
    """What says where to measure depth, and completes it.

    Attributes:
        masking: says what to buy; one of MASKINGS.
        predictor: completes depth; None for interpolation alone.
        phases: how a budget is spent.
        budget: share of all pixels that it was made for, in (0, 1].
        info: plain facts about it, such as names of data, seeds and versions; what JSON can hold.

    Raises:
        TypeError: an attribute of another kind.
        ValueError: something that a folder cannot hold, or a budget out of range.

    Example:
        >>> from mrfmask.depth.checkpoint import DepthModel
        >>> from mrfmask.depth.masking import MASKINGS
        >>> DepthModel(masking=MASKINGS["long_range"](), predictor=None, budget=0.05).masking.name
        'long_range'
    """

    masking: Masking
    predictor: Predictor | None
    phases: Phases = field(default_factory=Phases)
    budget: float
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_masking(self.masking)
        for name, kind in (("predictor", Predictor | None), ("phases", Phases), ("info", Mapping)):
            value = getattr(self, name)
            if not isinstance(value, kind):
                wanted = getattr(kind, "__name__", "Predictor or None")
                raise TypeError(
                    f"{name} must be of kind {wanted}; got {type(value).__name__}. See DepthModel."
                )
        if isinstance(self.budget, bool) or not isinstance(self.budget, Real):
            raise TypeError(
                f"budget must be a number; got {type(self.budget).__name__}. Give a share of all "
                "pixels."
            )
        if not 0 < self.budget <= 1:
            raise ValueError(f"budget must lie in (0, 1]; got {self.budget}. 1 % is 0.01.")
        taken_apart(self.phases.weight)
        check_info(self.info)

    def save(self, folder: str | os.PathLike, *, half: bool = False) -> None:
        """Writes it to a folder that `load_depth_model` reads; the same model gives the same bytes.

        The folder holds ``masking/`` and ``predictor/``, if these have networks, as their
        ``save_pretrained`` writes them, those of the phases' weight in ``weight/``, and
        ``depth.json`` with all else, written last: a folder without it holds no model. Other files
        in the folder are left alone.

        Args:
            folder: made if need be; a model that is there already is replaced.
            half: store networks in float16, in half the space and with 3 digits.

        Raises:
            TypeError: `half` is no bool.
            ValueError: `folder` is a file, or a weight is too large for float16.
            OSError: the disk is full, or the folder cannot be written to.
        """
        if not isinstance(half, bool):
            raise TypeError(f"half must be a bool; got {type(half).__name__}. Use True or False.")
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise ValueError(
                f"folder must not be a file; got {str(folder)!r}. Name a folder, new or old."
            )
        phases = {f.name: getattr(self.phases, f.name) for f in fields(Phases)}
        weight, weight_nets = taken_apart(self.phases.weight)
        content = {
            "version": FORMAT_VERSION,
            "method": self.masking.name,
            "options": self.masking.options(),
            "predictor": self.predictor is not None,
            "phases": phases | {"weight": weight, "weight_nets": len(weight_nets)},
            "budget": self.budget,
            "info": dict(self.info),
        }
        text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"
        folder.mkdir(parents=True, exist_ok=True)
        # Or a kill below would leave networks of two models under one description.
        (folder / DEPTH_FILE).unlink(missing_ok=True)
        for name in (MASKING_FOLDER, PREDICTOR_FOLDER, WEIGHT_FOLDER):
            _remove_nets(folder / name)
        nets = {
            MASKING_FOLDER: getattr(self.masking, "net", None),
            PREDICTOR_FOLDER: self.predictor,
            **{f"{WEIGHT_FOLDER}/{k}": net for k, net in enumerate(weight_nets)},
        }
        for name, net in nets.items():
            if net is not None:
                net.save_pretrained(folder / name, half=half)
        write_whole(folder / DEPTH_FILE, lambda file: file.write(text.encode()))


def check_info(info: Mapping[str, Any]) -> None:
    """Raises unless JSON gives the facts back as they are."""
    try:
        same = json.loads(json.dumps(dict(info), allow_nan=False)) == info
    except (TypeError, ValueError):
        same = False
    if not same:
        raise ValueError(
            f"info must hold what JSON can: text, finite numbers, lists; got {info!r}. Turn the "
            "rest into text."
        )


def depth_model_at(folder: str | os.PathLike) -> bool:
    """Whether a folder holds a whole model; says nothing of its version."""
    return (Path(folder) / DEPTH_FILE).is_file()


def load_depth_model(folder: str | os.PathLike) -> DepthModel:
    """Reads what `DepthModel.save` wrote; networks are on the CPU, in evaluation mode.

    Raises:
        FileNotFoundError: no such folder, or a file is missing from it.
        ValueError: a file is broken, of another version, or of an unknown method.
    """
    folder = Path(folder)
    path = folder / DEPTH_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"folder must hold {DEPTH_FILE}; got {str(folder)!r} without it. Name a folder that a "
            "training has finished."
        )
    content = _read(path)
    kind = MASKINGS[content["method"]]
    nets = {}
    if kind.net_class is not None:
        nets["net"] = kind.net_class.from_pretrained(_inside(folder, MASKING_FOLDER))
    predictor = None
    if content["predictor"]:
        predictor = Predictor.from_pretrained(_inside(folder, PREDICTOR_FOLDER))
    phases = dict(content["phases"])
    inside = [f"{WEIGHT_FOLDER}/{k}" for k in range(phases.pop("weight_nets"))]
    folders = {name: _inside(folder, name) for name in inside}
    try:
        return DepthModel(
            masking=kind(**content["options"], **nets),
            predictor=predictor,
            phases=Phases(**phases | {"weight": put_together(phases["weight"], folders)}),
            budget=content["budget"],
            info=content["info"],
        )
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{DEPTH_FILE} must hold options of {kind.name} and phases; got {str(path)!r}: "
            f"{error} Use the mrfmask that wrote it."
        ) from error


def default_depth_model() -> DepthModel:
    """The trained model that comes with the package.

    Raises:
        RuntimeError: this copy of the package has none.
    """
    folder = Path(str(files("mrfmask.depth"))) / "default"
    if not depth_model_at(folder):
        raise RuntimeError(
            f"The package must hold a trained model in mrfmask/depth/default; got {str(folder)!r} "
            "without one. Run python tools/train_default.py in the repository, or load a model of "
            "yours."
        )
    return load_depth_model(folder)


def _read(path: Path) -> dict[str, Any]:
    """What depth.json holds, with all its keys, a known version, method and weight."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"{DEPTH_FILE} must be JSON; got {str(path)!r}: {reason(error)}. Save the model again."
        ) from error
    known = isinstance(content, dict)
    if known and content.get("version", FORMAT_VERSION) != FORMAT_VERSION:
        raise ValueError(
            f"{DEPTH_FILE} must be of version {FORMAT_VERSION}; got {content['version']} in "
            f"{str(path)!r}. Use the mrfmask that wrote it."
        )
    objects = ("options", "phases", "info")
    if (
        not known
        or sorted(content) != sorted(KEYS)
        or not all(isinstance(content[name], dict) for name in objects)
        or not isinstance(content["predictor"], bool)
    ):
        raise ValueError(
            f"{DEPTH_FILE} must hold {', '.join(KEYS)}, {', '.join(objects)} as objects; got "
            f"{str(path)!r} with other content. Save the model again."
        )
    for name, value, choices in (
        ("method", content["method"], MASKINGS),
        ("weight", content["phases"].get("weight"), NETS),
    ):
        if not isinstance(value, str) or value not in choices:
            raise ValueError(
                f"{name} must be one of {', '.join(choices)}; got {value!r} in {str(path)!r}. Use "
                "the mrfmask that wrote it."
            )
    number = content["phases"].get("weight_nets")
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MOST_NETS:
        raise ValueError(
            f"weight_nets must lie in 0..{MOST_NETS}; got {number!r} in {str(path)!r}. Save the "
            "model again."
        )
    return content


def _inside(folder: Path, name: str) -> Path:
    """A folder of a network; missing ones are no names on the hub."""
    if not (folder / name).is_dir():
        raise FileNotFoundError(
            f"folder must hold {name}/; got {str(folder)!r} without it. Copy the whole folder."
        )
    return folder / name


def _remove_nets(folder: Path) -> None:
    """Removes networks of an earlier model, in a folder or below it; other files stay."""
    for place in (*folder.glob("[0-9]*"), folder):
        for name in (CONFIG, WEIGHTS, CARD):
            (place / name).unlink(missing_ok=True)
        with suppress(OSError):
            place.rmdir()


def _check_masking(masking: Any) -> None:
    if not isinstance(masking, Masking):
        raise TypeError(
            f"masking must be a Masking; got {type(masking).__name__}. Use MASKINGS[name]()."
        )
    kind = MASKINGS.get(masking.name)
    if type(masking) is not kind:
        raise ValueError(
            f"masking must be of a class in MASKINGS; got {type(masking).__name__}. Others cannot "
            "be found again by their name."
        )
    net: nn.Module | None = getattr(masking, "net", None)
    if kind.net_class is None:
        return
    if not isinstance(net, kind.net_class):
        raise TypeError(
            f"masking must have a net of class {kind.net_class.__name__}; got "
            f"{type(net).__name__}. Train {masking.name}."
        )
    outside = [name for name in net.config_leaves_out if getattr(net, name) is not None]
    if outside:
        raise ValueError(
            f"masking must have a net that its folder describes; got one with {outside[0]} of "
            "another library. Use the network of mrfmask."
        )

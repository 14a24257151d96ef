"""From the options of ``mrfmask infer`` to checked settings; nothing is silently ignored."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from mrfmask.cli.checkpoint import Checkpoint
from mrfmask.inference import METHODS, find_map
from mrfmask.inference.method import (
    FUNCTIONS,
    Answer,
    Method,
    check_choice,
    check_count,
    check_positive,
)
from mrfmask.model import IsingGrid
from mrfmask.potentials import POTENTIALS

DEFAULT_METHOD: dict[Answer, str] = {"map": "auto", "marginals": "mean_field", "sample": "gibbs"}
LARGEST_SIDE = 2**16
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class PictureSettings:
    """How pictures become potentials, checked, with all defaults filled in.

    Attributes:
        potentials: name in POTENTIALS.
        weights: all its weights.
        size: (height, width) that pictures are resized to, or None.
        checkpoint: a network that gives the potentials instead, or None.
    """

    potentials: str
    weights: dict[str, float]
    size: tuple[int, int] | None
    checkpoint: Checkpoint | None = None

    def model(self, picture: Tensor) -> IsingGrid:
        """The potentials of a picture."""
        if self.checkpoint is not None:
            return self.checkpoint.model(picture)
        return POTENTIALS[self.potentials](picture, **self.weights)

    def picture_record(self) -> dict[str, Any]:
        """These settings for JSON."""
        size = list(self.size) if self.size else None
        if self.checkpoint is not None:
            return {**self.checkpoint.record(), "size": size}
        return {"potentials": self.potentials, "weights": self.weights, "size": size}


@dataclass(frozen=True, kw_only=True)
class Settings(PictureSettings):
    """What to compute, checked, with all defaults filled in.

    Attributes:
        task: what to ask for.
        method: name in METHODS, or "auto".
        options: what the method gets besides its seed.
        time_limit_s: limit for "auto"; other methods have it in their options.
        seed: the user's seed, from which each input's own is made; None where nothing is drawn.
        device: where the method runs.
        npz: whether potentials and marginals are written as arrays too.
    """

    task: Answer
    method: str
    options: dict[str, Any]
    time_limit_s: float | None
    seed: int | None
    device: str
    npz: bool

    def record(self, picture: bool) -> dict[str, Any]:
        """The settings that decide the result for a picture or a file of potentials, for JSON."""
        record = {
            "task": self.task,
            "method": self.method,
            "options": self._all_options(),
            "seed": self.seed,
            "device": self.device,
        }
        return record | self.picture_record() if picture else record

    def solver(self, seed: int | None, picture: Tensor) -> Callable[[IsingGrid], Any]:
        """The function that answers the task for a model, drawing from `seed`."""
        if self.method == "auto":
            return lambda model: find_map(model, time_limit_s=self.time_limit_s)
        drawn = {} if seed is None else {"seed": seed}
        return getattr(METHODS[self.method](**self.options, **drawn), FUNCTIONS[self.task])

    def _all_options(self) -> dict[str, Any]:
        if self.method == "auto":
            return {"time_limit_s": self.time_limit_s}
        method = METHODS[self.method](**self.options)
        values = {f.name: getattr(method, f.name) for f in fields(method)}
        # The seed has a place of its own, and a chain never starts from a tensor here.
        return {n: value for n, value in values.items() if n not in ("seed", "start")}


def check_settings(
    *,
    task: str,
    method: str | None,
    potentials: str | None,
    weight: Sequence[str],
    beta: float | None,
    sweeps: int | None,
    seed: int | None,
    budget: str | None,
    time_limit_s: float | None,
    size: str | None,
    device: str,
    npz: bool,
    checkpoint: Checkpoint | None = None,
) -> Settings:
    """Settings from options, None where an option was not given.

    Raises:
        TypeError, ValueError: an option is malformed, unknown, or not used by task and method.
        RuntimeError: the device is not there.
    """
    check_choice("--task", task, tuple(FUNCTIONS))
    if budget is not None and method is None and task == "sample":
        method = "kawasaki"
    method = _check_method(task, method)
    kind = None if method == "auto" else METHODS[method]
    options: dict[str, Any] = {}
    if beta is not None:
        check_positive("--beta", beta)
        options[_used("--beta", ("beta",), task, kind)] = beta
    if sweeps is not None:
        check_count("--sweeps", sweeps, 1)
        options[_used("--sweeps", ("sweeps", "max_sweeps"), task, kind)] = sweeps
    if budget is not None:
        options[_used("--budget", ("budget",), task, kind)] = parse_budget(budget)
    elif kind is not None and _uses(kind, "budget", task):
        raise ValueError(
            f"--budget must come with --method {method}; got --method {method} alone. Write e.g. "
            "--budget 2%."
        )
    if time_limit_s is not None:
        check_positive("--time-limit", time_limit_s)
        if kind is not None:
            options[_used("--time-limit", ("time_limit_s",), task, kind)] = time_limit_s
    if seed is not None:
        check_count("--seed", seed, 0, LARGEST_SEED)
        _used("--seed", ("seed",), task, kind)
    elif kind is not None and _uses(kind, "seed", task):
        seed = 0
    picture = check_picture_settings(potentials, weight, size, checkpoint)
    return Settings(
        task=task,
        method=method,
        options=options,
        time_limit_s=time_limit_s if kind is None else None,
        seed=seed,
        device=_check_device(device),
        npz=npz,
        **vars(picture),
    )


def check_picture_settings(
    potentials: str | None,
    weight: Sequence[str],
    size: str | None,
    checkpoint: Checkpoint | None = None,
) -> PictureSettings:
    """Settings from options, None where an option was not given.

    Raises:
        ValueError: an option is malformed, unknown, or of no use beside another.
    """
    for flag, value in (("--potentials", potentials), ("--weight", weight)):
        if checkpoint is not None and value:
            raise ValueError(
                f"{flag} must not be given with --checkpoint, whose network gives the potentials; "
                f"got {flag} with --checkpoint {checkpoint.name}. Leave one of them out."
            )
    potentials = potentials or "contrast"
    check_choice("--potentials", potentials, tuple(POTENTIALS))
    return PictureSettings(
        potentials=potentials,
        weights=_check_weights(potentials, weight),
        size=None if size is None else parse_size(size),
        checkpoint=checkpoint,
    )


def _check_method(task: Answer, method: str | None) -> str:
    method = method or DEFAULT_METHOD[task]
    check_choice("--method", method, ("auto", *METHODS))
    able = [name for name, kind in METHODS.items() if task in kind.answers]
    if method == "auto" and task != "map":
        raise ValueError(
            f"--method must be named for --task {task}; got 'auto', which answers map. "
            f"Use {_one_of(able)}."
        )
    if method != "auto" and method not in able:
        raise ValueError(
            f"--method must answer --task {task}; got {method!r}, which answers "
            f"{' and '.join(METHODS[method].answers)}. Use {_one_of(able)}."
        )
    return method


def _uses(kind: type[Method], field: str, task: Answer) -> bool:
    """Whether the answer of a method depends on one of its options."""
    if field not in {f.name for f in fields(kind)}:
        return False
    # The best mask is the same at every temperature, and only samples of an exact method are drawn.
    irrelevant = {"beta": task == "map", "seed": task != "sample"}
    return not (kind.exact and irrelevant.get(field, False))


def _used(flag: str, names: tuple[str, ...], task: Answer, kind: type[Method] | None) -> str:
    """The option that a flag stands for; raises where task and method have no use for it."""
    for name in names:
        if kind is not None and _uses(kind, name, task):
            return name
    users = [
        other.name
        for other in METHODS.values()
        if task in other.answers and any(_uses(other, name, task) for name in names)
    ]
    advice = f"Use --method {_one_of(users)}, or leave it out." if users else "Leave it out."
    raise ValueError(
        f"{flag} must not be given where nothing uses it; got it with --task {task} and "
        f"--method {kind.name if kind else 'auto'}. {advice}"
    )


def _check_weights(potentials: str, given: Sequence[str]) -> dict[str, float]:
    build = POTENTIALS[potentials]
    parameters = list(inspect.signature(build).parameters.values())[1:]
    weights = {p.name: p.default for p in parameters}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = None
        if not equals or number is None:
            raise ValueError(
                f"--weight must be NAME=VALUE with a number; got {text!r}. "
                f"Write e.g. {parameters[0].name}={parameters[0].default}."
            )
        if name not in weights:
            raise ValueError(
                f"--weight must name a weight of the potentials {potentials}; got {name!r}. "
                f"They have {', '.join(f'{n} ({d})' for n, d in weights.items())}."
            )
        weights[name] = number
    try:
        # The functions check their weights; better now than once for every picture.
        build(torch.zeros(3, 1, 1), **weights)
    except ValueError as error:
        raise ValueError(f"--weight {error}") from None
    return weights


def _one_of(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def parse_size(text: str) -> tuple[int, int]:
    """Height and width from HEIGHTxWIDTH."""
    match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", text, flags=re.IGNORECASE | re.ASCII)
    if not match or max(map(int, match.groups())) > LARGEST_SIDE:
        raise ValueError(
            f"--size must be HEIGHTxWIDTH with sides in 1..{LARGEST_SIDE}; got {text!r}. "
            "Write e.g. 480x640."
        )
    return int(match[1]), int(match[2])


def parse_budget(text: str) -> int | float:
    """A number of pixels, or a share of all of them from a percentage."""
    number = re.fullmatch(r"(\d{1,12})", text, flags=re.ASCII)
    share = re.fullmatch(r"(\d{1,3}(?:\.\d{0,12})?)%", text, flags=re.ASCII)
    if number:
        return int(number[1])
    if not share or not 0 < float(share[1]) <= 100:
        raise ValueError(
            f"--budget must be a number of pixels, or a share above 0% and up to 100%; got "
            f"{text!r}. Write e.g. 500 or 2%."
        )
    return float(share[1]) / 100


def _check_device(device: str) -> str:
    match = re.fullmatch(r"(cpu|cuda)(?::(\d{1,3}))?", device, flags=re.ASCII)
    if not match or (match[1] == "cpu" and match[2]):
        raise ValueError(f"--device must be cpu, cuda or cuda:N; got {device!r}. Use cpu.")
    if match[1] == "cuda" and int(match[2] or 0) >= torch.cuda.device_count():
        raise RuntimeError(
            f"--device must be a device of this machine; got {device}, but PyTorch sees "
            f"{torch.cuda.device_count()} GPUs. Leave it out, or check the driver and install a "
            "PyTorch built for CUDA."
        )
    return device

"""From the options of ``mrfmask bench`` to checked settings and instances."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mrfmask.bench import instances
from mrfmask.bench.efforts import able_methods
from mrfmask.bench.instances import SIGNS, Instance, Signs
from mrfmask.cli.graphs import check_no_graphs
from mrfmask.cli.inputs import Input, find_inputs
from mrfmask.cli.settings import LARGEST_SEED
from mrfmask.inference.method import check_choice, check_count, check_positive

DEFAULT_SIZES, DEFAULT_STRENGTHS = "16,32,64,100", "0.1,0.3,1,2"
# Every method holds some hundred bytes a pixel.
LARGEST_SIDE, MOST_REPEATS = 2048, 1000

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """What to compare on what, checked, with all defaults filled in.

    Attributes:
        methods: names in METHODS, in its order.
        time_limit_s: longest limit of a run.
        seed: of drawn models and of methods that draw.
        inputs: images of files; where there are any, nothing is drawn.
        sizes: sides of drawn models, ascending.
        strengths: of their couplings, ascending.
        signs: of their couplings.
        repeats: draws of each kind.
    """

    methods: tuple[str, ...]
    time_limit_s: float
    seed: int
    inputs: tuple[Input, ...]
    sizes: tuple[int, ...]
    strengths: tuple[float, ...]
    signs: tuple[Signs, ...]
    repeats: int

    def instances(self) -> list[Instance]:
        """Every model to run on; reads the files.

        Raises:
            FileNotFoundError, ValueError: a file cannot be read as a model.
        """
        if self.inputs:
            return [instances.read(i.path, i.name, i.image or 0) for i in self.inputs]
        kinds = (self.sizes, self.signs, self.strengths)
        return list(instances.draw_all(*kinds, self.repeats, self.seed))

    def record(self) -> dict[str, Any]:
        """The settings for JSON and the page."""
        record = {"methods": self.methods, "time_limit_s": self.time_limit_s, "seed": self.seed}
        if self.inputs:
            return record | {"files": len({i.path for i in self.inputs})}
        names = ("sizes", "strengths", "signs", "repeats")
        return record | {name: getattr(self, name) for name in names}


def check_settings(
    *,
    inputs: Sequence[Path],
    out: Path,
    methods: str | None,
    time_limit_s: float,
    seed: int,
    sizes: str | None,
    strengths: str | None,
    signs: str | None,
    repeats: int | None,
) -> BenchSettings:
    """Settings from options, None where an option was not given.

    Raises:
        FileNotFoundError, TypeError, ValueError: an option is malformed, unknown, or not used.
    """
    check_positive("--time-limit", time_limit_s)
    check_count("--seed", seed, 0, LARGEST_SEED)
    drawn = {"sizes": sizes, "strengths": strengths, "signs": signs, "repeats": repeats}
    for name, value in drawn.items():
        if inputs and value is not None:
            raise ValueError(
                f"--{name} must come without files, as it is of drawn models; got it with "
                f"{inputs[0]}. Run the command twice, into two folders."
            )
    repeats = 1 if repeats is None else repeats
    check_count("--repeats", repeats, 1, MOST_REPEATS)
    return BenchSettings(
        methods=_check_methods(methods),
        time_limit_s=time_limit_s,
        seed=seed,
        inputs=tuple(_check_inputs(inputs, out)),
        sizes=tuple(
            sorted(_parse("--sizes", sizes or DEFAULT_SIZES, int, LARGEST_SIDE, DEFAULT_SIZES))
        ),
        strengths=tuple(
            sorted(
                _parse("--strengths", strengths or DEFAULT_STRENGTHS, float, 1e6, DEFAULT_STRENGTHS)
            )
        ),
        signs=tuple(s for s in SIGNS if s in _choices("--signs", signs, SIGNS)),
        repeats=repeats,
    )


def _check_methods(given: str | None) -> tuple[str, ...]:
    able = tuple(able_methods())
    chosen = _choices("--methods", given, able)
    return tuple(name for name in able if name in chosen)


def _choices(flag: str, given: str | None, known: tuple[str, ...]) -> list[str]:
    if given is None:
        return list(known)
    names = [name.strip() for name in given.split(",")]
    for name in names:
        check_choice(flag, name, known)
    return names


def _parse(
    flag: str, text: str, kind: Callable[[str], Item], most: float, example: str
) -> list[Item]:
    """Different positive numbers from a list with commas."""
    try:
        numbers = [kind(word) for word in text.split(",")]
    except ValueError:
        numbers = [kind(0)]
    if not all(0 < number <= most for number in numbers) or any(map(math.isnan, numbers)):
        what = "whole numbers" if kind is int else "numbers"
        raise ValueError(
            f"{flag} must be {what} above 0 and up to {most:g}, with commas between; got {text!r}. "
            f"Write e.g. {example}."
        )
    return list(dict.fromkeys(numbers))


def _check_inputs(paths: Sequence[Path], out: Path) -> list[Input]:
    found = find_inputs(paths, out) if paths else []
    for one in found:
        if one.is_picture:
            raise ValueError(
                f"INPUT must be files of potentials; got {one.path}, a picture. `mrfmask infer "
                "--npz` writes the potentials of pictures: give those."
            )
    check_no_graphs(found, "the comparison of methods on grids")
    return found

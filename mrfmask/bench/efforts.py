"""How much effort each method is given: steps that make a curve of its gap against time."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from mrfmask.inference import METHODS
from mrfmask.inference.method import Method

# About even steps of time; the last ones are what a method can do at best.
SWEEPS = (1, 3, 10, 30, 100, 1000, 10_000)
SHARES_OF_TIME = (0.03, 0.1, 0.3, 1.0)


def able_methods() -> list[str]:
    """The methods that answer map; new ones in METHODS come in by themselves."""
    return [name for name, method in METHODS.items() if "map" in method.answers]


def efforts(kind: type[Method], time_limit_s: float, seed: int) -> list[dict[str, Any]]:
    """Options for each run of a method on an instance, least effort first.

    A method with a time limit gets shares of it, one that sweeps gets more and more sweeps, any
    other runs once as it is.

    Args:
        kind: the method.
        time_limit_s: longest limit.
        seed: for heuristics that draw; the best mask of an exact method does not depend on it.
    """
    names = {field.name for field in fields(kind)}
    drawn = {"seed": seed} if "seed" in names and not kind.exact else {}
    if "time_limit_s" in names:
        return [
            drawn | {"time_limit_s": round(share * time_limit_s, 9)} for share in SHARES_OF_TIME
        ]
    for name in ("max_sweeps", "sweeps"):
        if name in names:
            return [drawn | {name: sweeps} for sweeps in SWEEPS]
    return [drawn]


def name_of(options: dict[str, Any]) -> str:
    """An effort for people, e.g. "10 sweeps"; empty for a method that has but one."""
    if "time_limit_s" in options:
        return f"at most {options['time_limit_s']:g} s"
    sweeps = options.get("max_sweeps", options.get("sweeps"))
    if sweeps is None:
        return ""
    return f"{sweeps:,} sweep{'s' * (sweeps > 1)}".replace(",", " ")

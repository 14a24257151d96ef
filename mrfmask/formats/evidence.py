"""States of variables that are known: from the caller, or from a UAI evidence file (.evid)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

Evidence = str | os.PathLike | Mapping[int, int]


def read_evidence(evidence: Evidence) -> Mapping[int, int]:
    """{variable: state}; an evidence file is read, a mapping is given back.

    Raises:
        TypeError: another kind of argument.
        FileNotFoundError: there is no such file.
        ValueError: the file is broken or has several samples.
    """
    if isinstance(evidence, Mapping):
        return evidence
    if not isinstance(evidence, str | os.PathLike):
        raise TypeError(
            f"evidence must be a path or {{node: state}}; got {type(evidence).__name__}. "
            "Leave it out if there is none."
        )
    path = Path(evidence)
    if not path.is_file():
        raise FileNotFoundError(
            f"evidence must name a file that exists; got {str(evidence)!r}. Check the spelling."
        )
    words = path.read_text(encoding="utf-8", errors="replace").split()
    numbers = [int(word) for word in words if word.removeprefix("-").isdecimal()]
    if len(numbers) != len(words):
        numbers = []
    # "k, then k pairs"; of old, "the number of samples, then that of each".
    if len(numbers) > 1 and numbers[0] == 1 and len(numbers) == 2 + 2 * numbers[1]:
        numbers = numbers[1:]
    if not numbers or len(numbers) != 1 + 2 * numbers[0]:
        raise ValueError(
            f"evidence must be a file with the number of observed variables, then each with its "
            f"state; got {str(evidence)!r} with {' '.join(words)[:40]!r}. One sample a file."
        )
    pairs = list(zip(numbers[1::2], numbers[2::2], strict=True))
    given = dict(pairs)
    if any(given[variable] != state for variable, state in pairs):
        raise ValueError(
            f"evidence must give each variable one state; got {str(evidence)!r} with two. "
            "Correct it."
        )
    return given


def check_evidence(given: Mapping[int, int], nodes: int) -> None:
    """Raises ValueError unless all variables exist and all states are 0 or 1."""
    for variable, state in given.items():
        if variable not in range(nodes) or state not in (0, 1):
            raise ValueError(
                f"evidence must be states 0 or 1 of variables 0..{nodes - 1}; got {state} for "
                f"{variable!r}. Variables count from 0."
            )

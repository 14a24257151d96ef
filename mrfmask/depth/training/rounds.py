"""rounds.jsonl: what came of every round of a training in turns."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrfmask.depth.health import Finding
from mrfmask.files import reason


@dataclass(frozen=True, kw_only=True)
class Round:
    """What came of a round: a line of rounds.jsonl.

    Attributes:
        round: counts from 1.
        error: RMSE of the predictor on validation frames at the budget, in metres.
        linear: the same of the linear fill on the same masks.
        best: whether the error is below that of all rounds before.
        masking: what the masking method was, with a digest of its network.
        predictor: digest of the predictor.
        target: digest of the predictor that the masking learned from.
        faults: what was found to be wrong.
    """

    round: int
    error: float
    linear: float
    best: bool
    masking: str
    predictor: str
    target: str
    faults: list[Finding] = field(default_factory=list)

    def stop_if_faulty(self, folder: Path) -> None:
        """Raises RuntimeError if there is a fault that nothing can go on from."""
        for fault in self.faults:
            if fault.stops:
                raise RuntimeError(
                    f"Round {self.round} must give masks and errors to go on from; got: "
                    f"{fault.text} Begin again in a folder other than {folder}."
                )


def read_rounds(path: Path) -> list[Round]:
    """The rounds that are finished; none where there is no file.

    Raises:
        ValueError: the file is broken.
    """
    if not path.exists():
        return []
    records = [read_object(path, line) for line in path.read_bytes().splitlines()]
    return [
        Round(**record | {"faults": [Finding(**fault) for fault in record["faults"]]})
        for record in records
    ]


def read_object(path: Path, text: bytes) -> dict[str, Any]:
    """What JSON of a file says.

    Raises:
        ValueError: it is broken.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(
            f"--out must hold files that can be read; got {str(path)!r}: {reason(error)}. Remove "
            "the folder to begin again."
        ) from error

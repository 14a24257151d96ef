"""The state of a training: everything that the next step depends on, in one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from mrfmask.files import write_whole

STATE_FILE = "state.pt"


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Writes the state whole or not at all; the one before stays until the new one is complete."""
    write_whole(folder / STATE_FILE, lambda file: torch.save(state, file))


def load_state(folder: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """The state that a stopped training left, or None where there is none.

    Args:
        folder: of the training.
        settings: what the training is now asked to do; must be what the state was made with.

    Raises:
        ValueError: the file is broken, or of a training with other settings.
    """
    path = folder / STATE_FILE
    if not os.path.exists(path):
        return None
    try:
        # Tensors and plain values only: nothing is unpickled.
        state = torch.load(path, map_location="cpu", weights_only=True)
        saved = state["settings"]
    except Exception as error:  # whatever a damaged file makes the reader raise
        raise ValueError(
            f"--out must hold a state that can be read; got {path}: {type(error).__name__}. "
            "Remove it to begin again."
        ) from error
    differs = [n for n in saved.keys() | settings.keys() if saved.get(n) != settings.get(n)]
    # Data that are resized otherwise are other data, too: say what the user changed.
    differs.sort(key=lambda name: (name == "data", name))
    if differs:
        name = differs[0]
        raise ValueError(
            f"--out must be of a training with the same settings; got {folder}, where {name} is "
            f"{saved.get(name)!r} and not {settings.get(name)!r}. Use another folder, or remove "
            "this one."
        )
    return state

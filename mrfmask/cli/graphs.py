"""What differs for models on graphs: which inputs hold one, and what is written for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jaxtyping import Bool, Float
from torch import Tensor

from mrfmask.cli.inputs import Input
from mrfmask.files import write_whole
from mrfmask.formats.evidence import read_evidence


def check_no_graphs(inputs: Sequence[Input], use: str) -> None:
    """Raises ValueError if an input is a graph; `use` says what only pixels are good for."""
    for image in inputs:
        if image.is_graph:
            raise ValueError(
                f"INPUT must be pixels for {use}; got {image.path}, a model on a graph. `mrfmask "
                "infer` takes it with --task."
            )


def with_evidence(inputs: Sequence[Input], evidence: Path | None) -> list[Input]:
    """The inputs, the only .uai file among them with the evidence, if there is any.

    Raises:
        FileNotFoundError, ValueError: the evidence is broken, or none or several inputs are .uai.
    """
    if evidence is None:
        return list(inputs)
    networks = [image for image in inputs if image.path.suffix.lower() == ".uai"]
    if len(networks) != 1:
        raise ValueError(
            f"--evidence must come with one .uai file; got {len(networks)}. Evidence is of one "
            "network: give each a run of its own."
        )
    try:
        read_evidence(evidence)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f"--{error}") from None
    return [replace(i, evidence=evidence) if i is networks[0] else i for i in inputs]


def write_nodes(
    path: Path, mask: Bool[Tensor, " nodes"], probability: Float[Tensor, " nodes"] | None
) -> None:
    """Writes a table, .csv, of the nodes: number, state 0 or 1, and the probability of 1."""
    states = mask.int().tolist()
    if probability is None:
        rows = [f"{node},{state}" for node, state in enumerate(states)]
    else:
        values = zip(states, probability.tolist(), strict=True)
        rows = [f"{node},{state},{chance!r}" for node, (state, chance) in enumerate(values)]
    header = "node,state" + ",probability" * (probability is not None)
    text = "\n".join([header, *rows, ""])
    write_whole(path, lambda file: file.write(text.encode()))

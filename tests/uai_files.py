"""UAI models as graphs, for tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from mrfmask import IsingGraph


def read_uai_graph(path: Path) -> IsingGraph:
    """The model whose p(x) is the product of the tables of a binary pairwise UAI file."""
    words = iter(path.read_text().split())
    assert next(words) == "MARKOV"
    nodes = int(next(words))
    assert [int(next(words)) for _ in range(nodes)] == [2] * nodes
    scopes = [[int(next(words)) for _ in range(int(next(words)))] for _ in range(int(next(words)))]
    unary, constant, edges, pairwise = np.zeros(nodes), 0.0, [], []
    for scope in scopes:
        table = [float(next(words)) for _ in range(int(next(words)))]
        log = np.log(table).reshape((2,) * len(scope))
        constant -= log.mean()
        for axis, node in enumerate(scope):
            off, on = log.sum(axis=tuple(a for a in range(len(scope)) if a != axis))
            unary[node] += (on - off) / 2 ** len(scope)
        if len(scope) == 2:
            edges.append(scope)
            pairwise.append((log[0, 0] + log[1, 1] - log[0, 1] - log[1, 0]) / 4)
    return IsingGraph(
        torch.from_numpy(unary)[None],
        torch.tensor(edges),
        torch.tensor([pairwise], dtype=torch.float64),
        torch.tensor([constant], dtype=torch.float64),
    )


def certified(shared_data: Path) -> dict[str, dict]:
    """The certified answers by name of the model."""
    answers = json.loads((shared_data / "instances/uai/certified.json").read_text())
    return {answer["file"].split("/")[-1].removesuffix(".uai"): answer for answer in answers}

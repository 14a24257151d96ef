"""Models from files of factor graphs, as libDAI writes them, for tests."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from mrfmask import IsingGraph


def read_factor_graph(path: Path) -> IsingGraph:
    """The model whose p(x) is the product of the tables; the first variable varies fastest."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    words = iter(" ".join(lines).split())
    factors, nodes = [], 0
    for _ in range(int(next(words))):
        size = int(next(words))
        scope = [int(next(words)) for _ in range(size)]
        assert [int(next(words)) for _ in range(size)] == [2] * size
        table = [0.0] * 2**size
        for _ in range(int(next(words))):
            at = int(next(words))
            table[at] = math.log(float(next(words)))
        factors.append((scope, table))
        nodes = max(nodes, *scope, 0) if size > 1 else max(nodes, scope[0])
    unary = torch.zeros(1, nodes + 1, dtype=torch.float64)
    constant = torch.zeros(1, dtype=torch.float64)
    edges, pairwise = [], []
    for scope, table in factors:
        constant -= sum(table) / len(table)
        if len(scope) == 1:
            unary[0, scope[0]] += (table[1] - table[0]) / 2
            continue
        l00, l10, l01, l11 = table
        unary[0, scope[0]] += (l10 + l11 - l00 - l01) / 4
        unary[0, scope[1]] += (l01 + l11 - l00 - l10) / 4
        edges.append(scope)
        pairwise.append((l00 + l11 - l01 - l10) / 4)
    return IsingGraph(unary, torch.tensor(edges), torch.tensor([pairwise]).double(), constant)

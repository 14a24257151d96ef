"""The script of graph cuts runs on small works and compares the same problems."""

from __future__ import annotations

import numpy as np

from bench import graph_cuts


def test_graph_cuts_has_everybodys_seconds_and_equal_energies(monkeypatch):
    works = {"grid8": lambda: (48, graph_cuts.grid_edges(6, 8, diagonals=True))}
    monkeypatch.setattr(graph_cuts, "WORKS", works)
    # OR-tools and highspy bring a HiGHS each and do not load in one process.
    monkeypatch.delitem(graph_cuts.RIVALS, "OR-tools")
    monkeypatch.setattr(graph_cuts, "BATCHES", {"three": ("grid8", 3)})
    cases = graph_cuts.run(["grid8", "three"], repeats=1)
    assert len(cases) == 2 * len(graph_cuts.COUPLINGS)
    for case in cases.values():
        assert case["seconds"] > 0
        assert case["gap"] == 0
        for rival in case["rivals"].values():
            assert rival == graph_cuts.NOT_INSTALLED or rival["energy_above_ours"] == 0


def test_grid_edges_join_neighbours_once():
    edges = graph_cuts.grid_edges(3, 4, diagonals=True)
    y, x = np.divmod(edges, 4)
    steps = np.stack([abs(y[:, 0] - y[:, 1]), abs(x[:, 0] - x[:, 1])], axis=1)
    assert steps.max() == 1
    assert len(edges) == len(np.unique(np.sort(edges, axis=1), axis=0)) == 3 * 3 + 2 * 4 + 2 * 6

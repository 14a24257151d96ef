"""The table of the depth benchmark, against numbers worked out by hand."""

from __future__ import annotations

import pytest

from bench.depth_table import markdown, over_seeds


def record(method: str, frame: int, seed: int, linear: float, net: float | None = None) -> dict:
    """A record of the domain indoor, one phase, 1 %; every frame is a place."""
    ways = {"linear": linear} | ({} if net is None else {"net": net})
    return {
        "domain": "indoor",
        "seed": seed,
        "method": method,
        "phases": 1,
        "share": 0.01,
        "frame": f"f{frame}",
        "place": f"p{frame}",
        "count": 100,
        "metrics": {way: {"rmse": value} for way, value in ways.items()},
    }


RECORDS = [
    *(record("random", f, s, 2.0 + f, 2.0) for f in range(4) for s in (0, 1)),
    *(record("k_center", f, s, 1.0 + f, 2.0) for f in range(4) for s in (0, 1)),
    *(record("ising_density", f, s, 1.0 + s, 1.0) for f in range(4) for s in (0, 1)),
    *(record("greedy", f, 0, 0.5) for f in range(4)),
]


def test_seeds_are_averaged_frame_by_frame():
    rows = over_seeds(RECORDS)
    assert len(rows) == 16
    density = [r["metrics"]["linear"]["rmse"] for r in rows if r["method"] == "ising_density"]
    assert density == [1.5] * 4


def test_ratios_are_those_of_the_means_over_frames():
    page, rows = markdown(RECORDS)
    lines = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
        for line in page.splitlines()
        if line.startswith("| `")
    }
    # Mean over frames of random: 3.5, of k-center: 2.5.
    phases, seeds, rmse, random, k_center, net_random, net_k_center, *shared = lines[
        "`ising_density`"
    ]
    assert (phases, seeds, rmse) == ("1", "2", "1.500")
    assert random.startswith(f"{1.5 / 3.5:.3f} [")
    assert k_center.startswith(f"{1.5 / 2.5:.3f} [")
    assert net_random == net_k_center == "0.500 [0.50, 0.50]"
    assert shared == ["", ""]
    assert lines["`greedy`"][1] == "1"
    assert lines["`greedy`"][5:] == ["", "", "", ""]
    assert lines["`random`"][3] == "1"
    assert lines["`random`"][4].startswith(f"{3.5 / 2.5:.3f} [")
    found = [row for row in rows if (row["method"], row["reconstruction"]) == ("greedy", "linear")]
    assert found[0]["ratios"]["random"]["ratio"] == pytest.approx(0.5 / 3.5)

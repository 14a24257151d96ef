"""Gibbs, mean field and graph cuts against others on the same instances, in one run on one core.

Ratios count, not seconds: machines differ, and so does one machine from minute to minute. Answers
are compared, so nobody is fast by being wrong. Writes bench/results/peers.json and prints the
tables of the README.

    make bench
"""

from __future__ import annotations

import datetime
import json
import platform
from pathlib import Path

from bench import gibbs, graph_cut, mean_field
from bench.instances import table, use_cores, version_of
from mrfmask import _native

RESULTS = Path(__file__).parent / "results" / "peers.json"
PACKAGES = (
    "mrfmask",
    "torch",
    "numpy",
    "dwave-samplers",
    "thrml",
    "jax",
    "openjij",
    "PyMaxflow",
    "ortools",
)


def main() -> None:
    """Runs everything, writes the results, prints the tables."""
    use_cores(1)
    results = {
        "machine": {
            "processor": processor(),
            "instruction_sets": _native.isas(),
            "cores": 1,
            "date": datetime.date.today().isoformat(),
            "versions": {name: version_of(name) for name in PACKAGES},
        },
        "gibbs": gibbs.run(),
        "mean_field": mean_field.run(),
        "graph_cut": graph_cut.run(),
        "64 cuts of 100x100": graph_cut.batch_on_two_cores(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(tables(results))


def tables(results: dict) -> str:
    """The Markdown of the README's "Speed"; in brackets how many times faster mrfmask is."""
    sampling, ascent, cuts = (results[kind] for kind in ("gibbs", "mean_field", "graph_cut"))
    batch = results["64 cuts of 100x100"]
    return "\n\n".join(
        [
            table("Gibbs, updates a ns", sampling, "updates_per_ns", lambda x: f"{x:#.3g}"),
            table("mean field, a sweep", ascent, "seconds_a_sweep", lambda x: f"{x * 1e6:.1f} us"),
            table("graph cut", cuts, "seconds", lambda x: f"{x * 1e3:.1f} ms", rivals_across=True),
            "64 cuts of 100x100: {:.0f} ms on one core, {:.0f} ms on two.".format(
                batch["seconds_1"] * 1e3, batch["seconds_2"] * 1e3
            ),
            loop_table(sampling, ascent),
        ]
    )


def loop_table(sampling: dict, ascent: dict) -> str:
    """Speed with the loops of each instruction set, as a share of the best ones'."""
    isas = _native.isas()
    works = [
        *((f"Gibbs {w}", [c["loops"][isa] for isa in isas]) for w, c in sampling.items()),
        *((f"mean field {w}", [1 / c["loops"][isa] for isa in isas]) for w, c in ascent.items()),
    ]
    head = ["| speed | " + " | ".join(isas) + " |", "|---" * (1 + len(isas)) + "|"]
    lines = [
        f"| {work} | " + " | ".join(f"{speed / speeds[0]:.3f}" for speed in speeds) + " |"
        for work, speeds in works
    ]
    return "\n".join(head + lines)


def processor() -> str:
    """The processor's own name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


if __name__ == "__main__":
    main()

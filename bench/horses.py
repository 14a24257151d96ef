"""Weizmann horses: MaskNet trained by the structured hinge, by mean field, and without couplings.

First 100 pictures to train on, last 50 to validate on, three seeds. Writes its results after every
training; a second call goes on where the first stopped. Needs the pictures:
``python -m bench.horses FILE.npz``, with ``rgb`` (150, 48, 64, 3) and ``mask``.
"""

from __future__ import annotations

import datetime
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from mrfmask.bench.machine import machine
from mrfmask.files import write_whole
from mrfmask.learn.plan import Plan
from mrfmask.learn.segment import train_segmentation

RESULTS = Path(__file__).parent / "results" / "horses.json"
SEEDS = (0, 1, 2)
# Name, loss, couplings. Without couplings the pseudo-likelihood is the usual cross entropy.
TRAININGS = (
    ("hinge", "hinge", "associative"),
    ("mean_field", "mean_field", "associative"),
    ("cross_entropy", "pseudo_likelihood", "none"),
)
SCORES = ("iou", "boundary_f", "components", "accuracy")
EPOCHS = 80


def train(data: Path, work: Path, loss: str, coupling: str, seed: int) -> dict[str, Any]:
    """Scores after the last pass (not the best one, which would be chosen on what is measured)."""
    plan = Plan(epochs=EPOCHS, patience=EPOCHS, batch=8, seed=seed)
    begin, cpu = time.perf_counter(), time.process_time()
    history = train_segmentation(
        data, work, validation=1 / 3, loss=loss, net={"coupling": coupling}, plan=plan
    )
    last = history[-1]
    return {
        **{name: last[name] for name in SCORES},
        "target_components": last["target_components"],
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": time.process_time() - cpu,
    }


def main() -> None:
    """Trains all and prints the means."""
    data = Path(sys.argv[1])
    work = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("build") / "horses"
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": []}
    results |= {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "epochs": EPOCHS,
        "threads": torch.get_num_threads(),
    }
    done = {(run["name"], run["seed"]) for run in results["runs"]}
    for seed in SEEDS:
        for name, loss, coupling in TRAININGS:
            if (name, seed) in done:
                continue
            scores = train(data, work / f"{name}-{seed}", loss, coupling, seed)
            results["runs"].append({"name": name, "seed": seed, **scores})
            text = json.dumps(results, indent=1) + "\n"
            write_whole(RESULTS, lambda file, text=text: file.write(text.encode()))
            print(results["runs"][-1], flush=True)
    for name, *_ in TRAININGS:
        runs = [run for run in results["runs"] if run["name"] == name]
        means = {s: round(statistics.mean(run[s] for run in runs), 4) for s in (*SCORES, "seconds")}
        print(name, means)


if __name__ == "__main__":
    main()

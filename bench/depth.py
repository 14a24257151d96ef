"""Where to measure depth: every masking method on held-out places, the predictor trained for each.

``python -m bench.depth --data DIR`` reads the four sets of pictures with depth that are named
below, trains and measures in steps under ``build/depth`` and writes results/depth.json at the end;
stopped anywhere, the same command goes on. ``--domain`` does a part, so that two processes can
share the work; without it what is left is done.
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from bench.depth_table import markdown
from bench.depth_unseen import SETS, unseen_records
from mrfmask.bench.machine import machine
from mrfmask.depth.buyer import Buyer, base_buyers
from mrfmask.depth.controls import Control, Flat, Greedy, Shuffled
from mrfmask.depth.evaluate import evaluate_frame
from mrfmask.depth.frames import Frame, Frames
from mrfmask.depth.masking import MASKINGS, Masking
from mrfmask.depth.phases import Phases
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.training import TRAININGS
from mrfmask.depth.training.predictor import fit_predictor
from mrfmask.depth.training.task import Task, make_task
from mrfmask.files import write_whole

RESULTS = Path(__file__).parent / "results" / "depth.json"
TABLE = Path(__file__).parents[1] / "docs" / "depth_results.md"
DOMAINS = {
    "driving": ("kitti_sfnd78.npz", "ddad_dgp27.npz"),
    "indoor": ("sevenscenes100.npz", "mosd107.npz"),
}
SEEDS = (0, 1)
PHASES = 4
# The predictor goes on training with what each of these buys.
OWN = (
    ("random", 1),
    ("k_center", 1),
    ("grid", 1),
    ("superpixel", 1),
    ("prior", 1),
    ("ising_density", 1),
    ("ising_density", PHASES),
    ("ising_ssvm", 1),
    ("ising_ssvm", PHASES),
)
# These share the predictor that was trained on masks of all kinds, one seed.
SHARED = (
    ("poisson_disk", 1),
    ("weighted_farthest", 1),
    ("long_range", 1),
    ("long_range", PHASES),
    ("ising_density", 2 * PHASES),
    ("naive", 1),
    ("gumbel", 1),
    ("reinforce", 1),
    ("ising_mean_field", 1),
    ("ising_score", 1),
    ("ising_tv", 1),
)
CONTROLS = ("flat", "shuffled", "greedy")


class Held(Frames):
    """Test frames, each moment a place of its own: any other's picture may stand in for it."""

    def __init__(self, frames: Dataset) -> None:
        self.frames = frames
        self.names = [frames[i].name for i in range(len(frames))]
        self.places = [name.partition("#")[0] for name in self.names]
        self.test, self.left_out = frozenset(), []

    def __getitem__(self, index: int) -> Frame:
        return self.frames[index]


# Names of steps, and what gives the records of each.
Steps = Iterable[tuple[str, Callable[[], list[dict[str, Any]]]]]


@dataclass(frozen=True)
class Bench:
    """The work on one domain with one seed.

    Attributes:
        task: frames and budgets.
        folder: of all its trainings and records.
        name: domain and seed, as records have it.
    """

    task: Task
    folder: Path
    name: dict[str, Any]

    def base(self) -> Predictor:
        """The predictor trained on masks of all kinds."""
        return fit_predictor(self.task, self.folder / "base", base_buyers())

    def masking(self, method: str) -> Masking:
        """A method, trained if it learns; trained before, it is read."""
        if method not in TRAININGS:
            return MASKINGS[method]()
        return TRAININGS[method](self.task, self.folder / method, self.base())

    def own(self, method: str, phases: int) -> Predictor:
        """The predictor that went on training with what a method buys."""
        buyer = Buyer(self.masking(method), Phases(count=phases))
        folder = self.folder / f"{method}-{phases}-predictor"
        return fit_predictor(self.task, folder, [buyer], start=self.base())

    def control(self, name: str) -> Control:
        """A control by its name."""
        if name == "shuffled":
            frames = Held(self.task.test)
            return Shuffled(masking=self.masking("ising_density"), frames=frames)
        return {"flat": Flat, "greedy": Greedy}[name]()

    def measure(
        self, masking: Masking | Control, phases: int, predictors: dict[str, Predictor]
    ) -> list[dict[str, Any]]:
        """Records of all test frames at all budgets."""
        seed = self.task.seed
        return [
            self.name
            | evaluate_frame(frame, masking, Phases(count=phases), share, predictors, seed)
            for share in self.task.shares
            for frame in (self.task.test[i] for i in range(len(self.task.test)))
        ]

    def own_steps(self) -> Steps:
        """Steps of the methods that the predictor is trained for."""
        for method, phases in OWN:
            yield (
                f"{method}-{phases}",
                lambda method=method, phases=phases: self.measure(
                    self.masking(method),
                    phases,
                    {"net": self.own(method, phases), "shared": self.base()},
                ),
            )

    def shared_steps(self) -> Steps:
        """Steps of controls, and of methods that share a predictor."""
        for name in CONTROLS:
            yield (
                name,
                lambda name=name: self.measure(self.control(name), 1, {"shared": self.base()}),
            )
        for method, phases in SHARED:
            yield (
                f"{method}-{phases}-shared",
                lambda method=method, phases=phases: self.measure(
                    self.masking(method), phases, {"shared": self.base()}
                ),
            )


def carry_out(folder: Path, steps: Steps) -> None:
    """Does the steps that are not done yet; each leaves a file of records, whole."""
    records = folder / "records"
    records.mkdir(parents=True, exist_ok=True)
    for step, work in steps:
        path = records / f"{step}.json"
        if path.exists():
            continue
        begin = time.process_time()
        content = {"records": work(), "cpu_seconds": round(time.process_time() - begin, 1)}
        text = json.dumps(content)
        write_whole(path, lambda file, text=text: file.write(text.encode()))
        print(folder.name, step, content["cpu_seconds"], "s", flush=True)


def gather(work: Path) -> None:
    """Writes the results of all steps that are done, and their table."""
    records, seconds = [], {}
    for path in sorted(work.glob("*/records/*.json")):
        content = json.loads(path.read_text())
        records += content["records"]
        seconds[f"{path.parents[1].name}/{path.stem}"] = content["cpu_seconds"]
    table, rows = markdown(records)
    results = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "rows": rows,
        "cpu_seconds": seconds,
    }
    text = json.dumps(results, indent=1) + "\n"
    write_whole(RESULTS, lambda file: file.write(text.encode()))
    write_whole(TABLE, lambda file: file.write(table.encode()))


def main() -> None:
    """Does the asked part of the work, then writes what there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the .npz files")
    parser.add_argument(
        "--work", type=Path, default=Path("build/depth"), help="folder of the steps"
    )
    parser.add_argument("--domain", choices=tuple(DOMAINS), action="append")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tasks = {
        domain: make_task([str(options.data / name) for name in DOMAINS[domain]], notice=print)
        for domain in options.domain or DOMAINS
    }
    benches = [
        # The frames of both seeds are split alike: only then can their errors be averaged.
        Bench(
            replace(task, seed=seed),
            options.work / f"{domain}-{seed}",
            {"domain": domain, "seed": seed},
        )
        for seed in SEEDS
        for domain, task in tasks.items()
    ]
    for bench in benches:
        carry_out(bench.folder, bench.own_steps())
    for name in SETS if options.domain is None else ():
        work = partial(unseen_records, options.data, name)
        carry_out(options.work / f"unseen-{Path(name).stem}", [("records", work)])
    for bench in benches:
        if bench.task.seed == SEEDS[0]:
            carry_out(bench.folder, bench.shared_steps())
    gather(options.work)


if __name__ == "__main__":
    main()

"""``mrfmask depth train``: learn where to measure depth, and to complete it."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mrfmask.cli.report import print_error
from mrfmask.cli.versions import versions
from mrfmask.cli.work import FAILED, INTERRUPTED, USAGE

if TYPE_CHECKING:
    from torch import nn

    from mrfmask.depth.training.alternate import Plans
    from mrfmask.learn.logbook import Logbook

EXAMPLES = """**Examples**

On made-up rooms and streets, for 1 % of the pixels, bought in four phases:

    mrfmask depth train --data synthetic --method ising_density --budget 1% --phases 4 \\
        --out runs/rooms

On your own pictures with depth maps, in my/image and my/depth:

    mrfmask depth train --data my --size 100x100 --method ising_density --budget 2% --out runs/my
    mrfmask infer photo.jpg --checkpoint runs/my --budget 2% --out masks
"""


def train(
    data: Annotated[
        list[str],
        typer.Option(
            metavar="SPEC",
            help="Frames: synthetic, kitti:ROOT, a folder with the folders image and depth, or an "
            ".npz file with rgb, depth_mm and id; repeat it for more.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the results; made if need be.")
    ],
    method: Annotated[
        str, typer.Option(metavar="NAME", help="Masking method; without a network, too.")
    ] = "ising_density",
    budget: Annotated[
        str, typer.Option(metavar="P%", help="Pixels bought, a share of all pixels of a frame.")
    ] = "1%",
    phases: Annotated[
        int, typer.Option(metavar="N", help="Phases in which the budget is spent.")
    ] = 1,
    weight: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What later phases go by: variance of depths bought nearby, or of an ensemble of "
            "predictors, or errors that a trained head expects.",
        ),
    ] = "variance",
    rounds: Annotated[int, typer.Option(min=1, help="Most turns of masking and predictor.")] = 3,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps of every network in every round, up to the next whole pass: 50 steps, for "
            "methods on cells as many as there are batches. Default: the recipe's.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW", help="Reduce frames to this height and width.", show_default=False
        ),
    ] = None,
    unit: Annotated[
        str, typer.Option(metavar="mm|metres/256", help="Of a step in depth maps of PNG files.")
    ] = "mm",
    count: Annotated[int, typer.Option(min=1, help="Synthetic frames.")] = 200,
    seed: Annotated[
        int, typer.Option(help="Of the split, synthetic frames, weights, order and draws.")
    ] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make examples.")] = 0,
) -> None:
    """Train a masking method and the predictor that completes what it buys, in turns.

    DIR gets the best round's model (depth.json, masking, predictor), rounds.jsonl with a line for
    each round, a folder for each stage, and files for `tensorboard --logdir DIR`. Frames that
    cannot be used are left out, and named.

    Stop it at any time: the same command goes on where it was, to the same result.
    """
    # These import a second's worth of modules that other commands can do without.
    from mrfmask.cli.depth_options import check_data, check_phases, parse_share
    from mrfmask.depth.masking import MASKINGS
    from mrfmask.depth.phases import Phases
    from mrfmask.depth.training import alternate
    from mrfmask.depth.training.task import make_task
    from mrfmask.inference.method import check_choice, check_count
    from mrfmask.learn.plan import LARGEST_SEED

    show = Stages(out)
    try:
        share = parse_share("--budget", budget)
        check_choice("--method", method, tuple(MASKINGS))
        check_count("--seed", seed, 0, LARGEST_SEED)
        spent = Phases(count=check_phases(phases))
        small = check_data(data, unit, size)
        task = make_task(
            data,
            shares=_shares(share),
            seed=seed,
            notice=show.say,
            size=small,
            unit=unit,
            count=count,
        )
        alternate.train_depth(
            task,
            out,
            method,
            budget=share,
            phases=spent,
            rounds=rounds,
            weight=weight,
            plans=_plans(method, steps, workers, seed, len(task.train)),
            info={"data": list(data), "size": size, "mrfmask": versions()["mrfmask"]},
            watcher=show,
            notice=show.begin,
        )
    except (OSError, TypeError, ValueError) as error:
        show.stop()
        print_error(_with_flag(str(error)))
        raise typer.Exit(USAGE) from None
    except RuntimeError as error:
        show.stop()
        print_error(str(error))
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        show.stop()
        show.say("Stopped. The same command goes on from the last saved state.")
        raise typer.Exit(INTERRUPTED) from None
    show.stop()
    show.say(f"The model is in {out}. Judge it by mrfmask depth evaluate --checkpoint {out}.")


def _shares(budget: float) -> tuple[float, ...]:
    """What to learn for: the usual budgets up to the one asked for, and that one."""
    return tuple(sorted({share for share in (0.01, 0.05) if share < budget} | {budget}))


def _plans(method: str, steps: int | None, workers: int, seed: int, frames: int) -> Plans:
    """The recipes, but for so many steps and processes that make examples.

    They are given even where nothing is asked for, so that more workers may go on where fewer were.
    """
    from mrfmask.depth.training import density, fit, joint, ssvm
    from mrfmask.depth.training.alternate import Plans
    from mrfmask.depth.training.joint_methods import JOINT
    from mrfmask.depth.training.predictor import BASE_PLAN, FINE_PLAN

    # A recipe and the steps of its pass; of methods that learn nothing neither is looked at.
    own = {
        "ising_density": (density.PLAN, density.STEPS),
        "ising_ssvm": (ssvm.PLAN, frames // ssvm.PLAN.batch),
    }
    for name, training in JOINT.items():
        own[name] = (joint.PLAN, max(training.examples, frames) // joint.PLAN.batch)
    recipes = {
        "base": (BASE_PLAN, fit.STEPS),
        "masking": own.get(method, own["ising_density"]),
        "predictor": (FINE_PLAN, fit.STEPS),
    }
    plans = {}
    for stage, (plan, steps_a_pass) in recipes.items():
        epochs = plan.epochs if steps is None else math.ceil(steps / max(steps_a_pass, 1))
        plans[stage] = replace(plan, seed=seed, workers=workers, epochs=epochs)
    return Plans(**plans)


def _with_flag(message: str) -> str:
    """The message with the option's name as it is typed, where it begins with an argument's."""
    name = message.partition(" ")[0]
    flags = (
        "budget",
        "method",
        "phases",
        "weight",
        "rounds",
        "size",
        "unit",
        "count",
        "seed",
        "workers",
    )
    return f"--{message}" if name in flags else message


class Stages:
    """A bar over the steps of a pass of every stage, a line after each, and TensorBoard's files.

    Args:
        folder: of the training.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._console = Console(highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("pass {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4g}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task = None
        self._stage = "training"
        self._logbook: Logbook | None = None

    def begin(self, text: str) -> None:
        """A stage begins, or something is to be known about one."""
        if self._logbook is not None:
            self._logbook.close()
            self._logbook = None
        self._stage = re.sub(r"\W+", "_", text)[:40].strip("_")
        self.say(text)

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        """See Watcher."""
        if self._logbook is None:
            from mrfmask.learn.logbook import Logbook

            self._logbook = Logbook(self._folder / "stages" / self._stage, epoch)
        if self._task is None:
            self._bar.start()
            self._task = self._bar.add_task(str(epoch), total=steps, loss=loss)
        self._bar.update(
            self._task, description=str(epoch), total=steps, completed=step + 1, loss=loss
        )

    def epoch(self, record: dict[str, Any], net: nn.Module) -> None:
        """See Watcher."""
        numbers = {n: v for n, v in record.items() if n not in ("epoch", "best")}
        if self._logbook is not None:
            self._logbook.scalars(record["epoch"], numbers)
            self._logbook.flush()
        mark = " (best)" if record["best"] else ""
        told = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        self.say(f"pass {record['epoch']}: {told}{mark}")

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self._console.print(text, markup=False)

    def stop(self) -> None:
        """Takes the bar away and ends TensorBoard's file."""
        self._bar.stop()
        if self._logbook is not None:
            self._logbook.close()
            self._logbook = None

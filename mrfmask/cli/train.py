"""``mrfmask train segment``: a network that gives the masks of pictures."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from mrfmask.cli.report import print_error
from mrfmask.cli.settings import parse_size
from mrfmask.cli.work import FAILED, INTERRUPTED, USAGE

train = typer.Typer(no_args_is_help=True, help="Train networks that emit potentials.")

EXAMPLES = """**Examples**

From photos in horses/images and their masks in horses/masks, a third held out:

    mrfmask train segment --data horses --validation 0.33 --size 96x128 --out runs/horses
    mrfmask infer photo.jpg --checkpoint runs/horses --size 96x128 --out masks

On all GPUs of a machine:

    torchrun --nproc-per-node 4 -m mrfmask train segment --data horses --out runs/horses \\
        --device cuda --precision bfloat16
"""


@train.command(epilog=EXAMPLES)
def segment(
    data: Annotated[
        Path,
        typer.Option(
            metavar="DIR|FILE.npz",
            help="A folder with the folders images and masks, files named alike (white is on, "
            "mid-grey is not learned from), or an .npz file with rgb and mask.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the results; made if need be.")
    ],
    validation: Annotated[
        str,
        typer.Option(
            metavar="SHARE|PATH",
            help="Share of the examples to hold out, the last ones by name, or other data.",
        ),
    ] = "0.2",
    size: Annotated[
        str | None,
        typer.Option(metavar="HxW", help="Resize all to this height and width."),
    ] = None,
    loss: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="hinge, perceptron, pseudo_likelihood, likelihood or mean_field.",
        ),
    ] = "hinge",
    coupling: Annotated[
        str,
        typer.Option(
            metavar="associative|repulsive|free|none",
            help="Signs of the couplings; none learns every pixel by itself.",
        ),
    ] = "associative",
    epochs: Annotated[int, typer.Option(min=1, help="Most passes over the examples.")] = 100,
    patience: Annotated[
        int, typer.Option(min=1, help="Passes without a better IoU after which to stop.")
    ] = 30,
    batch: Annotated[int, typer.Option(min=1, help="Examples a step, over all processes.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Of AdamW, at its largest.")] = 2e-3,
    precision: Annotated[
        str,
        typer.Option(
            metavar="float32|bfloat16|float16", help="Of the network; potentials stay float32."
        ),
    ] = "float32",
    seed: Annotated[int, typer.Option(help="Of initial weights, order and augmentation.")] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read examples.")] = 0,
    device: Annotated[str, typer.Option(metavar="cpu|cuda", help="Where to train.")] = "cpu",
) -> None:
    """Train a MaskNet on pictures with masks.

    DIR gets the best network (config.json, model.safetensors), history.jsonl with a line for each
    pass, and files for `tensorboard --logdir DIR`.

    Stop it at any time: the same command goes on where it was, to the same result. Another number
    of passes is another training, as the learning rate falls over all of them.
    """
    # These import a second's worth of modules that other commands can do without.
    from mrfmask.learn.plan import Plan
    from mrfmask.learn.segment import train_segmentation

    show = _Progress()
    try:
        plan = Plan(
            epochs=epochs,
            batch=batch,
            learning_rate=learning_rate,
            patience=patience,
            precision=precision,
            seed=seed,
            workers=workers,
        )
        history = train_segmentation(
            data,
            out,
            validation=_share_or_path(validation),
            size=None if size is None else parse_size(size),
            loss=loss,
            net={"coupling": coupling},
            plan=plan,
            device=device,
            watcher=show,
            notice=show.say,
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
    if os.environ.get("RANK", "0") != "0":
        return
    best = max(history, key=lambda record: record["iou"])
    show.say(
        f"Best pass of 0 to {len(history) - 1}: {best['epoch']}, IoU {best['iou']:.3f}, boundary F "
        f"{best['boundary_f']:.3f}. In {out}."
    )


def _with_flag(message: str) -> str:
    """The message with the option's name as it is typed, where it begins with an argument's."""
    name = message.partition(" ")[0]
    known = inspect.signature(segment).parameters
    return f"--{name.replace('_', '-')}{message[len(name) :]}" if name in known else message


def _share_or_path(text: str) -> float | Path:
    try:
        return float(text)
    except ValueError:
        return Path(text)


class _Progress:
    """A bar over the steps of a pass, and a line after each."""

    def __init__(self) -> None:
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

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        """See Watcher."""
        if self._task is None:
            self._bar.start()
            self._task = self._bar.add_task(str(epoch), total=steps, loss=loss)
        self._bar.update(
            self._task, description=str(epoch), total=steps, completed=step + 1, loss=loss
        )

    def epoch(self, record: dict[str, Any], net: nn.Module) -> None:
        """See Watcher."""
        mark = " (best)" if record["best"] else ""
        self.say(
            f"pass {record['epoch']}: loss {record['loss']:.4g}, IoU {record['iou']:.3f}, boundary "
            f"F {record['boundary_f']:.3f}, {record['components']:.1f} pieces{mark}"
        )

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self._console.print(text, markup=False)

    def stop(self) -> None:
        """Takes the bar away."""
        self._bar.stop()

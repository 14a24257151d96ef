"""``mrfmask path``: the best masks for all numbers of pixels, for pictures and potentials."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar

import typer
from rich.console import JustifyMethod

from mrfmask.cli.graphs import check_no_graphs
from mrfmask.cli.inputs import Input, check_pictures, find_inputs
from mrfmask.cli.journal import Journal, Record, key_of, sha256_of
from mrfmask.cli.path_picture import draw_path
from mrfmask.cli.report import Report, print_error
from mrfmask.cli.run import read_input
from mrfmask.cli.settings import PictureSettings, check_picture_settings
from mrfmask.cli.versions import versions
from mrfmask.cli.work import USAGE, Job, carry_out
from mrfmask.files import entry_range, write_entry, write_whole
from mrfmask.inference.budget_path import budget_path
from mrfmask.result import BudgetPath

EXAMPLES = """**Examples**

From no pixel to all of them, in the order in which they are worth measuring:

    mrfmask path photo.jpg --out paths --potentials edge --size 240x320

The same for potentials of your own:

    mrfmask path my.npz --out paths
"""


def path(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT",
            help="Pictures (.png, .jpg, .jpeg), files of potentials (.npz, .safetensors), or "
            "folders of them, searched all the way down.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the results; made if need be.")
    ],
    potentials: Annotated[
        str | None,
        typer.Option(
            metavar="contrast|edge",
            help="What a picture asks for: contrast cuts out the bright foreground, edge picks "
            "where it changes. Default: contrast.",
            show_default=False,
        ),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A weight of the potentials; repeat it for more. Both have unary (strength of the "
            "picture) and pairwise (strength of the couplings); edge has threshold.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW",
            help="Resize pictures to this height and width first, e.g. 480x640.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Do everything again, also what is done already."),
    ] = False,
) -> None:
    """Compute the best mask for every price of a pixel: energy + penalty * pixels on.

    The masks are nested. For each input DIR gets NAME.path.csv (penalty, pixels on, energy and
    lower bound of each mask), NAME.path.png (the curves), NAME.entry.png (16 bit: the penalty below
    which each pixel is on; black is clamped off, white clamped on, and results.jsonl says which
    penalties grey 1 and grey 65534 are), and one line in results.jsonl. Images of a batch are
    numbered, NAME_0000.

    No coupling may be negative. Stop it at any time: the same command goes on where it was.
    """
    try:
        settings = check_picture_settings(potentials, weight or [], size)
        images = find_inputs(inputs, out)
        check_no_graphs(images, "a path of masks")
        check_pictures(images, {"--potentials": potentials, "--weight": weight, "--size": size})
        journal = Journal(out)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        print_error(str(error))
        raise typer.Exit(USAGE) from None
    job = Job(
        key=lambda image: key_of(_heading(image, settings)),
        outputs=lambda image: [image.stem + ending for ending in _WRITERS],
        run=lambda image: _run(image, settings, out),
    )
    carry_out(job, images, journal, PathReport(len(images)), overwrite)


class PathReport(Report):
    """Tells how many masks there are, and about the one of lowest energy."""

    columns: ClassVar[dict[str, JustifyMethod]] = dict.fromkeys(
        ("masks", "fewest on", "most on", "best on", "best energy"), "right"
    )

    def sentence(self, record: Record) -> str:
        """What is said of an image when it is done, without its seconds."""
        masks, fewest, most, on, energy = self.cells(record)
        return f"{masks} masks of {fewest} to {most} pixels, energy {energy} at {on}"

    def cells(self, record: Record) -> tuple[str, ...]:
        """Its row of the table, by `columns`."""
        names = ("masks", "fewest_on", "most_on", "pixels_on")
        return (*(str(record[name]) for name in names), format(record["energy"], ".7g"))


def _run(image: Input, settings: PictureSettings, folder: Path) -> Record:
    source = sha256_of(image.path)
    _, model = read_input(image, settings)
    start = time.perf_counter()
    result = budget_path(model)
    seconds = time.perf_counter() - start
    (folder / image.stem).parent.mkdir(parents=True, exist_ok=True)
    outputs = {}
    for ending, content in _WRITERS.items():
        name = image.stem + ending
        content(folder / name, result, image.title)
        outputs[name] = sha256_of(folder / name)
    low, high = entry_range(result.entry[0])
    best = int(result.energy[0].argmin())
    return {
        **_heading(image, settings),
        "input_sha256": source,
        "masks": len(result.count[0]),
        "fewest_on": result.count[0][0].item(),
        "most_on": result.count[0][-1].item(),
        "pixels_on": result.count[0][best].item(),
        "energy": result.energy[0][best].item(),
        "lower_bound": result.lower_bound[0].min().item(),
        "rounding": result.stats["rounding"][0].item(),
        "pixels": result.order[0].numel(),
        "entry_png": {"penalty_at_grey_1": low, "penalty_at_grey_65534": high},
        "outputs": outputs,
        "seconds": round(seconds, 4),  # of the path, without reading and writing
        **versions(),
    }


def _heading(image: Input, settings: PictureSettings) -> Record:
    record = settings.picture_record() if image.is_picture else {}
    return {**image.heading, "settings": {"task": "path", **record}}


def _write_csv(path: Path, result: BudgetPath, title: str) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    columns = ("penalty", "count", "energy", "lower_bound")
    writer.writerow(columns)
    # Python writes the shortest text that reads back as the same number.
    writer.writerows(zip(*(getattr(result, name)[0].tolist() for name in columns), strict=True))
    write_whole(path, lambda file: file.write(text.getvalue().encode()))


def _write_picture(path: Path, result: BudgetPath, title: str) -> None:
    content = draw_path(result, title)
    write_whole(path, lambda file: file.write(content))


_WRITERS: dict[str, Callable[[Path, BudgetPath, str], None]] = {
    ".path.csv": _write_csv,
    ".path.png": _write_picture,
    ".entry.png": lambda path, result, title: write_entry(path, result.entry[0]),
}

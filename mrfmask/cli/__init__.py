"""The ``mrfmask`` command. One file per command; only this folder prints."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from mrfmask.cli.bench import EXAMPLES as BENCH_EXAMPLES
from mrfmask.cli.bench import bench
from mrfmask.cli.depth import depth
from mrfmask.cli.doctor import doctor
from mrfmask.cli.infer import EXAMPLES, infer
from mrfmask.cli.methods import methods
from mrfmask.cli.path import EXAMPLES as PATH_EXAMPLES
from mrfmask.cli.path import path
from mrfmask.cli.train import train
from mrfmask.cli.versions import versions

app = typer.Typer(
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    # A bug should look like one: a plain traceback, without the values of local variables.
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command(epilog=EXAMPLES)(infer)
app.command(epilog=PATH_EXAMPLES)(path)
app.add_typer(train, name="train")
app.add_typer(depth, name="depth")
app.command()(methods)
app.command()(doctor)
app.command(epilog=BENCH_EXAMPLES)(bench)


def _print_versions(wanted: bool) -> None:
    if wanted:
        text = ", ".join(f"{name} {version}" for name, version in versions().items())
        Console(soft_wrap=True, highlight=False).print(text)
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_versions, is_eager=True, help="Show the versions and exit."
        ),
    ] = False,
) -> None:
    """Masks from Markov random fields: which pixels to measure, select or cut out.

    Start with `mrfmask infer photo.jpg --out masks`.
    """


def main() -> None:
    """Entry point of the ``mrfmask`` command."""
    app(prog_name="mrfmask")

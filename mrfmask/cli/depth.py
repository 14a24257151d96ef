"""``mrfmask depth``: learn where to measure depth, and judge how good it is."""

from __future__ import annotations

import typer

from mrfmask.cli.depth_evaluate import EXAMPLES as EVALUATE_EXAMPLES
from mrfmask.cli.depth_evaluate import evaluate
from mrfmask.cli.depth_train import EXAMPLES as TRAIN_EXAMPLES
from mrfmask.cli.depth_train import train

depth = typer.Typer(no_args_is_help=True, help="Learn where to measure depth, and judge it.")
depth.command(epilog=EVALUATE_EXAMPLES)(evaluate)
depth.command(epilog=TRAIN_EXAMPLES)(train)

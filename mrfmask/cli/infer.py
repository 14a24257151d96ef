"""``mrfmask infer``: masks, marginals or samples for pictures and files of potentials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrfmask.cli.checkpoint import Checkpoint, load_checkpoint
from mrfmask.cli.graphs import check_no_graphs, with_evidence
from mrfmask.cli.inputs import Input, check_pictures, find_inputs
from mrfmask.cli.journal import Journal
from mrfmask.cli.report import Report, print_error
from mrfmask.cli.run import key, output_names, run
from mrfmask.cli.selection import SelectSettings, check_selection
from mrfmask.cli.settings import Settings, check_settings
from mrfmask.cli.work import USAGE, Job, carry_out
from mrfmask.select import SELECTORS

if TYPE_CHECKING:
    from mrfmask.cli.depth_infer import DepthSettings

EXAMPLES = """**Examples**

Where to measure depth, for 1 % of the pixels, by the model that comes with the package:

    mrfmask infer photo.jpg --out masks

The same for 2 %, by a model of your own:

    mrfmask infer photo.jpg --out masks --checkpoint runs/rooms --budget 2%

Cut the bright foreground out of a photo, exactly:

    mrfmask infer photo.jpg --out cut --potentials contrast

Where to measure in all pictures of a folder, at 48x64 pixels, with a lower bar:

    mrfmask infer photos --out picks --potentials edge --size 48x64 \\
        --weight threshold=1

Where to spend 2 % of the pixels, evenly apart and more of them where the picture changes:

    mrfmask infer photo.jpg --out budget --select long_range --budget 2%

Probabilities, as pictures and as arrays:

    mrfmask infer photo.jpg --out marginals --task marginals --npz

A random mask from potentials of your own, saved in Python with
`np.savez("my.npz", unary=..., right=..., down=...)`:

    mrfmask infer my.npz --out samples --task sample --seed 1

One with exactly 2 % of the pixels on:

    mrfmask infer my.npz --out draws --task sample --budget 2% --seed 1

The probabilities of a network's variables, given what is known of some:

    mrfmask infer network.uai --out network --evidence network.uai.evid \\
        --task marginals --method exact
"""


def infer(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT",
            help="Pictures (.png, .jpg, .jpeg), models on pixels or graphs (.npz, .safetensors), "
            "networks (.uai), max-flow problems (.max), or folders of them, searched all the way "
            "down.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the results; made if need be.")
    ],
    task: Annotated[
        str | None,
        typer.Option(
            metavar="map|marginals|sample",
            help="The best mask, the probability of each pixel, or a mask drawn at random. "
            "Default: map.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Inference method; `mrfmask methods` lists them. Default: auto for "
            "map, mean_field for marginals, gibbs for sample (kawasaki with --budget).",
            show_default=False,
        ),
    ] = None,
    potentials: Annotated[
        str | None,
        typer.Option(
            metavar="contrast|edge|spread",
            help="What a picture asks for: contrast cuts out the bright foreground, edge picks "
            "where it changes, spread picks single pixels apart from each other, more where there "
            "is detail. Default: contrast.",
            show_default=False,
            rich_help_panel="Pictures",
        ),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A weight of the potentials; repeat it for more. All have unary (strength of the "
            "picture) and pairwise (strength of the couplings); edge has threshold, spread detail.",
            show_default=False,
            rich_help_panel="Pictures",
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|default",
            help="A network that `mrfmask train` saved gives the potentials; a model of `mrfmask "
            "depth train`, or the one that comes with the package, says where to measure depth. "
            "Default, if --budget and --size are all that is asked for: default.",
            show_default=False,
            rich_help_panel="Pictures",
        ),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Choose exactly as many pixels as --budget says, instead of --task: "
            f"{', '.join(SELECTORS)}. top_k, ising, weighted_farthest and long_range choose more "
            "where a picture changes, or by the unary of a file of potentials.",
            show_default=False,
            rich_help_panel="Budget",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="N|P%",
            help="Pixels on: a number, or a share of all, e.g. 2%. Chosen by a depth model "
            "(1% if left out) or with --select, drawn with --task sample; --method kawasaki has "
            "their marginals.",
            show_default=False,
            rich_help_panel="Budget",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW",
            help="Resize pictures to this height and width first, e.g. 480x640.",
            show_default=False,
            rich_help_panel="Pictures",
        ),
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option(
            help="Inverse temperature: higher is more certain. Default: 1.",
            show_default=False,
            rich_help_panel="Methods",
        ),
    ] = None,
    sweeps: Annotated[
        int | None,
        typer.Option(
            help="Sweeps over the pixels; for mean_field the most it may take. Default: the "
            "method's.",
            show_default=False,
            rich_help_panel="Methods",
        ),
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="States of variables that are known, as UAI evidence (.evid), of the .uai file: "
            "they are clamped.",
            show_default=False,
            rich_help_panel="Graphs",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Seed of methods that draw. Each input draws a stream of its own, made from this "
            "and its name, so that other inputs and their order do not matter. Default: 0.",
            show_default=False,
            rich_help_panel="Methods",
        ),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Time for each image, for methods that search (ilp): the best mask so far and "
            "its gap.",
            show_default=False,
            rich_help_panel="Methods",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="cpu|cuda",
            help="Where the method runs. Default: cpu.",
            show_default=False,
            rich_help_panel="Methods",
        ),
    ] = None,
    npz: Annotated[
        bool,
        typer.Option(
            "--npz", help="Write potentials, and marginals where asked for, as .npz arrays too."
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Do everything again, also what is done already."),
    ] = False,
) -> None:
    """Say where to measure depth in pictures; or compute masks, marginals or samples.

    For each input DIR gets NAME.mask.png (white is on), NAME.overlay.png (the mask in blue over
    the picture), for marginals NAME.marginals.png (16 bit), and one line in results.jsonl with
    energy, lower bound, gap, settings and versions. Images of a batch are numbered, NAME_0000.
    For a graph it gets NAME.nodes.csv (the state of each node, and its probability) instead of
    pictures.

    Stop it at any time: the same command goes on where it was. An image is skipped if the SHA-256
    of its file, the settings and the files written for it are the same as before.
    """
    # What a depth model has no use for; without any of them, and without a seed, one is meant.
    others = {
        "--task": task,
        "--method": method,
        "--potentials": potentials,
        "--weight": weight,
        "--select": select,
        "--beta": beta is not None,
        "--sweeps": sweeps is not None,
        "--time-limit": time_limit is not None,
        "--device": device,
        "--npz": npz,
    }
    try:
        images = with_evidence(find_inputs(inputs, out), evidence)
        if select is not None:
            check_no_graphs(images, "--select")
        free = not any(others.values()) and seed is None
        if _asks_for_depth(checkpoint, images, free):
            from mrfmask.cli.depth_infer import check_depth

            settings: Settings | SelectSettings | DepthSettings = check_depth(
                checkpoint=checkpoint, budget=budget, seed=seed, size=size, others=others
            )
        elif select is not None:
            del others["--select"]
            settings = check_selection(
                select=select,
                budget=budget,
                seed=seed,
                size=size,
                others=others,
                checkpoint=_load(checkpoint),
            )
        else:
            if budget is not None and task in (None, "map"):
                raise ValueError(
                    "--budget must come with a depth model, with --select, or with --task sample "
                    f"or marginals; got --budget {budget} without. Write e.g. --select long_range; "
                    "the best mask of a model is mm.find_map(model, budget=...) in Python."
                )
            settings = check_settings(
                task=task or "map",
                method=method,
                potentials=potentials,
                weight=weight or [],
                beta=beta,
                sweeps=sweeps,
                seed=seed,
                budget=budget,
                time_limit_s=time_limit,
                size=size,
                device=device or "cpu",
                npz=npz,
                checkpoint=_load(checkpoint),
            )
        check_pictures(
            images,
            {
                "--potentials": potentials,
                "--weight": weight,
                "--size": size,
                "--checkpoint": checkpoint,
            },
        )
        journal = Journal(out)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        print_error(str(error))
        raise typer.Exit(USAGE) from None
    job = Job(
        key=lambda image: key(image, settings),
        outputs=lambda image: output_names(image, settings),
        run=lambda image: run(image, settings, out),
    )
    carry_out(job, images, journal, Report(len(images)), overwrite)


def _load(checkpoint: str | None) -> Checkpoint | None:
    return None if checkpoint is None else load_checkpoint(Path(checkpoint))


def _asks_for_depth(checkpoint: str | None, images: Sequence[Input], free: bool) -> bool:
    """Whether a depth model is to choose: it was named, or (`free`) nothing else was."""
    if checkpoint is None:
        pictures = [image.is_picture for image in images]
        if free and any(pictures) and not all(pictures):
            raise ValueError(
                "INPUT must be pictures alone, or potentials alone, where nothing says what to do; "
                "got both. Name e.g. --task map."
            )
        return free and all(pictures)
    from mrfmask.cli.depth_options import DEFAULT
    from mrfmask.depth.checkpoint import depth_model_at

    if checkpoint != DEFAULT and not depth_model_at(checkpoint):
        return False
    for image in images:
        if not image.is_picture:
            raise ValueError(
                f"INPUT must be pictures for a depth model; got {image.path} with --checkpoint "
                f"{checkpoint}. Leave it out."
            )
    return True

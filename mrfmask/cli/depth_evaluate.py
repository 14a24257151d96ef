"""``mrfmask depth evaluate``: how good ways to spend a budget of depth are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mrfmask.cli.journal import Journal, Record, key_of
from mrfmask.cli.report import print_error
from mrfmask.cli.versions import versions
from mrfmask.cli.work import FAILED, FAILURES, INTERRUPTED, USAGE
from mrfmask.files import write_whole

if TYPE_CHECKING:
    from mrfmask.cli.depth_options import NamedModel
    from mrfmask.cli.depth_report import DepthReport
    from mrfmask.depth.cases import Case
    from mrfmask.depth.evaluate import Row
    from mrfmask.depth.frames import Frame, Frames

# Budgets between which penalties are computed.
PENALISED = (0.0025, 0.005, 0.01, 0.02, 0.05, 0.1)
EXAMPLES = """**Examples**

Methods that need no training, on made-up rooms and streets:

    mrfmask depth evaluate --checkpoint none --data synthetic --count 40 --split all \\
        --methods random,k_center,long_range --phases 1,4 --out runs/free

A trained model on frames that it has not seen, with pictures of three of them:

    mrfmask depth evaluate --checkpoint runs/rooms --data rooms.npz --pictures 3 --out runs/judged
"""


def evaluate(
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
    checkpoint: Annotated[
        str,
        typer.Option(
            metavar="DIR|none|default",
            help="A model that `mrfmask depth train` made, none for methods without a network, or "
            "the one that comes with the package.",
        ),
    ] = "default",
    budgets: Annotated[
        str, typer.Option(metavar="P%,...", help="Pixels bought, shares of all pixels of a frame.")
    ] = "0.5%,1%,2%,5%",
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Methods without a network, the checkpoint's, and the controls flat, shuffled and "
            "greedy (which knows all depths). Default: random, k_center, long_range and the "
            "checkpoint's.",
            show_default=False,
        ),
    ] = None,
    phases: Annotated[
        str | None,
        typer.Option(
            metavar="N,...",
            help="Phases in which a budget is spent, looking at the depths bought before. "
            "Default: 1, and the checkpoint's.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            metavar="test|all",
            help="The places that a training with the same data and seed leaves out, or all.",
        ),
    ] = "test",
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
    seed: Annotated[int, typer.Option(help="Of the split, synthetic frames and draws.")] = 0,
    pictures: Annotated[
        int, typer.Option(min=0, metavar="N", help="Frames to draw, the first ones.")
    ] = 0,
) -> None:
    """Judge where to measure depth: spend budgets, complete the depth, compare the errors.

    DIR gets table.md, table.json with all metrics, curves.png, results.jsonl with a line for each
    frame and way to spend a budget, and with --pictures a picture for each frame and budget, and
    penalty.png where the network gives a density.

    Frames with fewer valid pixels than the largest budget buys are left out, and named. Stop it at
    any time: the same command goes on where it was.
    """
    # These import a second's worth of modules that other commands can do without.
    from mrfmask.cli.depth_options import (
        NONE,
        check_data,
        load_named_model,
        parse_phases,
        parse_shares,
    )
    from mrfmask.cli.depth_report import DepthReport
    from mrfmask.cli.settings import LARGEST_SEED
    from mrfmask.depth.cases import make_cases
    from mrfmask.depth.judged import judged_frames
    from mrfmask.inference.method import check_count

    report = DepthReport()
    try:
        shares = parse_shares("--budgets", budgets)
        check_count("--seed", seed, 0, LARGEST_SEED)
        counts = None if phases is None else parse_phases(phases)
        small = check_data(data, unit, size)
        named = None if checkpoint == NONE else load_named_model(checkpoint)
        model = None if named is None else named.model
        if model is not None and (seen := _learned_from(model.info, data, split, seed)):
            report.say(
                f"The model learned from {', '.join(seen)}, split otherwise: errors on frames that "
                "it has seen say nothing of others."
            )
        frames = judged_frames(
            data,
            shares=shares,
            split=split,
            seed=seed,
            notice=report.say,
            size=small,
            unit=unit,
            count=count,
        )
        own = [] if model is None else [model.masking.name]
        usual = {1} if model is None else {1, model.phases.count}
        cases = make_cases(
            ["random", "k_center", "long_range", *own] if methods is None else _words(methods),
            sorted(usual) if counts is None else counts,
            shares,
            model,
            frames,
        )
        journal = Journal(out)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        print_error(_with_flag(str(error)))
        raise typer.Exit(USAGE) from None
    with journal, report:
        try:
            records, failed = _judge(frames, cases, named, seed, journal, report)
            rows = _write_tables(records, out)
            _draw(frames, cases, rows, named, pictures, seed, out)
        except KeyboardInterrupt:
            report.stopped()
            raise typer.Exit(INTERRUPTED) from None
    if rows:
        report.table(rows)
        report.say(f"Results are in {out}")
    if failed:
        print_error(
            f"{failed} of {len(frames)} frames failed. The messages above say why; run the same "
            "command again when they are mended."
        )
        raise typer.Exit(FAILED)


def _judge(
    frames: Frames,
    cases: Sequence[Case],
    named: NamedModel | None,
    seed: int,
    journal: Journal,
    report: DepthReport,
) -> tuple[list[Record], int]:
    """The records of all frames, read or made, and how many frames failed."""
    from mrfmask.depth.evaluate import evaluate_frame

    records, failed = [], 0
    report.start(len(frames))
    for index, name in enumerate(frames.names):
        made = 0
        try:
            frame = frames[index]
            source = _digest(frame)
            for case in cases:
                heading = _heading(name, case, named, seed)
                record = journal.finished(key_of(heading), source, [])
                if record is None:
                    journal.drop({key_of(heading)})
                    found = evaluate_frame(
                        frame, case.masking, case.phases, case.share, _predictors(named), seed
                    )
                    record = {**heading, "input_sha256": source, "outputs": {}, **found}
                    record |= versions()
                    journal.append(record)
                    made += 1
                records.append(record)
        except FAILURES as error:
            failed += 1
            report.fail(name, error)
        else:
            report.finish(name, made, len(cases) - made)
    return records, failed


def _heading(name: str, case: Case, named: NamedModel | None, seed: int) -> Record:
    """What a record hangs on, but for the frame's content."""
    from mrfmask.depth.controls import Shuffled

    settings = {
        "method": case.masking.name,
        "phases": case.phases.count,
        "share": case.share,
        "seed": seed,
        "checkpoint": None if named is None else named.digest,
    }
    if isinstance(case.masking, Shuffled):
        # The picture that it is shown is one of these.
        settings["frames"] = hashlib.sha256(
            "\n".join(case.masking.frames.names).encode()
        ).hexdigest()
    return {"input": name, "image": None, "settings": settings}


def _digest(frame: Frame) -> str:
    digest = hashlib.sha256(frame.place.encode())
    for values in (frame.picture, frame.depth):
        digest.update(values.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _predictors(named: NamedModel | None) -> dict[str, Any]:
    return {} if named is None or named.model.predictor is None else {"net": named.model.predictor}


def _write_tables(records: list[Record], out: Path) -> list[Row]:
    from mrfmask.depth.evaluate import summarise
    from mrfmask.depth.table import as_json, markdown

    rows = summarise(records)
    fills = list(dict.fromkeys(row.reconstruction for row in rows))
    rows.sort(key=lambda row: (row.share, fills.index(row.reconstruction)))
    if rows:
        _write(out / "table.md", markdown(rows).encode())
        _write(out / "table.json", as_json(rows).encode())
    return rows


def _draw(
    frames: Frames,
    cases: Sequence[Case],
    rows: Sequence[Row],
    named: NamedModel | None,
    count: int,
    seed: int,
    out: Path,
) -> None:
    """The curves, and pictures of the first frames, a file a budget."""
    from mrfmask.depth.masking import IsingDensity
    from mrfmask.depth.penalties import budget_curve
    from mrfmask.depth.pictures import draw_counts, draw_errors

    if rows:
        _write(out / "curves.png", draw_errors(rows))
    shown = [frames[index] for index in range(min(count, len(frames)))]
    if shown and named is not None and isinstance(named.model.masking, IsingDensity):
        curves = {f.name: budget_curve(named.model.masking, f, PENALISED) for f in shown}
        _write(out / "penalty.png", draw_counts(curves))
    for frame in shown:
        for share in dict.fromkeys(case.share for case in cases):
            content = _draw_frame(frame, [c for c in cases if c.share == share], named, seed)
            stem = re.sub(r"[^\w.#-]+", "_", frame.name)
            _write(out / "pictures" / f"{stem}_{100 * share:g}%.png", content)


def _draw_frame(frame: Frame, cases: Sequence[Case], named: NamedModel | None, seed: int) -> bytes:
    from mrfmask.depth.budget import budget_of
    from mrfmask.depth.evaluate import bought_by, reconstructions
    from mrfmask.depth.frames import collate_frames
    from mrfmask.depth.pictures import draw_frame

    batch, predictors = collate_frames([frame]), _predictors(named)
    ways = {}
    for case in cases:
        mask = bought_by(case.masking, batch, budget_of(frame.valid, case.share), case.phases, seed)
        found = reconstructions(batch, mask, predictors)
        name = "net" if predictors else "linear"
        more = f", {case.phases.count} phases" if case.phases.count > 1 else ""
        ways[f"{case.masking.name}{more} ({name})"] = mask[0], found[name][0]
    return draw_frame(frame, ways)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    write_whole(path, lambda file: file.write(content))


def _learned_from(info: Mapping[str, Any], data: Sequence[str], split: str, seed: int) -> list[str]:
    """Data sets that a model may have learned the frames of which it is to be judged by.

    The test side of the same seed was kept from its training; synthetic frames of another seed are
    other frames.
    """
    if split == "test" and info.get("seed") == seed:
        return []
    learned = {Path(spec).name for spec in info.get("data", ())}
    again = {"synthetic"} - ({"synthetic"} if info.get("seed") == seed else set())
    return [spec for spec in data if Path(spec).name in learned - again]


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _with_flag(message: str) -> str:
    """The message with the option's name as it is typed, where it begins with an argument's."""
    name = message.partition(" ")[0]
    flags = {"methods", "split", "size", "unit", "count", "seed"}
    flags = {n: f"--{n}" for n in flags} | {"budget": "--budgets", "share": "--budgets"}
    message = message.replace("set the shares of the split to 0", "use --split all")
    return flags.get(name, name) + message[len(name) :]

"""``mrfmask bench``: the methods against each other, on drawn models or on files of potentials."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from mrfmask.bench.efforts import efforts
from mrfmask.bench.instances import Instance
from mrfmask.bench.machine import machine
from mrfmask.bench.measure import Worker
from mrfmask.bench.report import write_report
from mrfmask.bench.scores import Run, Scored, score
from mrfmask.cli.bench_report import BenchReport
from mrfmask.cli.bench_settings import BenchSettings, check_settings
from mrfmask.cli.journal import Journal, Record, key_of
from mrfmask.cli.report import print_error
from mrfmask.cli.work import FAILED, INTERRUPTED, USAGE
from mrfmask.inference import METHODS

EXAMPLES = """**Examples**

Which method for which model, in some minutes:

    mrfmask bench --out bench

Quicker, on small grids:

    mrfmask bench --out bench --sizes 16,32 --strengths 0.3,1 --time-limit 2

On potentials of your own (`mrfmask infer photo.jpg --out masks --npz` writes those of a picture):

    mrfmask bench my.npz masks/photo.potentials.npz --out bench
"""


def bench(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the report; made if need be.")
    ],
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[INPUT]...",
            help="Files of potentials (.npz, .safetensors), or folders of them. Without any, "
            "models are drawn.",
            show_default=False,
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Methods to compare. Default: all that answer map; `mrfmask methods` lists them.",
            show_default=False,
        ),
    ] = None,
    time_limit: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="Longest time for a run of a method that has a limit (ilp). Any run is stopped "
            "after twice that and 10 s.",
        ),
    ] = 10.0,
    seed: Annotated[int, typer.Option(help="Seed of drawn models and of methods that draw.")] = 0,
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="SIDE,...",
            help="Sides of the square grids. Default: 16,32,64,100.",
            show_default=False,
            rich_help_panel="Drawn models",
        ),
    ] = None,
    strengths: Annotated[
        str | None,
        typer.Option(
            metavar="C,...",
            help="Strengths of couplings, C * uniform(0.2, 1), beside unaries of unit variance. "
            "Default: 0.1,0.3,1,2.",
            show_default=False,
            rich_help_panel="Drawn models",
        ),
    ] = None,
    signs: Annotated[
        str | None,
        typer.Option(
            metavar="SIGNS,...",
            help="Signs of couplings: associative, repulsive, mixed. Default: all three.",
            show_default=False,
            rich_help_panel="Drawn models",
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            help="Models drawn of each kind. Default: 1.",
            show_default=False,
            rich_help_panel="Drawn models",
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Do everything again, also what is done already."),
    ] = False,
) -> None:
    """Compare the methods: energy, bound, gap to the proven optimum, equal pixels, time, memory.

    When is mean field good enough, when does the integer program pay, when is the cut free? DIR
    gets bench.html (a page with the answers, pictures and tables, for itself), bench.png (gap
    against time), bench.json (all numbers) and results.jsonl (what is done).

    Each method runs on one thread in a process of its own. Stop it at any time: the same command
    goes on where it was.
    """
    try:
        settings = check_settings(
            inputs=inputs or [],
            out=out,
            methods=methods,
            time_limit_s=time_limit,
            seed=seed,
            sizes=sizes,
            strengths=strengths,
            signs=signs,
            repeats=repeats,
        )
        instances = settings.instances()
        journal = Journal(out)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        print_error(str(error))
        raise typer.Exit(USAGE) from None
    facts = machine()
    with journal, BenchReport(len(instances) * len(settings.methods)) as report:
        try:
            records = list(_work(instances, settings, facts, journal, report, overwrite))
        except KeyboardInterrupt:
            report.stopped()
            raise typer.Exit(INTERRUPTED) from None
        results = _score(instances, [run for _, run in records])
        days = {"date": max(record["date"] for record, _ in records)}
        conclusions = write_report(out, results, facts | days, settings.record())
    report.summary(out, results, conclusions)
    if report.failed:
        raise typer.Exit(FAILED)


def _work(
    instances: list[Instance],
    settings: BenchSettings,
    facts: Record,
    journal: Journal,
    report: BenchReport,
    overwrite: bool,
) -> Iterator[tuple[Record, Run]]:
    """All runs, a method after the other: only one process holds memory and caches at a time."""
    for method in settings.methods:
        with Worker(method, settings.time_limit_s) as worker:
            for instance in instances:
                report.begin(method, instance)
                for options in efforts(METHODS[method], settings.time_limit_s, settings.seed):
                    heading = _heading(instance, method, options, facts)
                    record = None if overwrite else _finished(heading, journal)
                    skipped = record is not None
                    if record is None:
                        record = heading | worker.measure(instance, options)
                        journal.drop({key_of(record)})
                        journal.append(record)
                    yield (
                        record,
                        Run(instance=instance, method=method, options=options, answer=record),
                    )
                    if record["finished"]:
                        break
                report.finish(method, instance, record, skipped)


def _heading(instance: Instance, method: str, options: Record, facts: Record) -> Record:
    """What the journal knows a run by: another version or processor is another run."""
    return {
        "input": instance.name,
        "image": instance.number,
        "settings": {"command": "bench", "method": method, "options": options, "machine": facts},
        "input_sha256": instance.sha256,
        "date": datetime.date.today().isoformat(),
    }


def _finished(heading: Record, journal: Journal) -> Record | None:
    """The record of the same run of an earlier time, unless it failed."""
    record = journal.finished(key_of(heading), heading["input_sha256"], ())
    return None if record is None or record["status"] == "failed" else record


def _score(instances: list[Instance], runs: list[Run]) -> list[Scored]:
    by_instance: dict[Instance, list[Run]] = {instance: [] for instance in instances}
    for run in runs:
        by_instance[run.instance].append(run)
    return [score(some) for some in by_instance.values()]

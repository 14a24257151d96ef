"""One image after another: skipping what is done, surviving failures, stopping at Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import typer

from mrfmask.cli.inputs import Input
from mrfmask.cli.journal import Journal, Key, Record, sha256_of
from mrfmask.cli.report import Report

# The failures of one image that must not stop the others. Anything else is a bug.
FAILURES = (MemoryError, OSError, RuntimeError, TypeError, ValueError)

USAGE, FAILED, INTERRUPTED = 2, 1, 130


@dataclass(frozen=True)
class Job:
    """What a command does with an image.

    Attributes:
        key: what the journal knows the image and the settings by.
        outputs: the files of an image, relative to the output folder.
        run: does an image, writes its files and returns its line of results.jsonl.
    """

    key: Callable[[Input], Key]
    outputs: Callable[[Input], list[str]]
    run: Callable[[Input], Record]


def carry_out(
    job: Job, images: Sequence[Input], journal: Journal, report: Report, overwrite: bool
) -> None:
    """Does all images that are not done yet, or all; exits with the code of a failure.

    Raises:
        typer.Exit: FAILED if an image failed, INTERRUPTED at Ctrl-C.
    """
    with journal, report:
        try:
            _work(job, images, journal, report, overwrite)
        except KeyboardInterrupt:
            report.stopped()
            raise typer.Exit(INTERRUPTED) from None
    report.summary(journal.folder)
    if report.failed:
        raise typer.Exit(FAILED)


def _work(
    job: Job, images: Sequence[Input], journal: Journal, report: Report, overwrite: bool
) -> None:
    todo = []
    for image in images:
        record = None if overwrite else _finished(job, image, journal)
        if record is None:
            todo.append(image)
        else:
            report.finish(image, record, skipped=True)
    journal.drop({job.key(image) for image in todo})
    for image in todo:
        report.begin(image)
        try:
            record = job.run(image)
            journal.append(record)
        except FAILURES as error:
            report.fail(image, error)
        else:
            report.finish(image, record)


def _finished(job: Job, image: Input, journal: Journal) -> Record | None:
    try:
        source = sha256_of(image.path)
    except OSError:
        return None  # reported when its turn comes
    return journal.finished(job.key(image), source, job.outputs(image))

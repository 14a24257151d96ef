"""What ``mrfmask bench`` says: progress, then a table and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from mrfmask.bench import wording
from mrfmask.bench.conclusions import Conclusion
from mrfmask.bench.instances import Instance
from mrfmask.bench.page import COLUMNS
from mrfmask.bench.report import JSON, PAGE, PICTURE
from mrfmask.bench.scores import Scored
from mrfmask.cli.journal import Record
from mrfmask.cli.report import WIDTH_IN_FILES, print_error


class BenchReport:
    """Tells how the comparison goes; a context manager for as long as it goes on.

    Args:
        total: pairs of a method and an instance.
    """

    def __init__(self, total: int) -> None:
        self._console = Console(soft_wrap=True, highlight=False)
        if not self._console.is_terminal:
            self._console.width = WIDTH_IN_FILES
        self._total = total
        self._done = 0
        self._problems: list[str] = []
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._bar = self._progress.add_task("starting", total=total)

    def __enter__(self) -> BenchReport:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    @property
    def failed(self) -> bool:
        """Whether a process crashed, or two methods cannot both be right."""
        return bool(self._problems)

    def begin(self, method: str, instance: Instance) -> None:
        """A method begins with an instance."""
        self._progress.update(self._bar, description=_title(method, instance))

    def finish(self, method: str, instance: Instance, record: Record, skipped: bool) -> None:
        """A method is done with an instance, now or (`skipped`) by an earlier run."""
        self._done += 1
        self._progress.advance(self._bar)
        if record["status"] == "failed":
            self._problems.append(f"{_title(method, instance)}: {record['reason']}")
        if self._console.is_terminal:
            return
        if record.get("energy") is None:
            text = f"{record['status']}: {record['reason']}"
        else:
            took = wording.seconds(record["seconds"])
            text = f"energy {wording.energy(record['energy'])}, {record['status']}, {took}"
        text += " (already done, skipped)" * skipped
        title = f"[{self._done}/{self._total}] {_title(method, instance)}"
        self._console.print(Text(f"{title}: {text}"))

    def stopped(self) -> None:
        """The user pressed Ctrl-C."""
        self._console.print(
            f"Stopped with {self._done} of {self._total} done, which are kept. Run the same "
            "command again to do the rest and to get the report."
        )

    def summary(
        self, folder: Path, results: Sequence[Scored], conclusions: Sequence[Conclusion]
    ) -> None:
        """The table, the conclusions, problems, and where the report is."""
        self._print_table(results)
        for conclusion in conclusions:
            self._console.print(Text(f"\n{conclusion.question}", style="bold"))
            for line in conclusion.lines:
                self._console.print(Text(f"  {line}"))
        self._console.print(Text(f"\nThe report is in {folder}"))
        for name in (PAGE, PICTURE, JSON):
            self._console.print(Text(f"  {folder / name}"))
        self._problems += [r.contradiction for r in results if r.contradiction]
        for problem in self._problems:
            print_error(problem)

    def _print_table(self, results: Sequence[Scored]) -> None:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        table.add_column(COLUMNS[0], overflow="fold", min_width=12)
        table.add_column(COLUMNS[1], no_wrap=True)
        for column in COLUMNS[2:]:
            table.add_column(column, justify="right", no_wrap=True)
        reasons: dict[str, str] = {}
        for result in results:
            title = result.instance.title + " (not proven)" * (not result.proven)
            for score in result.finals:
                if score.energy is None:
                    table.add_row(Text(title), score.method, Text(score.status, style="dim"))
                    reasons.setdefault(f"{score.method} {score.status}", score.reason)
                else:
                    table.add_row(Text(title), score.method, *wording.cells(score))
                title = ""
            table.add_section()
        self._console.print(table, soft_wrap=False)
        for what, reason in reasons.items():
            self._console.print(Text(f"{what}, e.g.: {reason}"))


def _title(method: str, instance: Instance) -> str:
    return f"{method}, {instance.title}"

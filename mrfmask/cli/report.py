"""What a command says: progress, one line an image where there is no terminal, a table."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import ClassVar

from rich import box
from rich.console import Console, JustifyMethod
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mrfmask.cli.inputs import Input
from mrfmask.cli.journal import Record
from mrfmask.result import Status

# Nobody reads a longer table in a terminal; results.jsonl has every line.
MOST_ROWS = 40
WIDTH_IN_FILES = 120
# What the user may want to act on; the other ways to end are as good as they get.
WORTH_A_NOTE = (Status.TIME_LIMIT, Status.SWEEP_LIMIT, Status.UNMIXED)


def print_error(message: str) -> None:
    """Says on the error stream what is wrong and what to do."""
    text = Text.assemble(("Error: ", "bold red"), message)
    Console(stderr=True, soft_wrap=True).print(text)


class Report:
    """Tells how the work goes; a context manager for as long as it goes on.

    A command with other records overrides `columns`, `sentence` and `cells`.

    Args:
        total: images to work on.
    """

    # Of the table, between input and seconds; numbers stand on the right.
    columns: ClassVar[dict[str, JustifyMethod]] = {
        "method": "left",
        **dict.fromkeys(("energy", "lower bound", "gap", "on"), "right"),
    }

    def sentence(self, record: Record) -> str:
        """What is said of an image when it is done, without its seconds."""
        _, energy, _, gap, on = self.cells(record)
        sites = "nodes" if "nodes" in record else "pixels"
        proof = f" (gap {gap})" if gap else ""
        start = f"energy {energy}{proof}, " if energy else ""
        return f"{start}{on} of {record[sites]} {sites} on, {record['status']}"

    def cells(self, record: Record) -> tuple[str, ...]:
        """Its row of the table, by `columns`; empty where there is no number."""
        forms = {"energy": ".7g", "lower_bound": ".7g", "gap": ".2g"}
        texts = ("" if record[n] is None else format(record[n], f) for n, f in forms.items())
        on = record["nodes_on" if "nodes" in record else "pixels_on"]
        return (record["method"], *texts, str(on))

    def __init__(self, total: int) -> None:
        self._console = Console(soft_wrap=True, highlight=False)
        if not self._console.is_terminal:
            self._console.width = WIDTH_IN_FILES
        self._total = total
        self._done = 0
        self._rows: list[tuple[Input, Record, bool]] = []
        self._failures: list[tuple[Input, str]] = []
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._bar = self._progress.add_task("starting", total=total)

    def __enter__(self) -> Report:
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
        """Whether any image failed."""
        return bool(self._failures)

    def begin(self, image: Input) -> None:
        """An image is being worked on."""
        self._progress.update(self._bar, description=image.title)

    def finish(self, image: Input, record: Record, skipped: bool = False) -> None:
        """An image is done, now or (`skipped`) by an earlier run."""
        self._rows.append((image, record, skipped))
        if skipped:
            self._advance(image, "already done, skipped")
        else:
            self._advance(image, f"{self.sentence(record)}, {record['seconds']:.2f} s")

    def fail(self, image: Input, error: Exception) -> None:
        """An image could not be done; the others go on."""
        message = str(error) or type(error).__name__
        self._failures.append((image, message))
        self._advance(image, "failed")
        console = self._console if self._console.is_terminal else Console(stderr=True)
        text = Text.assemble(("Error: ", "bold red"), f"{image.title}: {message}")
        console.print(text, soft_wrap=True)

    def stopped(self) -> None:
        """The user pressed Ctrl-C."""
        self._console.print(
            f"Stopped with {self._done} of {self._total} done; their results are complete. "
            "Run the same command again to do the rest."
        )

    def _name_outputs(self, folder: Path) -> None:
        """Names what was written, where that is a short list."""
        names = [name for _, record, _ in self._rows for name in record["outputs"]]
        if 0 < len(names) <= MOST_ROWS:
            for name in [*names, "results.jsonl"]:
                self._console.print(Text(f"  {folder / name}"), soft_wrap=True)

    def summary(self, folder: Path) -> None:
        """The table, what failed, and where the results are."""
        if self._rows:
            self._print_table()
        for status in WORTH_A_NOTE:
            count = sum(record.get("status") == status.name.lower() for _, record, _ in self._rows)
            if count:
                self._console.print(Text(f"Note: {count} of {len(self._rows)}: {status.value}."))
        skipped = sum(skipped for *_, skipped in self._rows)
        parts = [f"{len(self._rows) - skipped} done"]
        parts += [f"{skipped} skipped (done before)"] * bool(skipped)
        parts += [f"{len(self._failures)} failed"] * bool(self._failures)
        self._console.print(Text(f"{', '.join(parts)}. Results are in {folder}"))
        self._name_outputs(folder)
        if self._failures:
            names = [image.title for image, _ in self._failures[:MOST_ROWS]]
            more = len(self._failures) - len(names)
            tail = f" and {more} more" if more else ""
            print_error(
                f"{len(self._failures)} of {self._total} failed: {', '.join(names)}{tail}. The "
                "messages above say why; run the same command again when they are mended."
            )

    def _print_table(self) -> None:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        table.add_column("input", overflow="fold", min_width=8)
        for column, side in (self.columns | {"seconds": "right"}).items():
            table.add_column(column, justify=side, no_wrap=True)
        for image, record, skipped in self._rows[:MOST_ROWS]:
            end = "skipped" if skipped else f"{record['seconds']:.2f}"
            table.add_row(Text(image.title), *self.cells(record), end)
        self._console.print(table, soft_wrap=False)
        if len(self._rows) > MOST_ROWS:
            more = len(self._rows) - MOST_ROWS
            self._console.print(f"... and {more} more: results.jsonl has them all.")

    def _advance(self, image: Input, text: str) -> None:
        self._done += 1
        self._progress.advance(self._bar)
        if not self._console.is_terminal:
            self._console.print(Text(f"[{self._done}/{self._total}] {image.title}: {text}"))

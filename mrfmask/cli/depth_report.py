"""What an evaluation of depth says: progress, one line a frame without a terminal, the table."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mrfmask.cli.report import WIDTH_IN_FILES
from mrfmask.depth.evaluate import Row
from mrfmask.depth.table import cells, columns, note


class DepthReport:
    """Tells how an evaluation goes; a context manager for as long as it goes on."""

    def __init__(self) -> None:
        self._console = Console(soft_wrap=True, highlight=False)
        if not self._console.is_terminal:
            self._console.width = WIDTH_IN_FILES
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
        self._bar = None
        self._done = self._total = 0

    def __enter__(self) -> DepthReport:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self._console.print(Text(text))

    def start(self, frames: int) -> None:
        """So many frames are to be judged."""
        self._total = frames
        self._bar = self._progress.add_task("starting", total=frames)
        self._progress.start()

    def finish(self, frame: str, made: int, known: int) -> None:
        """All of a frame is there: `made` results are new, `known` are of an earlier run."""
        self._done += 1
        self._progress.update(self._bar, description=frame, advance=1)
        if not self._console.is_terminal:
            said = f"{made} results" if made else "already done, skipped"
            said += f", {known} already there" if made and known else ""
            self.say(f"[{self._done}/{self._total}] {frame}: {said}")

    def fail(self, frame: str, error: Exception) -> None:
        """A frame could not be judged; the others go on."""
        self._done += 1
        self._progress.update(self._bar, description=frame, advance=1)
        console = self._console if self._console.is_terminal else Console(stderr=True)
        message = str(error) or type(error).__name__
        text = Text.assemble(("Error: ", "bold red"), f"{frame}: {message}")
        console.print(text, soft_wrap=True)

    def stopped(self) -> None:
        """The user pressed Ctrl-C."""
        self._progress.stop()
        self.say(
            f"Stopped with {self._done} of {self._total} frames done; their results are complete. "
            "Run the same command again to do the rest."
        )

    def table(self, rows: Sequence[Row]) -> None:
        """The table on the screen, with a line between budgets."""
        self._progress.stop()
        shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        for number, heading in enumerate(columns(rows)):
            shown.add_column(heading, justify="right" if number > 3 else "left", no_wrap=True)
        for row, after in zip(rows, [*rows[1:], None], strict=True):
            last = after is not None and after.share != row.share
            shown.add_row(*(Text(text) for text in cells(row, rows)), end_section=last)
        self._console.print(shown, soft_wrap=False)
        self.say(note(rows))

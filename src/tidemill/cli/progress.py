"""Progress bars on standard error; on a pipe, nothing but the summary lines."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from tidemill.cli import output

if TYPE_CHECKING:
    from tidemill.copies.parts import Progress as CopyProgress
    from tidemill.events.load import LoadProgress
    from tidemill.exports.backfill import BackfillProgress
    from tidemill.exports.service import RunProgress
    from tidemill.exports.stream.orders import StreamProgress


class Bar:
    """One bar that shows whatever moves: bytes of a file, or rows of a run."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._title = title
        self._task: TaskID | None = None

    def loading(self, state: LoadProgress) -> None:
        """Called while a file is read."""
        rate = f"{state.rows / state.seconds:,.0f} rows/s" if state.seconds else ""
        rows, read = output.number(state.rows, "row"), output.size(state.bytes_read)
        detail = f"{rows}, {read} of {output.size(state.bytes_total)} {rate}"
        self._show(f"{self._title} {state.file}", state.bytes_read, state.bytes_total, detail)
        if state.bytes_read >= state.bytes_total:
            self._end()

    def running(self, state: RunProgress) -> None:
        """Called while a run moves."""
        rows = f"{state.rows_done:,} of {output.number(state.rows_planned, 'row')}"
        detail = f"{rows}, chunk {state.chunks_done} of {state.chunks}, {output.size(state.bytes_sent)} sent"
        self._show(f"{self._title}: {state.doing}", state.rows_done, state.rows_planned, detail)

    def streaming(self, state: StreamProgress) -> None:
        """Called while a stream moves."""
        waiting = f"{state.waiting:,} waiting, {state.lag_seconds:.0f} s behind" if state.waiting else "nothing waiting"
        detail = f"{output.number(state.rows, 'row')}, {output.size(state.bytes)} appended; {waiting}"
        self._show(self._title, state.rows, state.rows + state.waiting, detail)

    def filling(self, state: BackfillProgress) -> None:
        """Called when an interval of a backfill is completed."""
        intervals, rows = output.number(state.intervals, "interval"), output.number(state.rows, "row")
        detail = f"{state.intervals_done:,} of {intervals}, {state.rows_done:,} of {rows}"
        self._show(self._title, state.intervals_done, state.intervals, detail)

    def counting(self, doing: str, done: int, total: int) -> None:
        """Called while a sync runs."""
        detail = f"{done:,} of {output.number(total, 'row')}" if total else ""
        self._show(f"{self._title}: {doing}", done, total, detail)

    def copying(self, state: CopyProgress) -> None:
        """Called while an installation is copied."""
        files = f"{state.files_done:,} of {output.number(state.files, 'file')}, " if state.files > 1 else ""
        detail = f"{files}{output.size(state.bytes_done)} of {output.size(state.bytes)}" if state.bytes else ""
        self._show(f"{self._title}: {state.doing}", state.bytes_done, state.bytes, detail)

    def line(self, text: str) -> None:
        """A line that stays, above the bar."""
        self._end()
        self._progress.console.print(f"[green]✓[/] {output.safe(text)}")

    def _show(self, description: str, completed: float, total: float, detail: str) -> None:
        if self._task is None:
            self._task = self._progress.add_task(output.safe(description), total=total or None, detail="")
        said, more = output.safe(description), output.safe(detail)
        self._progress.update(self._task, description=said, completed=completed, total=total or None, detail=more)

    def _end(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None


@contextlib.contextmanager
def bar(title: str) -> Iterator[Bar]:
    """A progress bar for the time of the block."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=output.err, transient=True, disable=not output.err.is_terminal) as progress:
        yield Bar(progress, title)

"""A run on the command line: followed with a bar while it moves, told in a few lines, or shown in full."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import typer

from tidemill.cli import output, progress

if TYPE_CHECKING:
    from tidemill.exports.service import ExportService, RunView


def follow(
    start: Callable[[Callable[[Any], None]], list[RunView]], exports: ExportService, name: str, as_json: bool
) -> list[RunView]:
    """Run in the foreground with a bar, and say what came of it.

    The first Ctrl-C cancels the run and waits for its end, a second one leaves.
    """
    with interruptible(exports, "Cancelling the run and its BigQuery job"), progress.bar(f"Exporting {name}") as bar:
        views = start(bar.running)
    if as_json:
        output.print_json(views)
        return views
    for view in views:
        _summary(view)
    return views


@contextlib.contextmanager
def interruptible(exports: ExportService, saying: str) -> Iterator[None]:
    """For the time of the block, the first Ctrl-C cancels what this process runs; a second one leaves."""
    stopping = threading.Event()

    def interrupt(_signal: int, _frame: object) -> None:
        if stopping.is_set():
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            raise KeyboardInterrupt
        stopping.set()
        output.say(f"\n{saying} (Ctrl-C again leaves at once)")
        exports.runs.interrupt()

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _summary(view: RunView) -> None:
    sent = sum(chunk.rows for chunk in view.chunks)
    rows = output.number(view.rows_done, "row")
    if view.merge_job_id and sent != view.rows_done:
        rows = f"{rows} changed of {sent:,} sent"
    parts = [rows, output.size(view.bytes_done), f"{view.seconds or 0:.1f} s"]
    if view.bytes_billed:
        parts.append(f"{output.size(view.bytes_billed)} billed")
    if view.rows_rejected:
        parts.append(f"{view.rows_rejected:,} set aside (tidemill export rejects list {view.export})")
    if view.rows_repaired:
        parts.append(f"{view.rows_repaired:,} repaired")
    output.done(f"Run {view.short_id} into {view.target}: {', '.join(parts)}.")
    for chunk in view.chunks:
        if chunk.job_id:
            what = "Write stream" if "/streams/" in chunk.job_id else "BigQuery job"
            output.say(f"  {what} {chunk.job_id}: {output.number(chunk.rows, 'row')}")
    if view.merge_job_id:
        output.say(f"  BigQuery job {view.merge_job_id}: MERGE")
    for remark in view.notes:
        output.note(remark)


def refuse(views: list[RunView]) -> None:
    """End with the code of rows that were set aside, if some were."""
    from tidemill.errors import RowError

    if any(view.rows_rejected for view in views):
        raise typer.Exit(RowError.exit_code)


def show(view: RunView, as_json: bool) -> None:
    """One run with its chunks, BigQuery jobs and rows that were set aside."""
    if as_json:
        output.print_json(view)
        return
    hidden = {"chunks", "rejects", "notes"}
    output.print_fields(
        {k.replace("_", " "): v for k, v in vars(view).items() if k not in hidden and v not in (None, "")}
    )
    for remark in view.notes:
        output.note(remark)
    columns = ("CHUNK", "STATUS", "ROWS", "REJECTED", "REPAIRED", "BYTES", "BIGQUERY JOB, OR STREAM")
    rows = [(c.number, c.status, c.rows, c.rejected, c.repaired, output.size(c.bytes), c.job_id) for c in view.chunks]
    output.print_table(columns, rows, empty="No chunks: there was nothing to export.")
    if view.rejects:
        output.print_table(("REJECTED ROW", "REASON", "MESSAGE"), view.rejects, empty="")

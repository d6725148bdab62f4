"""What is told of runs: each step has a page of the logbook and a span of a trace; and what comes before and after."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from tidemill import logbook, tracing
from tidemill.errors import TidemillError
from tidemill.exports.work import Parts
from tidemill.logbook import Page, Value
from tidemill.store.records import Export, Run, Task

#: Steps of which the next argument is the number of the chunk.
_OF_CHUNKS = frozenset({"move", "send"})


def step(parts: Parts, name: str, function: Callable[..., Any], run_id: str, attempt: int, *more: Any) -> Any:
    """Do a step of a run: what is told meanwhile is the run's, and so is an error that ends it."""
    number = int(more[0]) if name in _OF_CHUNKS else None
    page = parts.book.page(run_id=uuid.UUID(run_id), attempt=attempt, step=name, chunk=number)
    with page.open(), tracing.step(uuid.UUID(run_id), attempt, name, chunk=number):
        try:
            result = function(parts, run_id, attempt, *more)
        except Exception as error:
            logbook.failed(error)
            raise
        logbook.debug("The step is done.", seconds=page.seconds)
        return result


def done(message: str, **fields: Value) -> None:
    """A step has done this; the fields are those of its span, too."""
    tracing.note(**fields)
    logbook.info(message, **fields, seconds=logbook.seconds())


def wrote(rows: int, size: int, *, rejected: int, repaired: int) -> None:
    """A step has written a chunk's file. How many rows it set aside is more than a detail."""
    tracing.note(rows=rows, bytes=size, rejected=rejected)
    fields = {"rows": rows, "bytes": size, "rejected": rejected or None, "repaired": repaired or None}
    tell = logbook.warning if rejected else logbook.debug
    tell("Rows are set aside." if rejected else "The file is written.", **fields, seconds=logbook.seconds())


@contextlib.contextmanager
def attempt(run_id: str, number: int) -> Iterator[None]:
    """An attempt to move a run, whose steps are done in the block."""
    with tracing.attempt(uuid.UUID(run_id), number):
        yield


@contextlib.contextmanager
def streaming(parts: Parts, export: Export) -> Iterator[None]:
    """A stream is moved in the block: what is told is of its run, and between two runs of the export."""
    with parts.book.page(export_id=export.id, step="stream").open():
        try:
            yield
        except TidemillError as error:
            logbook.failed(error)
            raise


def planning(parts: Parts, export: Export) -> contextlib.AbstractContextManager[Page]:
    """A run of an export is planned in the block: there is none yet."""
    return parts.book.page(export_id=export.id, step="plan").open()


def planned(parts: Parts, run: Run, chunks: int) -> None:
    """A run is planned. Of one that has nothing to do, nothing is told."""
    if chunks:
        _page(parts, run, "plan").tell(
            "info",
            "The run begins.",
            mode=run.mode,
            chunks=chunks,
            rows_planned=run.rows_planned,
            snapshot_after=run.snapshot_after,
            snapshot_upto=run.snapshot_upto,
            interval_end=_text(run.interval_end),
            by=run.created_by,
        )


def taken_over(parts: Parts, run: Run) -> None:
    """This process goes on with a run where another one has left it."""
    said = "The process that moved it is gone: another one goes on."
    _page(parts, run, "run").tell("warning", said, left_by=(run.worker or "")[:8] or None)


def begins_again(parts: Parts, run: Run) -> None:
    """A run that did not end well is gone on with, by an attempt of its own."""
    _page(parts, run, "run").tell("info", "Another attempt begins.", attempt=run.attempt)


def asked_to_stop(parts: Parts, run: Run) -> None:
    """Somebody wants a run to stop."""
    _page(parts, run, "run").tell("info", "It was asked to stop.")


def again(parts: Parts, task: Task, error: TidemillError, at: dt.datetime, tries: int) -> None:
    """An interval of the schedule is to be tried again."""
    _of_task(parts, task).tell(
        "warning",
        f"It is tried again later. {logbook.said(error)}",
        **logbook.about(error),
        tries=tries,
        again_at=_text(at),
        interval_end=_text(task.interval_end),
    )


def worker_gone(parts: Parts, task: Task, worker: str) -> None:
    """The worker that had an interval is gone."""
    _of_task(parts, task).tell(
        "warning",
        "The worker that had the interval is gone: another one takes it.",
        left_by=worker[:8],
        tries=task.tries,
        interval_end=_text(task.interval_end),
    )


def paused(parts: Parts, export: Export, error: TidemillError, failures: int) -> None:
    """An export was paused, for its runs have failed too often."""
    _of(parts, export.id, lambda: parts.runs.last(export.id)).tell(
        "error",
        f"The export is paused, since its runs fail. {logbook.said(error)}",
        **logbook.about(error),
        failures=failures,
    )


def _of_task(parts: Parts, task: Task) -> Page:
    """The page of the run of an interval; if there is none yet, of its export."""
    return _of(parts, task.export_id, lambda: parts.runs.of_interval(task.export_id, task.interval_end))


def _of(parts: Parts, export_id: uuid.UUID, find: Callable[[], Run | None]) -> Page:
    run = None
    with contextlib.suppress(TidemillError):  # what is told must not stand in the way of what is done
        run = find()
    return parts.book.page(run_id=run.id if run else None, export_id=export_id, step="schedule")


def _page(parts: Parts, run: Run, name: str) -> Page:
    return parts.book.page(run_id=run.id, attempt=run.attempt, step=name)


def _text(moment: dt.datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None

"""How runs and backfills are shown, wherever they stand."""

from __future__ import annotations

import datetime as dt
import urllib.parse
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tidemill.web import marks
from tidemill.web.table import Column

if TYPE_CHECKING:
    from tidemill.exports.backfill import BackfillView
    from tidemill.exports.listing import RunItem

_JOB = "https://console.cloud.google.com/bigquery"
LIVE = frozenset({"running"})


def job(project: str, location: str | None, job_id: str | None) -> Markup:
    """The id of a job in BigQuery, with the way to it in Google's console."""
    if not job_id:
        return marks.muted("–")
    where = urllib.parse.urlencode({"project": project, "j": f"bq:{location or 'US'}:{job_id}", "page": "queryresults"})
    return Markup('{} <a href="{}?{}" target="_blank" rel="noopener noreferrer">In the console</a>').format(
        marks.copy(job_id, f"…{job_id[-16:]}" if len(job_id) > 20 else job_id), _JOB, where
    )


def run_path(run: Any) -> str:
    """The page of a run."""
    return marks.path("/exports", run.export, "runs", run.id)


def interval(start: dt.datetime | None, end: dt.datetime | None) -> Markup:
    """A span of time."""
    if start is None and end is None:
        return marks.muted("all there was")
    return Markup("{} – {}").format(
        marks.when(start, otherwise="the beginning", plain=True), marks.when(end, otherwise="now", plain=True)
    )


def seconds(run: RunItem) -> float | None:
    """How long a run took, or has taken."""
    if run.started_at is None:
        return None
    end = run.finished_at or dt.datetime.now(dt.UTC)
    return max(0.0, (end - run.started_at).total_seconds())


def rate(done: int, began: dt.datetime | None) -> float | None:
    """Rows a second, since it began."""
    taken = (dt.datetime.now(dt.UTC) - began).total_seconds() if began else 0.0
    return done / taken if done and taken > 0 else None


def far(run: RunItem) -> Markup:
    """How many rows a run has brought; while it runs, how far it is."""
    if run.status == "running" and run.mode != "stream":
        return marks.progress(run.rows_done, run.rows_planned or None, rate=rate(run.rows_done, run.started_at))
    return marks.number(run.rows_done)


def how(run: RunItem) -> Markup:
    """A run's status, and why it failed."""
    said = marks.badge(run.status)
    if run.error is not None and run.status != "completed":
        said += Markup('<p class="muted clip said">{}</p>').format(run.error.message)
    if run.rows_rejected:
        said += Markup(" ") + marks.badge(f"{run.rows_rejected:,} set aside", marks.WARNING)
    return Markup("<div>{}</div>").format(said)


def columns(*, with_export: bool = False) -> list[Column[RunItem]]:
    """Those of a list of runs."""
    found: list[Column[RunItem]] = [
        Column("number", "Run", lambda run: marks.link(f"Run {run.number:,}", run_path(run))),
        Column("interval", "Interval", lambda run: interval(run.interval_start, run.interval_end)),
        Column("status", "Status", how),
        Column("rows", "Rows", far, end=True),
        Column("bytes", "Sent", lambda run: marks.size(run.bytes_done), end=True, wide=True),
        Column("billed", "Billed", lambda run: marks.size(run.bytes_billed), end=True, wide=True),
        Column("seconds", "Took", lambda run: marks.duration(seconds(run)), end=True, wide=True),
        Column("attempts", "Attempts", lambda run: marks.number(run.attempt), end=True, wide=True),
        Column("kind", "Kind", lambda run: marks.tag(run.kind), wide=True),
        Column("began", "Began", lambda run: marks.when(run.created_at)),
    ]  # fmt: skip
    if with_export:
        found.insert(0, Column("export", "Export", lambda run: marks.thing("/exports", run.export)))
    return found


def backfill_far(one: BackfillView) -> Markup:
    """How far a backfill is."""
    if one.status == "running":
        return marks.progress(one.rows_done, one.rows or None, rate=rate(one.rows_done, one.created_at))
    return Markup("{} of {} intervals, {} rows").format(
        marks.number(one.intervals_done), marks.number(one.intervals), marks.number(one.rows_done)
    )

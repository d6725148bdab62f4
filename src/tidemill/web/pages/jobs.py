"""All jobs: the runs of all exports, syncs and imports, as they go on."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from markupsafe import Markup

from tidemill.access.permissions import Permission
from tidemill.jobs import KINDS, STATUSES
from tidemill.web import marks
from tidemill.web.page import page
from tidemill.web.pages import export_shown
from tidemill.web.region import show
from tidemill.web.table import Asked, Column, Filter, Page, table

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.jobs import Job

_EVERY_SECONDS = 2.0
_FILTERS = (
    Filter("search", "Search names"),
    Filter("kind", "Kind", tuple((kind, f"{kind.capitalize()}s") for kind in KINDS)),
    Filter("status", "Status", tuple((status, status) for status in STATUSES)),
)


@page("All jobs", Permission.EXPORTS_READ, "/jobs")
async def jobs() -> None:
    """Runs of everything, newest first."""
    show(Markup('<p class="lead">Each time something was moved: by an export, a sync or an import.</p>'))
    nothing = marks.empty(
        "Nothing has run yet", "Runs begin by the schedule of an export, a sync or an import, or by hand.",
        marks.goto("Exports", "/exports"), "clock",
    )  # fmt: skip
    columns: list[Column[Job]] = [
        Column("name", "What", lambda job: marks.thing(f"/{job.kind}s", job.name)),
        Column("kind", "Kind", lambda job: marks.tag(job.kind)),
        Column("number", "Run", lambda job: marks.link(f"Run {job.number:,}", _path(job))),
        Column("status", "Status", _status),
        Column("rows", "Rows", _rows, end=True),
        Column("billed", "Billed", lambda job: marks.size(job.bytes_billed), end=True, wide=True),
        Column("took", "Took", _took, end=True, wide=True),
        Column("began_at", "Began", lambda job: marks.when(job.began_at), sort=True),
    ]
    await table(columns, _fetch, caption="All jobs", filters=_FILTERS, empty=nothing, row_key=lambda job: job.id,
                sort="-began_at", every=_EVERY_SECONDS)  # fmt: skip


def _fetch(app: App, asked: Asked) -> Page[Job]:
    found = app.jobs.page(
        kind=asked["kind"] or None,
        status=asked["status"] or None,
        search=asked["search"] or None,
        wanted=asked.wanted,
    )
    return Page.of(found)


def _path(job: Job) -> str:
    """The page of a run."""
    if job.kind == "import":
        return marks.asking(marks.path("/imports", job.name), tab="logs", run=str(job.number))
    return marks.path(f"/{job.kind}s", job.name, "runs", job.id if job.kind == "export" else job.number)


def _status(job: Job) -> Markup:
    """A run's status, and why it failed."""
    said = marks.badge(job.status)
    if job.message and job.status != "completed":
        said += Markup('<p class="muted clip said">{}</p>').format(job.message)
    if job.rejected:
        said += Markup(" ") + marks.badge(f"{job.rejected:,} set aside", marks.WARNING)
    return Markup("<div>{}</div>").format(said)


def _rows(job: Job) -> Markup:
    """How many rows were brought; while an export runs, how far it is."""
    if job.status == "running" and job.planned is not None:
        rate = export_shown.rate(job.rows, job.began_at)
        return marks.progress(job.rows, job.planned or None, rate=rate)
    return marks.number(job.rows)


def _took(job: Job) -> Markup:
    end = job.finished_at or dt.datetime.now(dt.UTC)
    return marks.duration(max(0.0, (end - job.began_at).total_seconds()))

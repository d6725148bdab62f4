"""Imports: all of them, how each stands, how healthy it is, and how much of its rows it took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from tidemill.access.permissions import Permission
from tidemill.web import frame, marks, visit
from tidemill.web.page import page
from tidemill.web.region import show
from tidemill.web.table import Asked, Column, Filter, Page, table

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.imports.service import ImportView

KINDS = (("people", "People"), ("events", "Events"), ("deletions", "Deletions"))
_STATUSES = ("draft", "ready", "scheduled", "running", "paused", "stopped", "completed")
_STATUS_KINDS = {"draft": marks.QUIET, "ready": marks.QUIET, "scheduled": marks.GOOD, "stopped": marks.WARNING}
#: By how much of its last run an import took (research on Amplitude and CleverTap, section 4.2).
_HEALTH = {"green": marks.GOOD, "yellow": marks.WARNING, "red": marks.BAD}
_DAYS = (("1", "Last day"), ("7", "Last 7 days"), ("30", "Last 30 days"))
_FILTERS = (
    Filter("search", "Search names"),
    Filter("kind", "Kind", KINDS),
    Filter("status", "Status", tuple((one, one.capitalize()) for one in _STATUSES)),
    Filter("health", "Health", tuple((one, one.capitalize()) for one in _HEALTH)),
    Filter("connection", "Connection (the whole name)"),
    Filter("by", "Made by (the whole name)"),
    Filter("days", "Made", _DAYS),
)


def status(one: ImportView) -> Markup:
    """How it stands."""
    return marks.badge(one.status, _STATUS_KINDS.get(one.status))


def health(one: ImportView) -> Markup:
    """How healthy it is, and the share of rows that the last run took."""
    if one.health is None or one.succeeded is None:
        return marks.muted("not known yet")
    return Markup("{} <span>{} %</span>").format(marks.badge(one.health, _HEALTH[one.health]), f"{one.succeeded:g}")


@page("Imports", Permission.IMPORTS_READ, "/imports")
async def imports() -> None:
    """All of them."""
    may = visit.current().may(Permission.IMPORTS_WRITE)
    if may:
        with frame.actions():
            show(marks.goto("New import", "/imports-new", sign="plus"))
    show(Markup('<p class="lead">Rows of BigQuery become properties of people, events, or deletions of people.</p>'))
    columns: list[Column[ImportView]] = [
        Column("name", "Name", lambda one: marks.thing("/imports", one.name), sort=True),
        Column("kind", "Kind", lambda one: marks.tag(one.kind) if one.kind else marks.muted("not said"), sort=True),
        Column("connection", "Connection", lambda one: one.connection, sort=True, wide=True),
        Column("status", "Status", status, sort=True),
        Column("succeeded", "Health, and share taken", health, sort=True),
        Column("last", "Last run", lambda one: marks.when(one.last.began_at if one.last else None, otherwise="never"),
               sort=True),
        Column("next_at", "Next run", lambda one: marks.when(one.next_at, otherwise="by hand"), sort=True, wide=True),
        Column("made_at", "Made", lambda one: Markup("{} by {}").format(marks.when(one.made_at), one.made_by),
               sort=True, wide=True),
    ]  # fmt: skip
    go = marks.goto("New import", "/imports-new") if may else Markup()
    empty = marks.empty(
        "No import yet", "Take rows of a table, a SELECT, a dbt model, or an export of GA4.", go, "import"
    )
    await table(
        columns, _fetch, caption="Imports", filters=_FILTERS, empty=empty, row_key=lambda one: one.id, sort="name",
        every=3.0,
    )  # fmt: skip


def _fetch(app: App, asked: Asked) -> Page[ImportView]:
    found = app.imports.listed.imports(
        search=asked["search"] or None,
        connection=asked["connection"] or None,
        status=[asked["status"]] if asked["status"] else (),
        kind=asked["kind"] or None,
        health=asked["health"] or None,
        created_by=asked["by"] or None,
        days=int(asked["days"]) if asked["days"] else None,
        wanted=asked.wanted,
    )
    return Page.of(found)

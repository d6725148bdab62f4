"""Syncs: all of them, with how each stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from tidemill.access.permissions import Permission
from tidemill.web import frame, marks, visit
from tidemill.web.page import page
from tidemill.web.pages import sync  # noqa: F401 - the page of one
from tidemill.web.region import show
from tidemill.web.table import Asked, Column, Filter, Page, table

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.reverse_etl.service import SyncView

NEW = "/syncs/_new"
_STATUSES = (("ready", "Ready"), ("running", "Running"), ("paused", "Paused"), ("trouble", "In trouble"))
_EVERY_SECONDS = 3.0


@page("Syncs", Permission.SYNCS_READ, "/syncs")
async def syncs() -> None:
    """All syncs."""
    may = visit.current().may(Permission.SYNCS_WRITE)
    if may:
        with frame.actions():
            show(marks.goto("Make a sync", NEW, sign="plus"))
    show(Markup('<p class="lead">Rows of a model on their way into a destination, whenever they change.</p>'))
    add = marks.goto("Make a sync", NEW) if may else Markup()
    empty = marks.empty("No sync yet", "It takes a model and a destination, and brings rows from one to the other.",
                        add, "sync")  # fmt: skip
    columns: list[Column[SyncView]] = [
        Column("name", "Name", lambda one: marks.thing("/syncs", one.name), sort=True),
        Column("status", "Status", _status, sort=True),
        Column("model", "Model", lambda one: marks.thing("/models", one.model), sort=True, wide=True),
        Column("destination", "Destination", _destination, sort=True, wide=True),
        Column("last", "Last run", _last, sort=True),
        Column("written", "Rows written", lambda one: marks.number(one.last.written if one.last else None), end=True),
        Column("rejects", "Not delivered", _rejects, end=True),
        Column("next_at", "Next", lambda one: marks.when(one.next_at, otherwise="by hand"), sort=True, wide=True),
    ]
    await table(
        columns, _fetch, caption="Syncs", empty=empty, sort="name", row_key=lambda one: one.id, every=_EVERY_SECONDS,
        filters=(Filter("search", "Search names, models, destinations"), Filter("status", "Status", _STATUSES)),
    )  # fmt: skip


def _fetch(app: App, asked: Asked) -> Page[SyncView]:
    found = app.reverse_etl.listed.syncs(
        search=asked["search"] or None, status=asked["status"] or None, wanted=asked.wanted
    )
    return Page.of(found)


def _status(one: SyncView) -> Markup:
    found = marks.badge(one.status)
    if one.overdue_since:
        return Markup("{} {}").format(found, marks.badge("overdue"))
    return Markup("{} {}").format(found, marks.badge("in trouble")) if one.troubles or one.pause_reason else found


def _destination(one: SyncView) -> Markup:
    return Markup("{} {}").format(marks.thing("/destinations", one.destination), marks.muted(one.kind))


def _last(one: SyncView) -> Markup:
    if one.last is None:
        return marks.muted("never ran")
    at = one.last.finished_at or one.last.began_at
    return Markup("{} {}").format(marks.badge(one.last.status), marks.when(at))


def _rejects(one: SyncView) -> Markup:
    number = sum(one.rejects.values())
    return marks.badge(f"{number:,}", marks.WARNING) if number else marks.number(0)

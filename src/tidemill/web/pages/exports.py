"""All exports: how each stands, what it brought last, and when it runs next."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from markupsafe import Markup

from tidemill.access.permissions import Permission
from tidemill.models import registry
from tidemill.web import dialogs, frame, marks, notices, visit
from tidemill.web.marks import BAD, QUIET
from tidemill.web.page import page
from tidemill.web.region import show
from tidemill.web.table import Asked, Column, Filter, Page, Table, row_button, table

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.exports.listing import ExportItem

_FILTERS = (
    Filter("search", "Search names"),
    Filter("status", "Status", (
        ("completed", "completed"), ("failed", "failed"), ("running", "running"), ("cancelled", "cancelled"),
        ("paused", "paused"),
    )),
    Filter("model", "Data", tuple((model.name, model.title) for model in registry.MODELS.values())),
    Filter("mode", "How", (("batch", "by runs"), ("stream", "as a stream"))),
)  # fmt: skip
_LEAD = "Each export keeps a table in BigQuery up to date with what comes in."
_EVERY_SECONDS = 3.0


@page("Exports", Permission.EXPORTS_READ, "/exports")
async def exports() -> None:
    """All of them."""
    may = visit.current().may(Permission.EXPORTS_WRITE)
    make = marks.goto("New export", "/exports/new/data", sign="plus")
    if may:
        with frame.actions():
            show(make)
    show(Markup('<p class="lead">{}</p>').format(_LEAD))
    nothing = marks.empty(
        "There is no export yet", "Choose what goes into BigQuery: events, people, sessions, or a query of your own.",
        make if may else Markup(), "export",
    )  # fmt: skip
    shown: list[Table[ExportItem]] = []

    async def act(what: str, name: str) -> None:
        await pause(what, name)
        await shown[0].refresh()

    shown.append(
        await table(_columns(may=may), _fetch, caption="Exports", filters=_FILTERS, empty=nothing,
                    row_key=lambda one: one.id, on_act=act, sort="name", every=_EVERY_SECONDS)
    )  # fmt: skip


async def pause(what: str, name: str) -> None:
    """Pause an export, or have it go on."""
    by = visit.current().actor.by
    if what == "pause":
        does = [
            "No run begins by itself. One that runs, ends.",
            "Nothing is lost: what comes meanwhile waits.",
        ]
        if await dialogs.confirm(f"Pause {name}?", does, action="Pause", kind="primary"):
            await visit.call(lambda app: app.exports.schedules.pause(name, by))
            notices.notice(f"{name} is paused.")
    elif what == "unpause":
        await visit.call(lambda app: app.exports.schedules.unpause(name, skip=False))
        notices.notice(f"{name} runs again, beginning with what came meanwhile.")


def _columns(*, may: bool) -> list[Column[ExportItem]]:
    found: list[Column[ExportItem]] = [
        Column("name", "Name", lambda one: marks.thing("/exports", one.name), sort=True),
        Column("status", "Status", status),
        Column("last_finished_at", "Last run", _last, sort=True),
        Column("covered_until", "Lag", _lag, sort=True),
        Column("last_rows", "Rows last", lambda one: marks.number(one.last_rows), sort=True, end=True, wide=True),
        Column("next", "Next run", _next, wide=True),
        Column("model", "Data", lambda one: marks.tag(one.model), wide=True),
        Column("target", "Table", lambda one: marks.copy(one.target), wide=True),
    ]
    if may:
        found.append(Column("act", "", _acts, end=True))
    return found


def status(one: ExportItem) -> Markup:
    """How an export stands: running, paused, streaming, or as its last run ended."""
    if one.paused_at:
        return marks.badge("paused")
    if one.trouble:
        return marks.badge("in trouble", BAD)
    if one.mode == "stream":
        return marks.badge("stream", QUIET)
    return marks.badge("running") if one.is_running else marks.badge(one.last_status)


def _last(one: ExportItem) -> Markup:
    return marks.when(one.last_sent_at if one.mode == "stream" else one.last_finished_at, otherwise="never")


def _lag(one: ExportItem) -> Markup:
    """How far the table is behind."""
    if one.covered_until is None:
        return marks.muted("–")
    return marks.duration(max(0.0, (dt.datetime.now(dt.UTC) - one.covered_until).total_seconds() // 60 * 60))


def _next(one: ExportItem) -> Markup:
    if one.mode == "stream":
        return marks.muted("as rows come")
    return marks.when(one.next_run_at, otherwise="paused" if one.paused_at else "by hand")


def _acts(one: ExportItem) -> Markup:
    if one.mode == "stream":
        return Markup()
    text, what = ("Unpause", "unpause") if one.paused_at else ("Pause", "pause")
    return row_button(text, what, one.name, label=f"{text} {one.name}")


def _fetch(app: App, asked: Asked) -> Page[ExportItem]:
    found = app.exports.listed.exports(
        model=asked["model"] or None,
        mode=asked["mode"] or None,
        search=asked["search"] or None,
        status=asked["status"] or None,
        wanted=asked.wanted,
    )
    return Page.of(found)

"""Backfills of an export: what one would move, begun, watched, paused, gone on with, cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.paging import Wanted
from tidemill.web import dialogs, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.form import Field, Form, Option
from tidemill.web.pages import export_shown
from tidemill.web.region import Region, show
from tidemill.web.table import Asked, Column, Page, Table, row_button, table

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.exports.backfill import BackfillView
    from tidemill.exports.estimate import Estimate
    from tidemill.exports.listing import ExportSettings

_EVERY_SECONDS = 2.0
_SIZES = ("hour", "day", "week", "every 15 minutes", "every 5 minutes")
_FROM = (Option("earliest", "From the beginning of time"), Option("range", "From a date"))
_RANGE = ("begin", ("range",))
_FIELDS = (
    Field("begin", "What", "radio", options=_FROM, value="earliest"),
    Field("time_from", "From", when=_RANGE, placeholder="2026-01-31", help="A date; or a time."),
    Field("time_to", "To", required=False, when=_RANGE, placeholder="2026-02-28", help="Empty: up to now."),
    Field("every", "Size of its intervals", "select", value="day", options=tuple(Option(one, one) for one in _SIZES),
          help="A run for each interval that holds rows."),
    Field("parallel", "Intervals at once", "number", value=1, least=1, greatest=32),
)  # fmt: skip


async def tab(export: ExportSettings) -> None:
    """All of them, newest first."""
    may = visit.current().may(Permission.EXPORTS_WRITE)
    shown: list[Table[BackfillView]] = []

    async def act(what: str, _number: str) -> None:
        await _do(what, export.name)
        await shown[0].refresh()

    async def begin() -> None:
        await _begin(export.name)
        await shown[0].refresh()

    if may:
        with ui.element("div").classes("form-actions"):
            button("Begin a backfill", begin, kind="primary", sign="plus")

    def fetch(app: App, asked: Asked) -> Page[BackfillView]:
        found = app.exports.listed.backfills(export.name, wanted=Wanted(asked.cursor or None, asked.limit))
        return Page(found.items, found.next or "")

    nothing = marks.empty(
        "There was no backfill yet", "A backfill exports a range of time again, merged with what the table holds: "
        "what was loaded late, or what is to be repaired.", sign="clock",
    )  # fmt: skip
    shown.append(
        await table(_columns(may=may), fetch, caption="Backfills", empty=nothing, row_key=lambda one: one.id,
                    on_act=act, every=_EVERY_SECONDS)
    )  # fmt: skip


def _columns(*, may: bool) -> list[Column[BackfillView]]:
    found: list[Column[BackfillView]] = [
        Column("range", "Range", lambda one: export_shown.interval(one.time_from, one.time_to)),
        Column("status", "Status", _status),
        Column("far", "Progress", export_shown.backfill_far),
        Column("every", "Intervals of", lambda one: marks.tag(one.every), wide=True),
        Column("failed", "Failed", lambda one: marks.number(one.intervals_failed), end=True, wide=True),
        Column("by", "Begun", lambda one: Markup("{} by {}").format(marks.when(one.created_at), one.created_by)),
        Column("runs", "Runs", _runs),
    ]
    if may:
        found.append(Column("act", "", _acts, end=True))
    return found


def _status(one: BackfillView) -> Markup:
    said = marks.badge(one.status)
    return said + Markup('<p class="muted clip">{}</p>').format(one.hint) if one.hint else said


def _runs(one: BackfillView) -> Markup:
    """The way to its runs."""
    text, path = f"Runs of {one.intervals:,} intervals", marks.path("/exports", one.export)
    return Markup('<a href="{}?tab=runs&amp;backfill={}" aria-label="{}">{}</a>').format(path, one.id, text, "See them")


def _acts(one: BackfillView) -> Markup:
    if one.status in {"completed", "cancelled"}:
        return Markup()
    first = ("Pause", "pause") if one.status == "running" else ("Resume", "resume")
    return Markup('<span class="row-acts">{}{}</span>').format(
        row_button(*first, one.id), row_button("Cancel", "cancel", one.id, label="Cancel the backfill")
    )


async def _do(what: str, name: str) -> None:
    by = visit.current().actor.by
    if what == "pause":
        await visit.call(lambda app: app.exports.backfills.stop(name, cancel=False))
        notices.notice("The backfill is paused: what is begun of it ends.")
    elif what == "resume":
        await visit.call(lambda app: app.exports.backfills.resume(name, by=by, background=True))
        notices.notice("The backfill goes on, as soon as a worker has time.")
    elif what == "cancel" and await dialogs.confirm(
        "Cancel the backfill?",
        ["Its runs, and their jobs in BigQuery, are cancelled.", "What is in the table stays."],
        action="Cancel the backfill",
    ):
        await visit.slowly(lambda app: app.exports.backfills.stop(name, cancel=True))
        notices.notice("The backfill is cancelled.")


async def _begin(name: str) -> None:
    """Ask for the range, say what it would move, and begin it."""
    by = visit.current().actor.by
    with dialogs.dialog("Begin a backfill", wide=True) as window:
        said = Region()

        async def sent(given: dict[str, Any], act: str) -> None:
            start = "earliest" if given["begin"] == "earliest" else given.get("time_from") or ""
            end, every = given.get("time_to"), given["every"]
            found = await visit.slowly(lambda app: app.exports.backfills.estimate(name, start, end, every))
            said.show(_said(found))
            if act == "begin":
                parallel = int(given["parallel"] or 1)
                await visit.call(
                    lambda app: app.exports.backfills.begin(name, found, by=by, parallel=parallel, background=True)
                )
                notices.notice("The backfill is begun: workers do it.")
                window.submit(True)

        Form(_FIELDS, "Estimate", sent, others=(("begin", "Begin it"),))
        show(Markup('<p class="muted">An estimate moves nothing. Begin it shows progress on this page.</p>'))
    await dialogs.answer(window)


def _said(found: Estimate) -> Markup:
    """What it would move."""
    text = f"{found.rows:,} rows in {len(found.intervals):,} intervals of {found.every}"
    said = Markup("It would move {}, about {}.").format(text, marks.size(found.bytes))
    return notices.box(said, "good", role="status")

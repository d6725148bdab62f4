"""Rows of an export that were set aside, and who is told of its troubles."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.paging import Wanted
from tidemill.web import dialogs, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.region import show
from tidemill.web.table import Asked, Column, Filter, Page, Table, row_button, table

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.exports.listing import ExportSettings
    from tidemill.exports.views import RejectView
    from tidemill.notify.service import ChannelView

_EVERY_SECONDS = 5.0


async def rejects(export: ExportSettings) -> None:
    """Rows that were set aside, newest first."""
    shown: list[Table[RejectView]] = []
    name = export.name

    def fetch(app: App, asked: Asked) -> Page[RejectView]:
        wanted = Wanted(asked.cursor or None, asked.limit)
        found = app.exports.set_aside.page(name, code=asked["code"] or None, wanted=wanted)
        return Page(found.items, found.next or "")

    async def do(what: str) -> None:
        await _do(what, name, shown[0].asked["code"] or None)
        await shown[0].refresh()

    if visit.current().may(Permission.EXPORTS_WRITE):
        with ui.element("div").classes("form-actions"):
            button("Retry them", functools.partial(do, "retry"), sign="sync")
            button("Dismiss them", functools.partial(do, "dismiss"), sign="close")
    begins = Markup('<code class="clip">{}</code>')
    columns: list[Column[RejectView]] = [
        Column("at", "Set aside", lambda row: marks.when(row.set_aside_at)),
        Column("code", "Reason", lambda row: marks.badge(row.code, marks.WARNING)),
        Column("message", "What is wrong", lambda row: Markup('<span class="clip">{}</span>').format(row.message)),
        Column("uuid", "Row", lambda row: marks.copy(row.uuid, row.uuid[:8])),
        Column("run", "Run", lambda row: marks.link(row.run, marks.path("/exports", name, "runs", row.run))),
        Column("text", "It begins with", lambda row: begins.format(row.text), wide=True),
    ]
    nothing = marks.empty("No row was set aside", "Rows that BigQuery would not take are kept here, with the reason.",
                          sign="check")  # fmt: skip
    shown.append(
        await table(columns, fetch, caption="Rows that were set aside", empty=nothing, row_key=lambda row: row.id,
                    filters=(Filter("code", "Reason (its code)"),), every=_EVERY_SECONDS)
    )  # fmt: skip


async def _do(what: str, name: str, code: str | None) -> None:
    by = visit.current().actor.by
    which = f"All rows of {name} that were set aside" + (f" because of {code}" if code else "")
    if what == "retry":
        wanted = await visit.call(lambda app: app.exports.triggers.rejects(name, code=code, by=by))
        ui.navigate.to(f"{marks.path('/exports', name)}?tab=runs&wanted={wanted.id}")
    elif await dialogs.confirm(
        "Dismiss these rows?",
        [f"{which} are listed no longer, and not tried again.", "The events stay in the event store."],
        action="Dismiss", name=name,
    ):  # fmt: skip
        number = await visit.slowly(lambda app: app.exports.set_aside.dismiss(name, code=code))
        notices.notice(f"{number:,} rows are dismissed.")


async def notifications(export: ExportSettings) -> None:
    """Channels, and whether each tells of this export."""
    may = visit.current().may(Permission.CHANNELS_WRITE)
    shown: list[Table[ChannelView]] = []
    name = export.name

    async def act(what: str, channel: str) -> None:
        await _turn(what, channel, name)
        await shown[0].refresh()

    columns: list[Column[ChannelView]] = [
        Column("name", "Channel", lambda one: Markup("<strong>{}</strong>").format(one.name)),
        Column("kind", "Kind", lambda one: marks.tag(one.kind)),
        Column("to", "To", lambda one: one.to, wide=True),
        Column("causes", "Told of", lambda one: ", ".join(one.causes) or "all"),
        Column("tells", "Tells of this export", functools.partial(_tells, name=name)),
    ]
    if may:
        columns.append(Column("act", "", functools.partial(_turns, name=name), end=True))
    show(Markup('<p class="muted">People are told once of each trouble, and once when it is over.</p>'))
    nothing = marks.empty("Nobody is told yet", "Add a channel, so that a failed run does not stay unseen.",
                          marks.goto("Notifications", "/settings/notifications"), "bell")  # fmt: skip
    shown.append(
        await table(columns, _channels, caption="Channels", empty=nothing, row_key=lambda one: one.id, on_act=act)
    )


def _channels(app: App, asked: Asked) -> Page[ChannelView]:
    return Page.of(app.notify.page(wanted=asked.wanted))


def _is_told(one: ChannelView, name: str) -> bool:
    return name in one.exports or not (one.exports or one.syncs)


def _tells(one: ChannelView, *, name: str) -> Markup:
    if not _is_told(one, name):
        return marks.muted("no: of others alone")
    return marks.badge("yes", marks.GOOD) + (Markup() if one.exports else marks.muted(" as of all"))


def _turns(one: ChannelView, *, name: str) -> Markup:
    if not _is_told(one, name):
        return row_button("Tell of it", "tell", one.name, label=f"Have {one.name} tell of {name}")
    if name in one.exports and (len(one.exports) > 1 or one.syncs):
        return row_button("Leave it out", "leave", one.name, label=f"Have {one.name} not tell of {name}")
    return Markup()


async def _turn(what: str, channel: str, name: str) -> None:
    """Have a channel tell of an export, or not any more."""

    def work(app: App) -> Any:
        found = app.notify.get(channel)
        exports = [*found.exports, name] if what == "tell" else [one for one in found.exports if one != name]
        return app.notify.edit(channel, {}, exports=exports)

    await visit.call(work)
    notices.notice(f"{channel} tells of {name} {'now' if what == 'tell' else 'no longer'}.")

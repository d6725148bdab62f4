"""Connections: all of them, with what uses each, and when and by whom it was connected."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.web import frame, marks, notices, visit
from tidemill.web.page import page
from tidemill.web.region import show
from tidemill.web.table import Asked, Column, Filter, Page, table

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.connections.service import Connection
    from tidemill.connections.standing import Standing

    Row = tuple[Connection, Mapping[str, int], Standing]

PLACE, NEW = "/connections", "/connections/new/bigquery"
_USED_BY = (("export", "exports"), ("sync", "syncs"), ("import", "imports"), ("nothing", "nothing"))
_PLURALS = {"sync": "syncs", "dbt project": "dbt projects"}


@page("Connections", Permission.CONNECTIONS_READ, PLACE)
async def connections(deleted: str = "") -> None:
    """All connections."""
    if deleted:
        notices.notice("The connection is deleted.")
        ui.run_javascript("history.replaceState(history.state, '', location.pathname)")
    may = visit.current().may(Permission.CONNECTIONS_WRITE)
    if may:
        with frame.actions():
            show(marks.goto("Add a connection", NEW, sign="plus"))
    show(Markup('<p class="lead">BigQuery projects and datasets, and the credentials for them.</p>'))
    makers = await visit.call(_makers)
    filters = (
        Filter("search", "Search names"),
        Filter("used_by", "Used by", _USED_BY),
        Filter("by", "Connected by", tuple((name, name) for name in makers)),
        Filter("from_day", "Connected on", kind="date"),
        Filter("to_day", "to", kind="date"),
    )
    text = "Exports write into its dataset; reverse ETL and imports read from it. You need a service account key."
    action = marks.goto("Add a connection", NEW, "plain", "plus") if may else Markup()
    nothing = marks.empty("No connection yet", text, action, "plug")
    await table(
        _columns(), _fetch, caption="Connections", filters=filters, empty=nothing, row_key=lambda row: row[0].id,
        every=3.0, sort="connected_at",
    )  # fmt: skip


def _makers(app: App) -> list[str]:
    return sorted({one.connected_by for one in app.connections.find()}, key=str.casefold)


def _columns() -> list[Column[Row]]:
    return [
        Column("name", "Name", lambda row: marks.thing(PLACE, row[0].name), sort=True),
        Column("dataset", "Dataset", lambda row: marks.copy(f"{row[0].project}.{row[0].dataset}")),
        Column("status", "Status", lambda row: status(row[2])),
        Column("used", "Used by", lambda row: used(row[1])),
        Column("location", "Location", lambda row: row[0].location or marks.muted("not known"), wide=True),
        Column("connected_at", "Connected on", lambda row: marks.when(row[0].connected_at, plain=True), sort=True),
        Column("connected_by", "Connected by", lambda row: row[0].connected_by, sort=True),
    ]


_KINDS = {"ready": marks.GOOD, "failing": marks.BAD, "being deleted": marks.WARNING}


def status(how: Standing) -> Markup:
    """How a connection stands, and when that was seen."""
    seen = Markup(' <span class="muted">{}</span>').format(marks.when(how.at)) if how.at else Markup()
    return marks.badge(how.state, _KINDS.get(how.state, marks.QUIET)) + seen


def used(counts: Mapping[str, int]) -> str | Markup:
    """How many of each kind use it."""
    said = [
        f"{count:,} {kind if count == 1 else _PLURALS.get(kind, f'{kind}s')}" for kind, count in counts.items() if count
    ]
    return ", ".join(said) or marks.muted("nothing")


def _fetch(app: App, asked: Asked) -> Page[Row]:
    first, last = _day(asked["from_day"]), _day(asked["to_day"])
    found = app.connection_users.page(
        after=first,
        before=last + dt.timedelta(days=1) if last else None,
        by=asked["by"] or None,
        used_by=asked["used_by"] or None,
        search=asked["search"] or None,
        wanted=asked.wanted,
    )
    return Page.of(found)


def _day(text: str) -> dt.datetime | None:
    """The beginning of a day, by UTC; None if the text is none."""
    try:
        return dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), dt.UTC)
    except ValueError:
        return None

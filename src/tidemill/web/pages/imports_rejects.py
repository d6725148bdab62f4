"""Rows that an import refused: to look at, to take away, to mend, and to give up."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.imports import repair_files
from tidemill.web import dialogs, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.form import Field, Form
from tidemill.web.numbers import whole
from tidemill.web.pages import data
from tidemill.web.pages.telling import Progress
from tidemill.web.region import Region, show
from tidemill.web.table import Asked, Column, Filter, Page, Table, row_button, table

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.imports.service import ImportView, Wrong
    from tidemill.store.records_sync import Reject

#: Rows that a file may hold: it is put together in memory.
_MOST_ROWS = 100_000
_MOST_BYTES = 900_000
_MOST_ERRORS = 20
_FILE = Field("file", "Repaired rows", "file", accept=".jsonl,.json,.csv,.txt", most=_MOST_BYTES, rows=8, mono=True)


class _Rejects:
    """The part of the page, as long as it is open."""

    table: Table[Reject]

    def __init__(self, name: str) -> None:
        self._name = name

    async def export(self, kind: str) -> None:
        """Have those that are shown as a file."""
        name, asked = self._name, self.table.asked
        wanted = {"text": asked["search"] or None, "code": asked["code"] or None}
        text = await visit.slowly(lambda app: _file(app, name, wanted, kind))
        ui.download.content(text.encode(), f"{name}-refused.{kind}", "text/plain")

    async def retry(self) -> None:
        """Have a worker try all again."""
        name, by = self._name, visit.current().actor.by
        found = await visit.call(lambda app: app.sync_triggers.trigger(name, by=by, force=True))
        notices.notice(f"Run {found.number} tries them again.", detail="It takes them as they are in BigQuery now.")

    async def act(self, what: str, key: str) -> None:
        """A button of a row."""
        if what == "drop" and await dialogs.confirm(
            "Give this row up?", "It is tried again only when it has changed in BigQuery.", action="Give up"
        ):
            await visit.slowly(lambda app: app.reverse_etl.rejects.drop(self._name, keys=[key]))
            await self.table.refresh()

    async def mend(self) -> None:
        """Take repaired rows in."""
        if await _repair(self._name):
            await self.table.refresh()


async def rejects(name: str, view: ImportView) -> None:
    """Show them here."""
    shown, looks = _Rejects(name), visit.current()
    is_mapped, may_run = view.spec is not None, looks.may(Permission.SYNCS_TRIGGER)
    missing = await visit.call(lambda app: app.reverse_etl.rejects.missing(name))
    if missing:
        show(Markup('<p class="muted">{}</p>').format(missing))
    with ui.element("div").classes("page-actions"):
        button("Export as JSON lines", lambda: shown.export("jsonl"), sign="download")
        button("Export as CSV", lambda: shown.export("csv"), sign="download")
        if is_mapped and looks.may(Permission.IMPORTS_WRITE):
            button("Upload repaired rows", shown.mend)
        if is_mapped and may_run:
            button("Try them again", shown.retry, sign="sync")
    filters = (Filter("search", "Search keys and messages"), Filter("code", "Reason (its code)"))
    empty = marks.empty("No row was refused", "Rows that do not fit are kept here, with the reason.", sign="check")
    shown.table = await table(
        _columns(may=may_run), lambda app, asked: _fetch(app, name, asked), caption="Refused rows", filters=filters,
        empty=empty, row_key=lambda one: one.id, on_act=shown.act,
    )  # fmt: skip


def _columns(*, may: bool) -> list[Column[Reject]]:
    found: list[Column[Reject]] = [
        Column("key", "Key", lambda one: marks.copy(one.key)),
        Column("message", "Why", lambda one: Markup("{} <code>{}</code>").format(one.message, one.code)),
        Column("status", "Status", lambda one: marks.badge(one.status), wide=True),
        Column("tries", "Tries", lambda one: f"{one.tries:,}", end=True, wide=True),
        Column("last_at", "Last", lambda one: marks.when(one.last_at)),
        Column("row", "Row", _row, costly=True),
    ]
    if may:
        found.append(Column("act", "", lambda one: row_button("Give up", "drop", one.key), end=True))
    return found


def _row(one: Reject) -> Markup:
    if one.row is None:
        return marks.muted("not kept")
    return Markup('<details class="changes"><summary><code>{}</code></summary>{}</details>').format(
        data.brief(one.row, 50), data.as_json(one.row)
    )


def _fetch(app: App, name: str, asked: Asked) -> Page[Reject]:
    """By places: they are by key, and few."""
    start = min(whole(asked.cursor, 0), _MOST_ROWS)
    end = min(start + asked.limit, _MOST_ROWS)
    rows = app.reverse_etl.rejects.find(name, text=asked["search"] or None, code=asked["code"] or None, limit=end + 1)
    found = list(itertools.islice(rows, start, end + 1))
    return Page(found[: asked.limit], str(end) if len(found) > asked.limit else "")


def _file(app: App, name: str, wanted: dict[str, Any], kind: str) -> str:
    rows = app.reverse_etl.rejects.find(name, **wanted, limit=_MOST_ROWS)
    return repair_files.as_lines(rows) if kind == "jsonl" else repair_files.as_csv(rows, app.imports.look(name).columns)


async def _repair(name: str) -> bool:
    """Ask for the file, take its rows in, and tell what came of it."""
    with dialogs.dialog("Upload repaired rows", wide=True) as window:
        show(
            Markup(
                "<p>Export the rows, mend them, and give the file here: JSON lines, or CSV. They are taken in now, and "
                "are not tried again until they change in BigQuery. Rows that are wrong still stay refused.</p>"
            )
        )
        place, result = ui.element("div"), Region()

        async def sent(given: dict[str, Any], _act: str) -> None:
            text = given["file"] or ""
            with place:
                progress = Progress()
            try:
                taken, wrong = await visit.slowly(lambda app: _repaired(app, name, text, progress))
            finally:
                progress.end()
            notices.notice(f"{taken:,} rows are taken in.", "warning" if wrong else "good")
            if wrong:
                result.show(_wrong(taken, wrong))
            else:
                window.submit(True)

        Form([_FILE], "Take them in", sent)
        with dialogs.actions():
            button("Close", lambda: window.submit(True))
    return bool(await dialogs.answer(window))


def _repaired(app: App, name: str, text: str, progress: Progress) -> tuple[int, list[Wrong]]:
    rows = repair_files.rows(text, app.imports.look(name).columns)
    return app.imports.repair(name, rows, progress.watch)


def _wrong(taken: int, wrong: list[Wrong]) -> Markup:
    items = marks.join(
        Markup("<li><code>{}</code> {}</li>").format(one.key, one.message) for one in wrong[:_MOST_ERRORS]
    )
    more = len(wrong) - _MOST_ERRORS
    return Markup('<p>{}</p><ul class="list">{}</ul><p>{}</p>').format(
        f"{taken:,} were taken in. Of the others:", items, f"and {more:,} more" if more > 0 else ""
    )

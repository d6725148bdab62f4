"""Rows that a sync could not deliver, each with its reason: to look at, to try again, to give up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.web import dialogs, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.live import stale
from tidemill.web.pages import data
from tidemill.web.region import Region, show
from tidemill.web.table import Asked, Column, Filter, Page, Table, row_button, table

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.reverse_etl.service import SyncView
    from tidemill.store.records_sync import Reject

#: Workers try rows again.
_EVERY_SECONDS = 3.0
#: Characters that are shown of one row.
_MOST_OF_ROW = 200_000


async def rows(found: SyncView) -> None:
    """All of them, by key."""
    await _Rows(found.name, has_rows=any(found.rejects.values())).build()


class _Rows:
    """The tab, as long as it is open."""

    table: Table[Reject]

    def __init__(self, name: str, *, has_rows: bool) -> None:
        self._name, self._may, self._has_rows = name, visit.current().may(Permission.SYNCS_TRIGGER), has_rows

    async def build(self) -> None:
        """Show them."""
        name = self._name
        missing = await visit.call(lambda app: app.reverse_etl.rejects.missing(name))
        show(Markup('<p class="lead">Kept in their last version. Each run tries again what may be taken later.</p>'))
        if missing:
            show(Markup('<div class="notice notice-warning"><p>{}</p></div>').format(missing))
        if self._may and self._has_rows:
            with ui.element("div").classes("row-of"):
                button("Try again all that are found", self._retry_all)
                button("Give up all that are found", self._drop_all, kind="danger")
        columns: list[Column[Reject]] = [
            Column("key", "Key", lambda one: marks.copy(one.key, one.key[:40])),
            Column("status", "Status", lambda one: marks.badge("to retry" if one.status == "retry" else one.status,
                                                               None if one.status != "retry" else marks.WARNING)),
            Column("reason", "Reason", _reason),
            Column("op", "Was to be", lambda one: one.op, wide=True),
            Column("tries", "Tries", lambda one: marks.number(one.tries), end=True, wide=True),
            Column("last_at", "Last", lambda one: marks.when(one.last_at), wide=True),
            Column("act", "", self._acts, end=True),
        ]  # fmt: skip
        empty = marks.empty("All rows are delivered", "Rows that a destination refuses are kept here, with the reason.",
                            sign="check")  # fmt: skip
        self.table = await table(
            columns, self._fetch, caption=f"Rows of {name} that were not delivered", empty=empty, on_act=self._act,
            filters=(Filter("search", "Search keys and reasons"),),
            row_key=lambda one: one.id, every=_EVERY_SECONDS,
        )  # fmt: skip

    def _fetch(self, app: App, asked: Asked) -> Page[Reject]:
        page = app.reverse_etl.rejects.page(self._name, asked.wanted, text=asked["search"] or None)
        return Page(page.items, page.next or "")

    def _acts(self, one: Reject) -> Markup:
        acts = [("Row", "row")]
        if self._may and one.status != "invalid":
            acts += [("Retry", "retry"), ("Give up", "drop")]
        found = (row_button(text, act, one.key, label=f"{text}: {one.key[:40]}") for text, act in acts)
        return Markup('<span class="row-acts">{}</span>').format(marks.join(found))

    async def _act(self, what: str, key: str) -> None:
        one = next((one for one in self.table.page.rows if one.key == key), None)
        if one is None:
            return
        if what == "row":
            await self._show(one)
        elif what == "retry":
            await self._retry([key])
        elif what == "drop":
            await self._drop([key], None, 1)

    async def _show(self, one: Reject) -> None:
        with dialogs.dialog(f"Row {one.key[:60]}", wide=True) as window:
            facts = [("Reason", _reason(one)), ("First in run", str(one.first_run)), ("Last in run", str(one.last_run))]
            row = data.written(one.row, _MOST_OF_ROW) if one.row is not None else ""
            text = Markup('<div class="exchange"><pre tabindex="0">{}</pre></div>').format(row) if row else Markup()
            Region(Markup('<div class="stack">{}{}</div>').format(marks.facts(facts), text))
            button("Close", lambda: window.submit(None))
        await dialogs.answer(window)

    async def _retry_all(self) -> None:
        await self._retry([])

    async def _retry(self, keys: list[str]) -> None:
        """Have a worker run the sync for these rows alone; without keys, for those that are searched for."""
        name, by, text = self._name, visit.current().actor.by, None if keys else self._text()
        found = await visit.call(lambda app: app.operations.retry_rows(name, by=by, keys=keys, text=text))
        said = "are tried again already" if found.already else "are tried again by a worker"
        notices.notice(f"The rows {said}.", detail="This page may be closed.")
        stale(("operation", name))
        await self._renew()

    async def _drop_all(self) -> None:
        name, text = self._name, self._text()
        number = await visit.call(lambda app: app.reverse_etl.rejects.number(name, text=text))
        if not number:
            notices.notice("There is no row that could be given up.", "warning")
            return
        await self._drop([], text or "", number)

    async def _drop(self, keys: list[str], text: str | None, number: int) -> None:
        name = self._name
        which = f"The row {keys[0][:60]}" if keys else f"{number:,} rows"
        does = [f"{which}: not sent as it is now. When it changes in the model, it is sent."]
        if await dialogs.confirm(f"Give {'this row' if keys else f'{number:,} rows'} up?", does, action="Give up"):
            done = await visit.slowly(lambda app: app.reverse_etl.rejects.drop(name, keys=keys, text=text))
            notices.notice(f"{done:,} given up.")
            await self._renew()

    def _text(self) -> str | None:
        return self.table.asked["search"] or None

    async def _renew(self) -> None:
        stale(("sync", self._name))
        await self.table.refresh()


def _reason(one: Reject) -> Markup:
    text = one.message or one.code
    return Markup('<span class="cell-text" title="{}">{}</span><span class="notice-code">{}</span>').format(
        text, text[:300], one.code
    )

"""Source models: all of them; and one, with its columns, its rows, its key and the syncs that deliver it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.errors import TidemillError
from tidemill.web import dialogs, frame, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.page import page
from tidemill.web.pages import model_marks
from tidemill.web.region import Region, show
from tidemill.web.table import Asked, Column, Filter, Page, table
from tidemill.web.tabs import tabs

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.reverse_etl.service import SourceModelView

NEW = "/models/_new"
_WRITE = Permission.MODELS_WRITE
_LEAD = "What is read from BigQuery: a statement, a table or a dbt model, and the columns by which a row is known."


@page("Models", Permission.MODELS_READ, "/models")
async def models() -> None:
    """All source models."""
    may = visit.current().may(_WRITE)
    if may:
        with frame.actions():
            show(marks.goto("Add a model", NEW, sign="plus"))
    show(Markup('<p class="lead">{}</p>').format(_LEAD))
    add = marks.goto("Add a model", NEW) if may else Markup()
    empty = marks.empty("No model yet", "A model says which rows of BigQuery go to other tools.", add, "model")
    columns: list[Column[SourceModelView]] = [
        Column("name", "Name", lambda one: marks.thing("/models", one.name), sort=True),
        Column("kind", "Reads", model_marks.reads, wide=True),
        Column("connection", "Connection", lambda one: one.connection, sort=True, wide=True),
        Column("key", "Key", lambda one: marks.tags(one.key)),
        Column("syncs", "Syncs", lambda one: marks.number(len(one.syncs)), end=True),
        Column("updated_at", "Changed", lambda one: marks.when(one.updated_at), sort=True, wide=True),
    ]
    kinds = (("sql", "SQL"), ("table", "Table"), ("dbt", "dbt model"))
    await table(
        columns, _fetch, caption="Source models", empty=empty, sort="name", row_key=lambda one: one.id,
        filters=(Filter("search", "Search names"), Filter("kind", "Reads", kinds),
                 Filter("connection", "Connection (the whole name)")),
    )  # fmt: skip


def _fetch(app: App, asked: Asked) -> Page[SourceModelView]:
    found = app.reverse_etl.listed.models(
        search=asked["search"] or None,
        kind=asked["kind"] or None,
        connection=asked["connection"] or None,
        wanted=asked.wanted,
    )
    return Page.of(found)


@page("{name}", Permission.MODELS_READ, "/models/{name}", parents=(("Models", "/models"),))
async def model(name: str, tab: str = "") -> None:
    """One."""
    found = await visit.call(lambda app: app.reverse_etl.models.get(name))
    if visit.current().may(_WRITE):
        with frame.actions():
            show(marks.goto("Edit", marks.path("/models", found.name, "edit"), "plain", "pencil"))
            button("Delete", lambda: _delete(found), kind="danger", sign="trash")
    tries = (("rows", "Rows"), ("key", "Key")) if visit.current().may(_WRITE) else ()  # they are billed
    several = (("definition", "Definition"), *tries, ("syncs", "Syncs"))
    match tabs("Parts of the model", several, tab):
        case "rows":
            _rows(found)
        case "key":
            _key(found)
        case "syncs":
            _syncs(found)
        case _:
            await _definition(found)


async def _definition(found: SourceModelView) -> None:
    show(
        marks.facts(
            [
                ("Reads", model_marks.reads(found)),
                ("Connection", found.connection),
                ("Key", marks.tags(found.key)),
                ("Most bytes billed", marks.size(found.max_bytes_billed) if found.max_bytes_billed else "no limit"),
                ("Made", Markup("{} by {}").format(marks.when(found.made_at), found.made_by)),
                ("Changed", marks.when(found.updated_at)),
            ]
        ),
        "panel panel-body",
    )
    if found.description:
        show(Markup("<p>{}</p>").format(found.description))
    if found.sql:
        show(marks.panel("Statement", marks.command(found.sql)))
    place = show(Markup('<p class="muted"><span class="spinner"></span> BigQuery looks at it …</p>'))
    name = found.name

    async def look() -> None:
        try:
            seen = await visit.slowly(lambda app: app.reverse_etl.models.look(name))
            place.show(marks.panel("Columns and cost", model_marks.inspected(seen)))
        except TidemillError as error:
            place.show(notices.mark(error))

    ui.timer(0.1, look, once=True)


def _rows(found: SourceModelView) -> None:
    show(Markup('<p class="lead">The first rows. The whole statement is run for them, and billed.</p>'))
    place = Region()
    name = found.name

    async def preview() -> None:
        try:
            seen = await visit.slowly(lambda app: app.reverse_etl.models.preview(name))
            place.show(model_marks.preview(seen))
        except TidemillError as error:
            place.show(notices.mark(error))

    made = button("Show rows", preview, kind="primary", sign="play")
    made.move(target_index=1)


def _key(found: SourceModelView) -> None:
    text = "Counts rows whose key ({}) is not unique, or is missing. It reads the key of all rows, and is billed."
    show(Markup('<p class="lead">{}</p>').format(text.format(", ".join(found.key))))
    place = Region()
    name = found.name

    async def check() -> None:
        try:
            seen = await visit.slowly(lambda app: app.reverse_etl.models.check(name))
            place.show(model_marks.keys(seen))
        except TidemillError as error:
            place.show(notices.mark(error))

    made = button("Check the key", check, kind="primary", sign="play")
    made.move(target_index=1)


def _syncs(found: SourceModelView) -> None:
    if found.syncs:
        items = (Markup("<li>{}</li>").format(marks.thing("/syncs", name)) for name in found.syncs)
        show(marks.panel("Syncs", Markup('<ul class="list">{}</ul>').format(marks.join(items))))
        return
    may = visit.current().may(Permission.SYNCS_WRITE)
    go = marks.goto("Make a sync", marks.asking("/syncs/_new", model=found.name)) if may else Markup()
    show(marks.empty("No sync delivers it", "A sync brings its rows into a destination.", go, "sync"))


async def _delete(found: SourceModelView) -> None:
    name = found.name
    does = ["The model is deleted here. Tables of BigQuery stay as they are."]
    if found.syncs:
        does.append(f"Syncs use it: {', '.join(found.syncs)}. They are to be deleted first.")
    if await dialogs.confirm(f"Delete {name}?", does):
        await visit.call(lambda app: app.reverse_etl.models.delete(name))
        ui.navigate.to("/models")

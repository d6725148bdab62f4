"""Destinations: accounts of tools that take rows; and one, with its settings, its test, and the syncs that use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.destinations import described, registry
from tidemill.errors import TidemillError
from tidemill.web import dialogs, frame, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.page import page
from tidemill.web.pages.model_marks import grid
from tidemill.web.region import Region, show
from tidemill.web.table import Asked, Column, Filter, Page, table

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.destinations.port import Destination
    from tidemill.reverse_etl.service import AccountView

NEW = "/destinations/_new"
_WRITE = Permission.DESTINATIONS_WRITE


@page("Destinations", Permission.DESTINATIONS_READ, "/destinations")
async def destinations() -> None:
    """All destinations."""
    may = visit.current().may(_WRITE)
    if may:
        with frame.actions():
            show(marks.goto("Add a destination", NEW, sign="plus"))
    show(Markup('<p class="lead">Accounts of tools that take rows: a CRM, a mail tool, your own server.</p>'))
    add = marks.goto("Add a destination", NEW) if may else Markup()
    empty = marks.empty("No destination yet", f"{len(registry.everything())} tools take rows.", add, "target")
    columns: list[Column[AccountView]] = [
        Column("name", "Name", lambda one: marks.thing("/destinations", one.name), sort=True),
        Column("title", "Tool", lambda one: one.title, sort=True),
        Column("account", "Account", lambda one: Markup("<code>{}</code>").format(one.account), wide=True),
        Column("syncs", "Syncs", lambda one: marks.number(len(one.syncs)), end=True),
        Column("made_at", "Since", lambda one: marks.when(one.made_at), sort=True, wide=True),
    ]
    kinds = tuple((name, one.title) for name, one in registry.everything().items())
    await table(
        columns, _fetch, caption="Destinations", empty=empty, sort="name", row_key=lambda one: one.id,
        filters=(Filter("search", "Search names"), Filter("kind", "Tool", kinds)),
    )  # fmt: skip


def _fetch(app: App, asked: Asked) -> Page[AccountView]:
    found = app.reverse_etl.listed.destinations(
        search=asked["search"] or None, kind=asked["kind"] or None, wanted=asked.wanted
    )
    return Page.of(found)


@page("{name}", Permission.DESTINATIONS_READ, "/destinations/{name}", parents=(("Destinations", "/destinations"),))
async def destination(name: str, added: str = "") -> None:
    """One."""
    found = await visit.call(lambda app: app.reverse_etl.destinations.get(name))
    kind = registry.get(found.kind)
    if visit.current().may(_WRITE):
        with frame.actions():
            show(marks.goto("Edit", marks.path("/destinations", found.name, "edit"), "plain", "pencil"))
            button("Delete", lambda: _delete(found), kind="danger", sign="trash")
    if added:
        notices.notice(f"{found.name} is saved.")
    show(Markup('<p class="lead">{}</p>').format(kind.description))
    if visit.current().may(_WRITE):
        await _test(found)
    show(marks.panel("Settings", _settings(found)))
    show(marks.panel("What it does with rows", _actions(kind)))
    show(marks.panel("Syncs", _syncs(found)))


async def _test(found: AccountView) -> None:
    """Asks the tool who the credential is."""
    name = found.name
    with ui.element("section").classes("panel panel-body stack"):
        place = Region().props('role="status"')

        async def test() -> None:
            place.show(Markup('<p class="muted"><span class="spinner"></span> {} is asked …</p>').format(found.title))
            try:
                said = await visit.slowly(lambda app: app.reverse_etl.destinations.test_saved(name))
                place.show(Markup("<p>{} {}</p>").format(marks.badge("passed"), said))
            except TidemillError as error:
                if visit.is_signed_out(error):
                    raise
                place.show(notices.mark(error))

        with ui.element("div").classes("row-of") as row:
            button("Test the credential", test, sign="play")
            show(marks.muted("Asks the tool who the credential is. Nothing is changed there."))
        row.move(target_index=0)


def _settings(found: AccountView) -> Markup:
    pairs: list[tuple[str, str | Markup]] = [("Tool", found.title), ("Account", marks.copy(found.account))]
    for setting in described.settings(registry.get(found.kind)):
        label = setting.name.replace("_", " ").capitalize()
        if setting.secret:
            pairs.append((label, marks.muted("secret: never shown")))
        elif found.settings.get(setting.name) is not None:
            pairs.append((label, str(found.settings[setting.name])))
    pairs.append(("Made", Markup("{} by {}").format(marks.when(found.made_at), found.made_by)))
    return marks.facts(pairs)


def _actions(kind: Destination) -> Markup:
    rows: list[list[str | Markup]] = [
        [Markup("<strong>{}</strong><br>{}").format(one.title, marks.muted(one.description)),
         marks.tags(mode.value for mode in one.modes)]
        for one in kind.actions
    ]  # fmt: skip
    more = Markup('<p class="muted">Allows {}. <a href="{}" rel="noreferrer" target="_blank">Its own documents</a></p>')
    return grid("What it does with rows", ["Action", "Modes"], rows) + more.format(described.pace(kind), kind.page)


def _syncs(found: AccountView) -> Markup:
    if found.syncs:
        items = (Markup("<li>{}</li>").format(marks.thing("/syncs", name)) for name in found.syncs)
        return Markup('<ul class="list">{}</ul>').format(marks.join(items))
    may = visit.current().may(Permission.SYNCS_WRITE)
    go = marks.goto("Make a sync", marks.asking("/syncs/_new", destination=found.name)) if may else Markup()
    return marks.empty("No sync delivers to it", "A sync brings rows of a model here.", go, "sync")


async def _delete(found: AccountView) -> None:
    name = found.name
    does = [f"The account and its secrets are deleted here. What {found.title} has stays there."]
    if found.syncs:
        does.append(f"Syncs use it: {', '.join(found.syncs)}. They are to be deleted first.")
    if await dialogs.confirm(f"Delete {name}?", does):
        await visit.call(lambda app: app.reverse_etl.destinations.delete(name))
        ui.navigate.to("/destinations")
